"""How a report looks, and its pictures of frames and filters: arrays -> PNG.

Each is five inches wide, so that its words can be read on a phone and on a
slide. Blue is what is right, vermilion what is wrong; colour is never the only
sign.
"""

import contextlib
import functools
import io
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from seqsum.sequences.tasks import ROUNDING
from seqsum.training.metrics import is_exact, number

BLUE, VERMILION = "#0072B2", "#D55E00"  # told apart by the colour-blind
INK, GREY, PALE = "#1F2933", "#66707C", "#D5DAE0"
FAINT = "#F0F2F5"
# On a dark page; white is what the page has behind its figures.
DARK = {
  "#FFFFFF": "#1D2126",
  "#000000": "#F3F5F7",
  INK: "#E8EAED",
  GREY: "#A3ABB5",
  PALE: "#454D57",
  FAINT: "#2A3037",
  BLUE: "#56B4E9",
  VERMILION: "#FF8B3D",
}
COLOURED = (
  "color",
  "facecolor",
  "edgecolor",
  "markerfacecolor",
  "markeredgecolor",
)
# Frames that are ink: paper and pen.
PAPER, PEN = np.array([0.955, 0.96, 0.97]), np.array([0.08, 0.11, 0.15])
DARK_PAPER, DARK_PEN = (
  np.array([0.17, 0.19, 0.22]),
  np.array([0.96, 0.97, 0.98]),
)
ON_PAPER = "ink on paper"  # the mark of their images
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


class Chart:
  """A function from data to a picture; made by the decorator `picture`.

  The figure that `draw` gets is Matplotlib's, `WIDTH` inches square until
  `draw` changes that, in the style above. No state of pyplot's is read or
  changed.
  """

  def __init__(self, draw: Callable[..., None]):
    self._draw = draw
    functools.update_wrapper(self, draw)

  def __call__(self, *args, **kwargs) -> bytes:
    """Returns the picture as a PNG, for a light page."""
    with _style():
      return _png(self._figure(*args, **kwargs))

  def both(self, *args, **kwargs) -> tuple[bytes, bytes]:
    """Returns two PNGs of one size: for a light page, and for a dark one."""
    with _style():
      figure = self._figure(*args, **kwargs)
      light = _png(figure)
      figure.set_layout_engine("none")  # everything has its place by now
      _darken(figure)
      return light, _png(figure)

  def figure(self, *args, **kwargs) -> Any:
    """Returns Matplotlib's Figure, for those who measure what is in it."""
    with _style():
      figure = self._figure(*args, **kwargs)
      figure.draw_without_rendering()
    return figure

  def _figure(self, *args, **kwargs) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, WIDTH))
    self._draw(figure, *args, **kwargs)
    return figure


def picture(draw: Callable[..., None]) -> Chart:
  """Makes `draw(figure, ...) -> None` a function `(...) -> PNG`."""
  return Chart(draw)


@contextlib.contextmanager
def _style() -> Iterator[None]:
  import matplotlib  # a second that only a report needs
  from matplotlib.font_manager import get_font_names

  fonts = [font for font in FONTS if font in get_font_names()]
  family = {"font.family": [*fonts[:1], "DejaVu Sans"]}
  with matplotlib.rc_context(STYLE | family), np.errstate(all="ignore"):
    yield


def _png(figure: Any) -> bytes:
  file = io.BytesIO()
  figure.savefig(file, format="png")
  return file.getvalue()


def _darken(figure: Any) -> None:
  """Exchanges the colours of all that a figure holds for those of `DARK`.

  Colours that are not in `DARK` stay; so do images, but for frames that are ink
  on paper (`show`).
  """
  from matplotlib import colors
  from matplotlib.text import Text

  dark = {key.lower(): colors.to_rgb(value) for key, value in DARK.items()}

  def exchange(color: Any) -> np.ndarray:
    rgba = colors.to_rgba_array(color).copy()
    for one in rgba:
      if one[3]:  # else it is not to be seen
        one[:3] = dark.get(colors.to_hex(one), one[:3])
    return rgba

  artists = figure.findobj()
  for text in [x for x in artists if isinstance(x, Text)]:
    if box := text.get_bbox_patch():
      artists.append(box)
  for artist in artists:
    if artist.get_gid() == ON_PAPER:
      share = (artist.get_array() - PAPER) / (PEN - PAPER)
      artist.set_data(DARK_PAPER + share * (DARK_PEN - DARK_PAPER))
    for name in COLOURED:
      get = getattr(artist, f"get_{name}", None)
      if get is None or not hasattr(artist, f"set_{name}"):
        continue
      rgba = exchange(get())
      if len(rgba):  # not "none"
        one = len(rgba) == 1
        getattr(artist, f"set_{name}")(tuple(rgba[0]) if one else rgba)


def nothing(figure: Any) -> None:
  """Draw a note that there is nothing to draw."""
  figure.set_size_inches(WIDTH, 0.6)
  figure.text(0.5, 0.5, "nothing to draw", ha="center", va="center", color=GREY)


