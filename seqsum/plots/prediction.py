"""Pictures of what a network reads in one sequence: PNG, or a moving GIF."""

import io
from typing import Any

import numpy as np

from seqsum.plots import figures
from seqsum.plots.figures import BLUE, GREY, INK, PALE, WIDTH, nothing, picture

MOST_FRAMES = 16  # of one sequence, its last ones
# Of the animation: where between two frames it stops, and milliseconds.
MOVES = 0.2, 0.4, 0.6, 0.8, 1.0
STEP, HOLD, END = 70, 700, 2500


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


def animate(
  frames: np.ndarray,
  predictions: np.ndarray,
  values: np.ndarray,
  probabilities: np.ndarray | None,
  task: str,
  whole: bool = True,
) -> bytes:
  """The frames arriving one by one, and what is predicted after each: a GIF.

  Bars are the distribution of the value so far, which fades from one frame's to
  the next one's; of a network without a distribution a dot moves.

  Args:
    frames, predictions, values, probabilities, task, whole: As of `draw`. Of
      more than `MOST_FRAMES` frames the last ones are shown.
  """
  from PIL import Image

  data = frames, predictions, values, probabilities
  last = [x if x is values or x is None else x[-MOST_FRAMES:] for x in data]
  times = [k + move for k in range(len(last[0])) for move in MOVES]
  shown = [
    Image.open(io.BytesIO(_moment(*last, task, whole, time))).convert("RGB")
    for time in times or [0.0]
  ]
  # One palette for all: colours do not flicker.
  palette = shown[-1].quantize(64, dither=Image.Dither.NONE)
  shown = [x.quantize(palette=palette, dither=0) for x in shown]
  holds = [HOLD if time == int(time) else STEP for time in times[:-1]]
  file = io.BytesIO()
  shown[0].save(
    file,
    format="gif",
    save_all=True,
    append_images=shown[1:],
    duration=[*holds, END],
    loop=0,
  )
  return file.getvalue()


@picture
def _moment(
  figure: Any,
  frames: np.ndarray,
  predictions: np.ndarray,
  values: np.ndarray,
  probabilities: np.ndarray | None,
  task: str,
  whole: bool,
  time: float,
) -> None:
  """One picture of `animate`, after so many frames; between two, a mixture."""
  if not len(frames):
    nothing(figure)
    return
  figure.set(size_inches=(3.6, 2.1), layout_engine="none")
  strip = figure.add_axes((0.02, 0.66, 0.96, 0.3))
  chart = figure.add_axes((0.06, 0.19, 0.9, 0.4))
  strip.axis("off")
  before, new = int(np.ceil(time)) - 1, time - np.ceil(time) + 1
  height, width = frames.shape[1:3]
  for t, frame in enumerate(frames[: before + 1]):
    left = t * 1.08 * width + (t == before) * (1 - new) * width
    strip.imshow(
      figures.ink(frame),
      extent=(left, left + width, height, 0),
      alpha=new if t == before else 1.0,
      interpolation="nearest",
    )
  strip.set(xlim=(0, max(len(frames), 4) * 1.08 * width), ylim=(height, 0))
  strip.set_anchor("W")
  seen = [predictions]
  if probabilities is not None:
    likely = (probabilities > 0.005).any(axis=0)
    seen.append(values[likely])
    step = np.diff(values).min(initial=np.inf)
    step = step if np.isfinite(step) else 1.0
    earlier = probabilities[before - 1] if before else 0 * probabilities[0]
    mixed = (1 - new) * earlier + new * probabilities[before]
    chart.bar(values[likely], mixed[likely], 0.8 * step, color=BLUE)
    top, says = np.nanmax(mixed, initial=0), values[np.argmax(mixed)]
    at = says, min(top, 1)
  else:
    earlier = predictions[before - 1] if before else predictions[0]
    says = (1 - new) * earlier + new * predictions[before]
    at = says if np.isfinite(says) else 0.0, 0.3
    chart.axhline(at[1], color=PALE, lw=1, zorder=0)
    chart.plot(*at, "o", color=BLUE, ms=9)
  chart.annotate(
    f"{says:.4g}",
    at,
    (0, 5),
    textcoords="offset points",
    ha="center",
    color=INK,
    weight="bold",
    fontsize=12,
  )
  seen = np.concatenate(seen)
  seen = seen[np.isfinite(seen)]
  low, high = seen.min(initial=0), seen.max(initial=1 if whole else 0)
  low = 0 if whole and low > 0 else low
  room = 0.05 * (high - low) or 1
  chart.set(xlim=(low - room, high + room), ylim=(0, 1.3), yticks=[])
  chart.spines["left"].set_visible(False)
  if whole:
    chart.xaxis.get_major_locator().set_params(integer=True)
  chart.set_xlabel(f"{task} so far")
