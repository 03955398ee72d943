"""Frames with their scores, and which of them a summary keeps -> PNG."""

import math
from typing import Any

import numpy as np

from seqsum.plots.figures import (
  BLUE,
  GREY,
  INK,
  PALE,
  WIDTH,
  draw_placeholder,
  frame_gid,
  ink_on_paper,
  picture,
)

ACROSS = 10  # frames side by side
MOST_FRAMES = 40  # of a video that is shown whole; of longer ones the chosen
MOST_BINS = 500  # along the scores of a long one; of more frames the highest
# Inches.
MARGIN, GAP = 0.1, 0.08  # around all, between frames
SIDE = 0.9  # of a frame, at most
BAR, WORD = 0.42, 0.17  # the longest bar, a line of words
LEFT, RIGHT = 0.55, 0.2  # beside the scores of a long one
CURVE = 1.0  # how high these are


@picture
def draw(
  figure: Any,
  frames: np.ndarray,
  scores: np.ndarray,
  kept: np.ndarray,
  truth: np.ndarray | None = None,
) -> None:
  """A short video frame by frame; of a longer one what is kept, and where.

  A short one shows all frames, each above a bar of its score, those kept framed
  in blue. Of more than `MOST_FRAMES`, one frame of every run of kept ones is
  shown, its best; of more than ten runs, the ten that have the best. Lines lead
  from these to the scores of all frames below.

  Args:
    frames: [T, H, W, C] uint8. One channel is drawn as ink on paper, three as
      colours, the mean of any other number as ink.
    scores: [T] float; one that is not finite has no bar.
    kept: [T] bool.
    truth: [T] float on the scale of the scores, what is true; or None.
  """
  if not len(frames):
    draw_placeholder(figure)
    return
  shown = np.append(scores, [] if truth is None else truth)
  shown = shown[np.isfinite(shown)]
  low, high = shown.min(initial=0.0), shown.max(initial=0.0)  # bars start at 0
  limits = (low, high if high > low else low + 1)
  show = _draw_all if len(frames) <= MOST_FRAMES else _draw_chosen
  show(figure, frames, scores, kept, truth, limits)


def _sheet(figure: Any, height: float) -> Any:
  """Axes over the whole figure, in inches from its upper left corner."""
  figure.set(size_inches=(WIDTH, height), layout_engine="none")
  axes = figure.add_axes((0, 0, 1, 1))
  axes.axis("off")
  axes.set(xlim=(0, WIDTH), ylim=(height, 0))
  return axes


def _legend(axes: Any, with_truth: bool) -> None:
  """The key, in the first line."""
  x, y = MARGIN, MARGIN + 0.11
  entries = [("kept", BLUE, 0.1), ("left out", PALE, 0.1)]
  if with_truth:
    entries.append(("the truth", INK, 0.02))
  for word, colour, thick in entries:
    axes.bar(x, thick, 0.12, y - 0.045 - thick / 2, align="edge", color=colour)
    axes.text(x + 0.17, y, word, color=GREY, fontsize=9)
    x += 0.36 + 0.062 * len(word)


def _show(axes: Any, frame: np.ndarray, x: float, y: float, size, keep) -> None:
  """One frame with its upper left corner at x, y; blue around it if kept."""
  height, width = size
  axes.imshow(
    ink_on_paper(frame),
    extent=(x, x + width, y + height, y),
    interpolation="nearest" if len(frame) < 128 else "antialiased",
    gid=frame_gid(frame),
    aspect="auto",
    alpha=None if keep else 0.55,
    zorder=2,
  )
  if keep:
    from matplotlib.patches import Rectangle

    around = Rectangle((x, y), width, height, fill=False, ec=BLUE, lw=2)
    axes.add_patch(around).set(zorder=3)


