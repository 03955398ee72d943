"""What a trained network says of one sequence -> PNG, as `figures` looks."""

from typing import Any

import numpy as np

from seqsum.figures import BLUE, GREY, INK, WIDTH, nothing, picture

MOST_FRAMES = 16  # of one sequence, its last ones


@picture
def draw(
  figure: Any,
  frames: np.ndarray,
  predictions: np.ndarray,
  values: np.ndarray,
  probabilities: np.ndarray | None,
  task: str,
  whole: bool = True,
) -> None:
  """The frames, and above each the running value with its distribution.

  Args:
    frames: [T, H, W, C] uint8; three channels are colours, else white is ink.
    predictions: [T] float, digit units.
    values: [V] float, ascending, what the probabilities are of.
    probabilities: [T, V] float, or None if there are none.
    task: What the fold is called, "sum".
    whole: Whether values are whole numbers.
  """
  from matplotlib.colors import LinearSegmentedColormap, to_rgba
  from matplotlib.offsetbox import AnnotationBbox, OffsetImage

  if not len(frames):
    nothing(figure)
    return
  start = max(0, len(frames) - MOST_FRAMES)
  frames, predictions = frames[start:], predictions[start:]
  place = np.arange(start + 1, start + len(frames) + 1)
  across = min(WIDTH, max(3.2, 0.75 * len(place) + 0.7))
  side = 0.9 * (across - 0.7) / max(len(place), 3)  # of a frame, in inches
  figure.set_size_inches(across, 2.9 + side)
  chart, strip = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, side))
  if probabilities is not None:
    shares = probabilities[start:]
    shown = (shares > 0.005).any(axis=0)
    tall = np.diff(values).min(initial=np.inf)
    tall = tall if np.isfinite(tall) else 1.0
    clear = to_rgba(BLUE, 0), to_rgba(BLUE, 0.5)
    ink = LinearSegmentedColormap.from_list("", clear)
    for x, column in zip(place, shares, strict=True):
      chart.bar(
        np.full(shown.sum(), x),
        tall,
        0.84,
        values[shown] - tall / 2,
        color=ink(column[shown]),
        zorder=1,
      )
  chart.plot(place, predictions, "o-", color=BLUE, ms=5, lw=1.2, zorder=3)
  for x, value in zip(place, predictions, strict=True):
    finite = np.isfinite(value)
    chart.annotate(
      f"{value:.4g}",
      (x, value if finite else 0.0),
      (0, 7),
      xycoords="data" if finite else ("data", "axes fraction"),
      textcoords="offset points",
      ha="center",
      color=INK,
      weight="bold" if x == place[-1] else "normal",
    )
  chart.use_sticky_edges = False  # the lowest box has room below it
  chart.margins(y=0.2)
  if whole:
    low, high = chart.get_ylim()
    chart.set_ylim(min(low, -0.04 * high), high)  # from nothing
  chart.set_ylabel(f"{task} so far", color=GREY)
  chart.tick_params(axis="x", bottom=False, labelbottom=False)
  if whole:
    chart.yaxis.get_major_locator().set_params(integer=True)
  for x, frame in zip(place, frames, strict=True):
    if frame.shape[-1] != 3:
      paper = np.uint8(255 - frame.mean(axis=-1, keepdims=True))
      frame = np.repeat(paper, 3, axis=-1)
    box = OffsetImage(frame, zoom=72 * side / max(frame.shape[:2]))
    strip.add_artist(AnnotationBbox(box, (x, 0.5), frameon=False))
  strip.set(xlim=(place[0] - 0.6, place[-1] + 0.6), yticks=[])
  strip.set_xticks(place, [str(x) for x in place])
  strip.tick_params(length=0)
  strip.spines[:].set_visible(False)
  strip.set_xlabel("image")
