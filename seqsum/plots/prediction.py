"""Predictions for one sequence, frame by frame: arrays -> PNG, or animated GIF.

The arguments of `draw` and `animate`:
  frames: [T, H, W, C] uint8; three channels are colours, else white is ink.
    Of more than `MOST_FRAMES` frames the last ones are shown.
  predictions: [T] float, in the target's units.
  values: [V] float, ascending, the values that have a probability.
  probabilities: [T, V] float, or None if the model predicts no distribution.
  task: The task's name, such as "sum".
  is_integer: Whether targets are integers.
"""

import io
from typing import Any

import numpy as np

from seqsum.plots.figures import (
  BLUE,
  GREY,
  INK,
  PALE,
  WIDTH,
  Chart,
  ink_on_paper,
)

MOST_FRAMES = 16
MIN_PROBABILITY = 0.005  # smaller ones are not drawn
# The animation stops at these fractions of the way to the next frame, for so
# many milliseconds; longer at whole frames and at the end.
FRACTIONS = 0.2, 0.4, 0.6, 0.8, 1.0
STEP, HOLD, END = 70, 700, 2500


@Chart
def draw(
  figure: Any,
  frames: np.ndarray,
  predictions: np.ndarray,
  values: np.ndarray,
  probabilities: np.ndarray | None,
  task: str,
  is_integer: bool = True,
) -> None:
  """The frames, and above each the prediction with its distribution."""
  from matplotlib.colors import LinearSegmentedColormap, to_rgba
  from matplotlib.offsetbox import AnnotationBbox, OffsetImage

  if not len(frames):
    return
  start = max(0, len(frames) - MOST_FRAMES)
  frames, predictions = frames[start:], predictions[start:]
  position = np.arange(start + 1, start + len(frames) + 1)
  across = min(WIDTH, max(3.2, 0.75 * len(position) + 0.7))
  side = 0.9 * (across - 0.7) / max(len(position), 3)  # of a frame, in inches
  figure.set_size_inches(across, 2.9 + side)
  chart, strip = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, side))
  if probabilities is not None:
    probabilities = probabilities[start:]
    likely = (probabilities > MIN_PROBABILITY).any(axis=0)
    tall = _spacing(values)
    ends = to_rgba(BLUE, 0), to_rgba(BLUE, 0.5)
    colormap = LinearSegmentedColormap.from_list("", ends)
    for x, column in zip(position, probabilities, strict=True):
      chart.bar(
        np.full(likely.sum(), x),
        tall,
        0.84,
        values[likely] - tall / 2,
        color=colormap(column[likely]),
        zorder=1,
      )
  chart.plot(position, predictions, "o-", color=BLUE, ms=5, lw=1.2, zorder=3)
  texts = [f"{value:.4g}" for value in predictions]
  # Bold digits are about 0.7 of their height wide.
  room = 72 * (across - 0.8) / (0.7 * len(texts))
  size = min(10, room / max(map(len, texts)))
  for x, value, text in zip(position, predictions, texts, strict=True):
    finite = np.isfinite(value)
    chart.annotate(
      text,
      (x, value if finite else 0.0),
      (0, 7),
      xycoords="data" if finite else ("data", "axes fraction"),
      textcoords="offset points",
      ha="center",
      color=INK,
      fontsize=size,
      weight="bold" if x == position[-1] else "normal",
    )
  chart.use_sticky_edges = False  # else there is no margin below the lowest bar
  chart.margins(y=0.2)
  if is_integer:
    low, high = chart.get_ylim()
    chart.set_ylim(min(low, -0.04 * high), high)
    chart.yaxis.get_major_locator().set_params(integer=True)
  chart.set_ylabel(f"{task} so far", color=GREY)
  chart.tick_params(axis="x", bottom=False, labelbottom=False)
  for x, frame in zip(position, frames, strict=True):
    if frame.shape[-1] != 3:
      paper = np.uint8(255 - frame.mean(axis=-1, keepdims=True))
      frame = np.repeat(paper, 3, axis=-1)
    box = OffsetImage(frame, zoom=72 * side / max(frame.shape[:2]))
    strip.add_artist(AnnotationBbox(box, (float(x), 0.5), frameon=False))
  strip.set(xlim=(position[0] - 0.6, position[-1] + 0.6), yticks=[])
  strip.set_xticks(position, [str(x) for x in position])
  strip.tick_params(length=0)
  strip.spines[:].set_visible(False)
  strip.set_xlabel("image")