def _draw_all(figure, frames, scores, kept, truth, limits) -> None:
  rows = math.ceil(len(frames) / ACROSS)
  across = math.ceil(len(frames) / rows)  # as even as can be
  cell = min(SIDE + GAP, (WIDTH - 2 * MARGIN) / across)
  size = _size(frames, cell)
  low, high = limits
  inch = BAR / (high - low)
  down = size[0] + BAR + WORD + 0.25  # from row to row
  axes = _sheet(figure, 2 * MARGIN + WORD + rows * down)
  _legend(axes, truth is not None)
  for i, (frame, value, keep) in enumerate(
    zip(frames, scores, kept, strict=True)
  ):
    x = MARGIN + i % across * cell
    y = MARGIN + WORD + 0.08 + i // across * down
    _show(axes, frame, x, y, size, keep)
    zero = y + size[0] + 0.08 + high * inch
    middle, wide = x + size[1] / 2, 0.7 * size[1]
    colour = BLUE if keep else PALE
    tall = value * inch if np.isfinite(value) else 0.0
    axes.bar(middle, -tall, wide, zero, color=colour)
    axes.plot([x, x + size[1]], [zero, zero], color=PALE, lw=0.8)
    if truth is not None:
      level = zero - truth[i] * inch
      ends = [middle - wide / 2, middle + wide / 2]
      axes.plot(ends, [level, level], color=INK, lw=1.4, solid_capstyle="butt")
    axes.text(
      middle,
      zero - low * inch + WORD - 0.03,
      f"{value:.{2 if abs(value) < 10 else 0}f}",  # or nan, or inf
      ha="center",
      fontsize=9 if cell > 0.42 else 8,
      color=BLUE if keep else GREY,
      weight="bold" if keep else "normal",
    )


def _draw_chosen(figure, frames, scores, kept, truth, limits) -> None:
  scores = np.nan_to_num(scores, nan=0, posinf=limits[1], neginf=limits[0])
  best = _best(scores, kept)
  cell = min(SIDE + GAP, (WIDTH - 2 * MARGIN) / max(len(best), 1))
  size = _size(frames, cell)
  top = 2 * MARGIN + WORD
  strip = size[0] + WORD + 0.3 if len(best) else 0
  height = top + strip + CURVE + 0.5
  axes = _sheet(figure, height)
  _legend(axes, truth is not None)
  across = WIDTH - LEFT - RIGHT
  start = MARGIN + (WIDTH - 2 * MARGIN - len(best) * cell + GAP) / 2
  for i, frame in enumerate(best):
    x = start + i * cell
    _show(axes, frames[frame], x, top, size, True)
    middle, below = x + size[1] / 2, top + size[0] + WORD
    axes.text(middle, below - 0.02, frame, ha="center", color=BLUE, fontsize=8)
    place = LEFT + (frame + 0.5) / len(frames) * across
    level = top + strip + CURVE * (limits[1] - scores[frame]) / np.ptp(limits)
    axes.plot(
      [middle, place], [below + 0.03, level], color=BLUE, lw=0.7, alpha=0.6
    )
    axes.plot(place, level, "o", color=BLUE, ms=2.5)
  curve = figure.add_axes(
    (LEFT / WIDTH, 0.5 / height, across / WIDTH, CURVE / height)
  )
  edges = np.linspace(0, len(frames), min(len(frames), MOST_BINS) + 1)
  starts = edges[:-1].astype(int)
  values = np.maximum.reduceat(scores, starts)
  chosen = np.maximum.reduceat(kept, starts)
  for mask, colour in ((~chosen, PALE), (chosen, BLUE)):
    shown = np.where(mask, values, 0)
    curve.stairs(shown, edges, fill=True, color=colour, lw=0)
  if truth is not None:
    said = np.maximum.reduceat(truth, starts)
    curve.stairs(said, edges, color=INK, lw=0.8, baseline=None)
  curve.set_zorder(-1)  # below the lines that lead there
  curve.set(xlim=(0, len(frames)), ylim=limits)
  curve.set_xlabel("frame", fontsize=9)
  curve.set_ylabel("score", fontsize=9)
  curve.tick_params(labelsize=9)
  curve.locator_params(axis="y", nbins=3)


def _best(scores: np.ndarray, kept: np.ndarray) -> np.ndarray:
  """One frame of each run that is kept, in order of time."""
  starts = np.flatnonzero(np.diff(kept.astype(int), prepend=0) == 1)
  ends = np.flatnonzero(np.diff(kept.astype(int), append=0) == -1) + 1
  best = np.array(
    [a + np.argmax(scores[a:b]) for a, b in zip(starts, ends, strict=True)], int
  )
  return np.sort(best[np.argsort(-scores[best], kind="stable")[:ACROSS]])


def _size(frames: np.ndarray, cell: float) -> tuple[float, float]:
  """The height and the width of a frame in a cell, inches."""
  height, width = frames.shape[1:3]
  room = cell - GAP
  scale = min(room / width, 1.5 * room / height)
  return height * scale, width * scale