@picture
def sequences(
  figure: Any,
  frames: np.ndarray,
  lengths: np.ndarray,
  targets: np.ndarray,
  predictions: np.ndarray,
  tolerance: float = ROUNDING,
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
  if not len(frames):
    nothing(figure)
    return
  if frames.dtype != np.uint8:
    finite = frames[np.isfinite(frames)]
    low, high = finite.min(initial=0), finite.max(initial=0)
    share = (frames - low) / max(high - low, 1e-9)
    frames = np.uint8(255 * np.clip(np.nan_to_num(share), 0, 1))
  if targets.ndim == 3:
    targets, predictions = targets[..., 0], predictions[..., 0]
  whole = tolerance == ROUNDING
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
  word = functools.partial(axes.text, ha="center", va="baseline", fontsize=9)
  # A target that is the same at all frames is known at the last.
  constant = longest > 1 and all(
    (row[:length] == row[0]).all()
    for row, length in zip(targets, lengths, strict=True)
  )
  said = "true value" if constant else "true value so far"
  word(0, 0.15 * inch, "prediction so far", ha="left")
  word(0, 0.3 * inch, said, ha="left", color=GREY)
  near = "rounds to" if whole else f"within {tolerance:.2g} of"
  far = "does not" if whole else "is not"
  word(across, 0.15 * inch, f"✓ {near} the true value", ha="right", color=BLUE)
  word(across, 0.3 * inch, f"✗ {far}", ha="right", color=VERMILION)
  for i, (strip, length) in enumerate(zip(frames, lengths, strict=True)):
    left = (i % strips) * (longest * width + gap)
    top = (i // strips) * down + 0.45 * inch
    first = max(0, length - MOST_FRAMES)
    right = left + (length - first) * width
    axes.imshow(
      ink(np.concatenate(strip[first:length], axis=1)),
      extent=(left, right, top + height, top),
      interpolation="nearest",
      gid=mark(strip),
    )
    if frames.shape[-1] == 3:  # digits have paper between them
      edges = left + width * np.arange(1, length - first)
      axes.vlines(edges, top, top + height, color="white", lw=2)
    if first:
      word(left, top + height / 2, "…", ha="right", fontsize=7)
    for t in range(first, length):
      middle = left + (t - first + 0.5) * width
      said = _short(predictions[i, t], places=1 if whole else 2)
      look = {"color": INK}
      if t == length - 1:
        exact = is_exact(predictions[i, t], targets[i, t], tolerance)
        said += "✓" if exact else "✗"
        look |= {"color": BLUE if exact else VERMILION, "weight": "bold"}
      word(middle, top + height + 0.17 * inch, said, **look)
      if constant and t < length - 1:
        continue
      word(
        middle,
        top + height + 0.32 * inch,
        _short(targets[i, t], places=0 if whole else 2),
        color=GREY,
      )
  axes.set(xlim=(0, across), ylim=(tall, 0))


def as_they_are(frames: np.ndarray) -> np.ndarray:
  """[..., H, W, C] frames that are no ink: grey ones get three equal channels.

  Charts draw one channel as ink on paper, which is right for digits and makes
  negatives of all else.
  """
  return np.repeat(frames, 3, axis=-1) if frames.shape[-1] == 1 else frames


def ink(image: np.ndarray) -> np.ndarray:
  """[H, W, C] uint8 -> [H, W, 3] float in 0..1, on white paper."""
  if image.shape[-1] == 3:
    return image / 255
  ink = image.mean(axis=-1, keepdims=True) / 255
  return PAPER + ink * (PEN - PAPER)


def mark(image: np.ndarray) -> str | None:
  """The `gid` of the Matplotlib image that shows a frame [H, W, C].

  In the picture for a dark page, ink on paper becomes light on dark; colours
  stay.
  """
  return None if image.shape[-1] == 3 else ON_PAPER


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
  if not kernels:
    nothing(figure)
    return
  finite = np.abs(np.stack(list(kernels.values())))
  limit = np.max(finite, where=np.isfinite(finite), initial=0) or 1.0
  kh, kw, channels, count = next(iter(kernels.values())).shape
  across = 8 if count * channels <= 32 else 12  # large enough to be seen
  rows = math.ceil(count / across) * (channels * kh + 1)
  inch = (across * (kw + 1) - 1) / (WIDTH - 0.2)
  figure.set_size_inches(WIDTH, len(kernels) * (rows / inch + 0.25) + 0.75)
  panels = figure.subplots(len(kernels), 1, squeeze=False)[:, 0]
  for axes, (name, kernel) in zip(panels, kernels.items(), strict=True):
    sheet = np.full((rows - 1, across * (kw + 1) - 1), np.nan)
    for i in range(count):
      y = i // across * (channels * kh + 1)
      x = i % across * (kw + 1)
      tile = kernel[..., i].transpose(2, 0, 1).reshape(channels * kh, kw)
      sheet[y : y + channels * kh, x : x + kw] = tile
    scale = axes.imshow(sheet, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_title(name)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
  bar = figure.colorbar(scale, ax=panels, location="bottom", aspect=50)
  ends = number(limit, 2)
  bar.set_ticks([-limit, 0, limit], labels=[f"-{ends}", "0", ends])
  bar.outline.set_visible(False)
  bar.set_label("weight")
