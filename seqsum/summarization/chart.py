"""Frames with their scores, and those that a summary keeps -> PNG."""

import math
from typing import Any

import numpy as np

from seqsum.plots.figures import (
  BLUE,
  GREY,
  INK,
  PALE,
  WIDTH,
  Chart,
  frame_gid,
  ink_on_paper,
)

ACROSS = 10  # frames side by side
MAX_FRAMES = 40  # longer videos show kept frames only
MAX_BINS = 500  # of the score plot of a longer video; a bin shows its maximum
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)  # seconds
# Inches.
MARGIN, GAP = 0.1, 0.08  # of the figure, between frames
SIDE = 0.9  # maximum, of a frame
BAR, LINE = 0.42, 0.17  # heights of the longest bar and of a line of text
LEFT, RIGHT = 0.55, 0.2  # margins of the score plot
CURVE = 1.0  # height of the score plot


@Chart
def draw(
  figure: Any,
  frames: np.ndarray,
  scores: np.ndarray,
  kept: np.ndarray,
  truth: np.ndarray | None = None,
  seconds: np.ndarray | None = None,
) -> None:
  """Plots all frames of a short video, or the best kept frames of a long one.

  Each frame of a short video has a bar of its score below; kept frames have a
  blue outline. Of a video of more than `MAX_FRAMES`, the best frame of each run
  of consecutive kept frames is shown, of at most ten runs, with lines to a plot
  of all scores.

  Args:
    frames: [T, H, W, C] uint8. Three channels are RGB; the mean of any other
      number is shown as ink on paper.
    scores: [T] float; inf and nan have no bar.
    kept: [T] bool.
    truth: [T] float, the true scores, or None.
    seconds: [T] float, ascending, the times of the frames of a long video; None
      numbers them.
  """
  if not len(frames):
    return
  shown = np.append(scores, [] if truth is None else truth)
  shown = shown[np.isfinite(shown)]
  low, high = shown.min(initial=0.0), shown.max(initial=0.0)  # bars start at 0
  limits = (low, high if high > low else low + 1)
  if len(frames) <= MAX_FRAMES:
    _draw_all(figure, frames, scores, kept, truth, limits)
  else:
    _draw_chosen(figure, frames, scores, kept, truth, limits, seconds)


def shown(scores: np.ndarray, kept: np.ndarray) -> np.ndarray:
  """Indices of the frames that `draw` shows; it reads no other."""
  if len(scores) <= MAX_FRAMES:
    return np.arange(len(scores))
  return _best(_plottable(scores), kept)


def _sheet(figure: Any, height: float) -> Any:
  """Axes of the whole figure, in inches from its upper left corner."""
  figure.set(size_inches=(WIDTH, height), layout_engine="none")
  axes = figure.add_axes((0, 0, 1, 1))
  axes.axis("off")
  axes.set(xlim=(0, WIDTH), ylim=(height, 0))
  return axes


def _legend(axes: Any, with_truth: bool) -> None:
  """Draws the legend in the first line."""
  x, y = MARGIN, MARGIN + 0.11
  entries = [("kept", BLUE, 0.1), ("left out", PALE, 0.1)]
  if with_truth:
    entries.append(("the truth", INK, 0.02))
  for label, color, thick in entries:
    axes.bar(x, thick, 0.12, y - 0.045 - thick / 2, align="edge", color=color)
    axes.text(x + 0.17, y, label, color=GREY, fontsize=9)
    x += 0.36 + 0.062 * len(label)


def _show(axes: Any, frame: np.ndarray, x: float, y: float, size, keep) -> None:
  """Draws a frame with its upper left corner at x, y, outlined if kept."""
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
  across = math.ceil(len(frames) / rows)  # rows of equal length
  cell = min(SIDE + GAP, (WIDTH - 2 * MARGIN) / across)
  size = _size(frames, cell)
  low, high = limits
  inch = BAR / (high - low)
  down = size[0] + BAR + LINE + 0.25  # from row to row
  axes = _sheet(figure, 2 * MARGIN + LINE + rows * down)
  _legend(axes, truth is not None)
  for i, (frame, value, keep) in enumerate(
    zip(frames, scores, kept, strict=True)
  ):
    x = MARGIN + i % across * cell
    y = MARGIN + LINE + 0.08 + i // across * down
    _show(axes, frame, x, y, size, keep)
    zero = y + size[0] + 0.08 + high * inch
    middle, wide = x + size[1] / 2, 0.7 * size[1]
    color = BLUE if keep else PALE
    tall = value * inch if np.isfinite(value) else 0.0
    axes.bar(middle, -tall, wide, zero, color=color)
    axes.plot([x, x + size[1]], [zero, zero], color=PALE, lw=0.8)
    if truth is not None:
      level = zero - truth[i] * inch
      ends = [middle - wide / 2, middle + wide / 2]
      axes.plot(ends, [level, level], color=INK, lw=1.4, solid_capstyle="butt")
    axes.text(
      middle,
      zero - low * inch + LINE - 0.03,
      f"{value:.{2 if abs(value) < 10 else 0}f}",  # or nan, or inf
      ha="center",
      fontsize=9 if cell > 0.42 else 8,
      color=BLUE if keep else GREY,
      weight="bold" if keep else "normal",
    )


