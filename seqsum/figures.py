"""How a report looks, and its pictures of frames and filters: arrays -> PNG.

Each is five inches wide, so that its words can be read on a phone and on a
slide. Blue is what is right, vermilion what is wrong; colour is never the only
sign.
"""

import functools
import io
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from seqsum.metrics import WHOLE, is_exact

BLUE, VERMILION = "#0072B2", "#D55E00"  # told apart by the colour-blind
INK, GREY, PALE = "#1F2933", "#66707C", "#D5DAE0"
WIDTH = 5.0  # inches
MOST_FRAMES = 10  # of one sequence, its last ones
FONTS = ("Inter", "Helvetica", "Arial", "Liberation Sans")  # the first there is
STYLE = {
  "savefig.dpi": 200,
  "figure.constrained_layout.use": True,
  "font.size": 10,
  "text.color": INK,
  "axes.labelcolor": GREY,
  "axes.edgecolor": PALE,
  "axes.spines.right": False,
  "axes.spines.top": False,
  "axes.titlesize": 10,
  "axes.titlelocation": "left",
  "xtick.color": PALE,
  "ytick.color": PALE,
  "xtick.labelcolor": GREY,
  "ytick.labelcolor": GREY,
  "legend.frameon": False,
}


def picture(draw: Callable[..., None]) -> Callable[..., bytes]:
  """Makes `draw(figure, ...) -> None` a function `(...) -> PNG`.

  The figure that `draw` gets is Matplotlib's, `WIDTH` inches square until it is
  told otherwise, in the style above. No state of pyplot's is read or changed.
  """

  @functools.wraps(draw)
  def drawn(*args, **kwargs) -> bytes:
    import matplotlib  # a second that only a report needs
    from matplotlib.figure import Figure
    from matplotlib.font_manager import get_font_names

    fonts = [font for font in FONTS if font in get_font_names()]
    family = {"font.family": [*fonts[:1], "DejaVu Sans"]}
    file = io.BytesIO()
    with matplotlib.rc_context(STYLE | family), np.errstate(all="ignore"):
      figure = Figure(figsize=(WIDTH, WIDTH))
      draw(figure, *args, **kwargs)
      figure.savefig(file, format="png")
    return file.getvalue()

  return drawn