def animate(
  frames: np.ndarray,
  predictions: np.ndarray,
  values: np.ndarray,
  probabilities: np.ndarray | None,
  task: str,
  is_integer: bool = True,
) -> bytes:
  """Animates the frames arriving one by one, with the prediction after each.

  Bars are the distribution; without one, a dot is the prediction. Both change
  gradually from frame to frame.

  Returns:
    A GIF.
  """
  from PIL import Image

  frames, predictions = frames[-MOST_FRAMES:], predictions[-MOST_FRAMES:]
  if probabilities is not None:
    probabilities = probabilities[-MOST_FRAMES:]
  data = frames, predictions, values, probabilities, task, is_integer
  times = [k + part for k in range(len(frames)) for part in FRACTIONS]
  pages = [
    Image.open(io.BytesIO(_draw_moment(*data, time))).convert("RGB")
    for time in times or [0.0]
  ]
  # One palette for all, so that colours do not flicker.
  palette = pages[-1].quantize(64, dither=Image.Dither.NONE)
  pages = [x.quantize(palette=palette, dither=Image.Dither.NONE) for x in pages]
  durations = [HOLD if time == int(time) else STEP for time in times[:-1]]
  file = io.BytesIO()
  pages[0].save(
    file,
    format="gif",
    save_all=True,
    append_images=pages[1:],
    duration=[*durations, END],
    loop=0,
  )
  return file.getvalue()


@Chart
def _draw_moment(
  figure: Any,
  frames: np.ndarray,
  predictions: np.ndarray,
  values: np.ndarray,
  probabilities: np.ndarray | None,
  task: str,
  is_integer: bool,
  time: float,
) -> None:
  """One page of the animation, `time` frames after its start."""
  if not len(frames):
    return
  figure.set(size_inches=(3.6, 2.1), layout_engine="none")
  strip = figure.add_axes((0.02, 0.66, 0.96, 0.3))
  chart = figure.add_axes((0.06, 0.19, 0.9, 0.4))
  before, part = int(np.ceil(time)) - 1, time - np.ceil(time) + 1
  _draw_arriving(strip, frames, before, part)
  drawn = [predictions]
  mix = lambda earlier, later: (1 - part) * earlier + part * later
  if probabilities is not None:
    likely = (probabilities > MIN_PROBABILITY).any(axis=0)
    drawn.append(values[likely])
    earlier = probabilities[before - 1] if before else 0 * probabilities[0]
    mixed = mix(earlier, probabilities[before])
    chart.bar(values[likely], mixed[likely], 0.8 * _spacing(values), color=BLUE)
    shown = values[np.argmax(mixed)]
    at = shown, min(np.nanmax(mixed, initial=0), 1)
  else:
    shown = mix(predictions[max(before - 1, 0)], predictions[before])
    at = shown if np.isfinite(shown) else 0.0, 0.3
    chart.axhline(at[1], color=PALE, lw=1, zorder=0)
    chart.plot(*at, "o", color=BLUE, ms=9)
  chart.annotate(
    f"{shown:.4g}",
    at,
    (0, 5),
    textcoords="offset points",
    ha="center",
    color=INK,
    weight="bold",
    fontsize=12,
  )
  reached = np.concatenate(drawn)
  reached = reached[np.isfinite(reached)]
  low = reached.min(initial=0)
  high = reached.max(initial=1 if is_integer else 0)
  low = 0 if is_integer and low > 0 else low
  margin = 0.05 * (high - low) or 1
  chart.set(xlim=(low - margin, high + margin), ylim=(0, 1.3), yticks=[])
  chart.spines["left"].set_visible(False)
  if is_integer:
    chart.xaxis.get_major_locator().set_params(integer=True)
  chart.set_xlabel(f"{task} so far")


def _draw_arriving(
  axes: Any, frames: np.ndarray, last: int, part: float
) -> None:
  """The frames up to number `last`, which has come `part` of its way."""
  axes.axis("off")
  height, width = frames.shape[1:3]
  for t, frame in enumerate(frames[: last + 1]):
    left = t * 1.08 * width + (t == last) * (1 - part) * width
    axes.imshow(
      ink_on_paper(frame),
      extent=(left, left + width, height, 0),
      alpha=part if t == last else 1.0,
      interpolation="nearest",
    )
  axes.set(xlim=(0, max(len(frames), 4) * 1.08 * width), ylim=(height, 0))
  axes.set_anchor("W")


def _spacing(values: np.ndarray) -> float:
  """The smallest distance between two values; 1 of fewer than two."""
  smallest = np.diff(values).min(initial=np.inf)
  return smallest if np.isfinite(smallest) else 1.0