def _draw_chosen(figure, frames, scores, kept, truth, limits, seconds) -> None:
  scores = _plottable(scores, *limits)
  best = _best(scores, kept)
  cell = min(SIDE + GAP, (WIDTH - 2 * MARGIN) / max(len(best), 1))
  size = _size(frames, cell)
  top = 2 * MARGIN + LINE
  strip = size[0] + LINE + 0.3 if len(best) else 0
  height = top + strip + CURVE + 0.5
  axes = _sheet(figure, height)
  _legend(axes, truth is not None)
  across = WIDTH - LEFT - RIGHT
  start = MARGIN + (WIDTH - 2 * MARGIN - len(best) * cell + GAP) / 2
  for i, frame in enumerate(best):
    x = start + i * cell
    _show(axes, frames[frame], x, top, size, True)
    middle, below = x + size[1] / 2, top + size[0] + LINE
    label = frame if seconds is None else _clock(seconds[frame])
    axes.text(middle, below - 0.02, label, ha="center", color=BLUE, fontsize=8)
    place = LEFT + (frame + 0.5) / len(frames) * across
    level = top + strip + CURVE * (limits[1] - scores[frame]) / np.ptp(limits)
    axes.plot(
      [middle, place], [below + 0.03, level], color=BLUE, lw=0.7, alpha=0.6
    )
    axes.plot(place, level, "o", color=BLUE, ms=2.5)
  curve = figure.add_axes(
    (LEFT / WIDTH, 0.5 / height, across / WIDTH, CURVE / height)
  )
  edges = np.linspace(0, len(frames), min(len(frames), MAX_BINS) + 1)
  starts = edges[:-1].astype(int)
  values = np.maximum.reduceat(scores, starts)
  chosen = np.maximum.reduceat(kept, starts)
  for mask, color in ((~chosen, PALE), (chosen, BLUE)):
    shown = np.where(mask, values, 0)
    curve.stairs(shown, edges, fill=True, color=color, lw=0)
  if truth is not None:
    true = np.maximum.reduceat(truth, starts)
    curve.stairs(true, edges, color=INK, lw=0.8, baseline=None)
  curve.set_zorder(-1)  # below the lines
  curve.set(xlim=(0, len(frames)), ylim=limits)
  curve.set_xlabel("frame" if seconds is None else "time", fontsize=9)
  if seconds is not None:
    step = next((x for x in TICKS if seconds[-1] < 8 * x), TICKS[-1])
    times = np.arange(0, seconds[-1] + 1e-6, step)
    places = np.interp(times, seconds, np.arange(len(seconds)))
    curve.set_xticks(places, [_clock(x) for x in times])
  curve.set_ylabel("score", fontsize=9)
  curve.tick_params(labelsize=9)
  curve.locator_params(axis="y", nbins=3)


def _plottable(
  scores: np.ndarray, low: float = 0.0, high: float = np.inf
) -> np.ndarray:
  return np.nan_to_num(scores, nan=0, posinf=high, neginf=low)


def _clock(seconds: float) -> str:
  """0:07, 1:02:03."""
  minutes, rest = divmod(round(seconds), 60)
  hours, minutes = divmod(minutes, 60)
  return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _best(scores: np.ndarray, kept: np.ndarray) -> np.ndarray:
  """The best frame of each run of kept frames, at most ten, in order."""
  starts = np.flatnonzero(np.diff(kept.astype(int), prepend=0) == 1)
  ends = np.flatnonzero(np.diff(kept.astype(int), append=0) == -1) + 1
  best = np.array(
    [a + np.argmax(scores[a:b]) for a, b in zip(starts, ends, strict=True)], int
  )
  return np.sort(best[np.argsort(-scores[best], kind="stable")[:ACROSS]])


def _size(frames: np.ndarray, cell: float) -> tuple[float, float]:
  """Height and width of a frame in a cell, in inches."""
  height, width = frames.shape[1:3]
  room = cell - GAP
  scale = min(room / width, 1.5 * room / height)
  return height * scale, width * scale