@picture
def sequences(
  figure: Any,
  frames: np.ndarray,
  lengths: np.ndarray,
  targets: np.ndarray,
  predictions: np.ndarray,
  tolerance: float = WHOLE,
) -> None:
  """Strips of frames; under each frame the prediction there and the truth.

  Args:
    frames: [M, T, H, W, C] uint8, or float, of which the largest becomes white
      (or full ink). One channel is drawn as ink on paper, three as colours, the
      mean of any other number as ink.
    lengths: [M] int, 1..T.
    targets, predictions: [M, T] float; of vectors [M, T, D] the first part.
    tolerance: How near is right.
  """
  if frames.dtype != np.uint8:
    low, high = frames.min(), frames.max()
    frames = np.uint8(255 * (frames - low) / max(high - low, 1e-9))
  if targets.ndim == 3:
    targets, predictions = targets[..., 0], predictions[..., 0]
  whole = tolerance == WHOLE
  height, width = frames.shape[2:4]
  longest = min(lengths.max(), MOST_FRAMES)
  strips = max(1, 8 // longest)  # side by side
  gap = 0.7 * width
  across = max(8 * width, strips * (longest * width + gap) - gap)
  inch = across / (WIDTH - 0.2)  # in frame pixels
  down = height + 0.52 * inch  # from strip to strip
  rows = math.ceil(len(frames) / strips)
  tall = rows * down + 0.35 * inch
  figure.set(size_inches=(WIDTH, tall / inch + 0.2), layout_engine="none")
  axes = figure.add_axes((0.1 / WIDTH, 0, 1 - 0.2 / WIDTH, 1))
  axes.axis("off")
  word = functools.partial(axes.text, ha="center", va="baseline")
  word(0, 0.15 * inch, "prediction so far", ha="left", fontsize=9)
  word(0, 0.3 * inch, "true value so far", ha="left", fontsize=9, color=GREY)
  key = (
    f"✓ {'rounds to' if whole else f'within {tolerance:.2g} of'} the true value"
  )
  word(across, 0.15 * inch, key, ha="right", fontsize=9, color=BLUE)
  for i, (strip, length) in enumerate(zip(frames, lengths, strict=True)):
    left = (i % strips) * (longest * width + gap)
    top = (i // strips) * down + 0.45 * inch
    first = max(0, length - MOST_FRAMES)
    right = left + (length - first) * width
    axes.imshow(
      ink(np.concatenate(strip[first:length], axis=1)),
      extent=(left, right, top + height, top),
      interpolation="nearest",
    )
    if frames.shape[-1] == 3:  # digits have paper between them
      edges = left + width * np.arange(1, length - first)
      axes.vlines(edges, top, top + height, color="white", lw=2)
    if first:
      word(left, top + height / 2, "…", ha="right", fontsize=7)
    for t in range(first, length):
      middle = left + (t - first + 0.5) * width
      said = _short(predictions[i, t], places=1 if whole else 2)
      look = {"fontsize": 9, "color": INK}
      if t == length - 1:
        exact = is_exact(predictions[i, t], targets[i, t], tolerance)
        said += "✓" if exact else "✗"
        look |= {"color": BLUE if exact else VERMILION, "weight": "bold"}
      word(middle, top + height + 0.17 * inch, said, **look)
      word(
        middle,
        top + height + 0.32 * inch,
        _short(targets[i, t], places=0 if whole else 2),
        fontsize=9,
        color=GREY,
      )
  axes.set(xlim=(0, across), ylim=(tall, 0))


def ink(image: np.ndarray) -> np.ndarray:
  """[H, W, C] uint8 -> [H, W, 3] float in 0..1, on white paper."""
  if image.shape[-1] == 3:
    return image / 255
  ink = image.mean(axis=-1, keepdims=True) / 255
  paper, pen = np.array([0.955, 0.96, 0.97]), np.array([0.08, 0.11, 0.15])
  return paper + ink * (pen - paper)


def _short(value: float, places: int = 1) -> str:
  """In at most six letters."""
  if abs(value) < 1e5:
    return f"{value:.{places if abs(value) < 100 else 0}f}"
  return f"{value:.0e}".replace("e+", "e")  # or inf, or nan


@picture
def filters(figure: Any, before: np.ndarray, after: np.ndarray) -> None:
  """The first layer's kernels before and after training."""
  draw_filters(figure, {"before": before, "after": after})


def draw_filters(figure: Any, kernels: Mapping[str, np.ndarray]) -> None:
  """Rows of kernels, one below the other, on one colour scale.

  Args:
    figure: Where to.
    kernels: By name, [kh, kw, C, F] float, of one shape. A filter's C channels
      stand one below the other.
  """
  before = next(iter(kernels.values()))
  finite = np.abs(np.stack(list(kernels.values())))
  limit = np.max(finite, where=np.isfinite(finite), initial=0) or 1.0
  kh, kw, channels, count = before.shape
  across = min(max(count, 8), 16 if kw < 8 else 8)
  rows = math.ceil(count / across) * (channels * kh + 1)
  inch = (across * (kw + 1) - 1) / (WIDTH - 0.75)
  figure.set_size_inches(WIDTH, len(kernels) * rows / inch + 0.75)
  axes = figure.subplots(len(kernels), 1, squeeze=False)[:, 0]
  for ax, (name, kernel) in zip(axes, kernels.items(), strict=True):
    sheet = np.full((rows - 1, across * (kw + 1) - 1), np.nan)
    for i in range(count):
      y = i // across * (channels * kh + 1)
      x = i % across * (kw + 1)
      tile = kernel[..., i].transpose(2, 0, 1).reshape(channels * kh, kw)
      sheet[y : y + channels * kh, x : x + kw] = tile
    scale = ax.imshow(sheet, cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
  bar = figure.colorbar(scale, ax=axes, location="bottom", aspect=50)
  bar.set_ticks(
    [-limit, 0, limit], labels=[f"-{limit:.2f}", "0", f"{limit:.2f}"]
  )
  bar.set_label("weight")
