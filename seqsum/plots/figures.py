"""The look that all figures share, and their PNGs for light and dark pages.

Figures are five inches wide, so that their text is readable on a phone and on a
slide. Blue means correct and vermilion wrong; colour is never the only sign.
"""

import contextlib
import functools
import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

BLUE, VERMILION = "#0072B2", "#D55E00"  # distinct for the colour-blind
INK, GREY, PALE = "#1F2933", "#66707C", "#D5DAE0"
FAINT = "#F0F2F5"
# Light page -> dark page; white is the background of a figure.
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
COLOR_PROPERTIES = (
  "color",
  "facecolor",
  "edgecolor",
  "markerfacecolor",
  "markeredgecolor",
)
# The ends of the colour scale on which digits are drawn, RGB in 0..1.
PAPER, PEN = np.array([0.955, 0.96, 0.97]), np.array([0.08, 0.11, 0.15])
DARK_PAPER = np.array([0.17, 0.19, 0.22])
DARK_PEN = np.array([0.96, 0.97, 0.98])
ON_PAPER = "ink on paper"  # the `gid` of images on that scale
WIDTH = 5.0  # inches
MOST_FRAMES = 10  # shown of one sequence, the last ones
FONTS = ("Inter", "Helvetica", "Arial", "Liberation Sans")  # first installed
STYLE: dict[Any, Any] = {  # of Matplotlib's rcParams
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
  """Decorator that turns `draw(figure, ...) -> None` into `(...) -> PNG`.

  `draw` gets a Matplotlib Figure of `WIDTH` inches square, in the style above,
  and may resize it. A figure without axes, since there are no data, gets the
  words "nothing to draw". Pyplot's global state is neither read nor changed.
  """

  def __init__(self, draw: Callable[..., None]):
    self._draw = draw
    functools.update_wrapper(self, draw)

  def __call__(self, *args, **kwargs) -> bytes:
    """Returns a PNG for a light page."""
    with _style():
      return _png(self._figure(*args, **kwargs))

  def light_and_dark(self, *args, **kwargs) -> tuple[bytes, bytes]:
    """Returns two PNGs of one size: for a light page and for a dark one."""
    with _style():
      figure = self._figure(*args, **kwargs)
      light = _png(figure)
      figure.set_layout_engine("none")  # the layout is final
      _darken(figure)
      return light, _png(figure)

  def figure(self, *args, **kwargs) -> Any:
    """Returns the Matplotlib Figure, laid out."""
    with _style():
      figure = self._figure(*args, **kwargs)
      figure.draw_without_rendering()
    return figure

  def _figure(self, *args, **kwargs) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, WIDTH))
    self._draw(figure, *args, **kwargs)
    if not figure.axes:
      figure.set_size_inches(WIDTH, 0.6)
      figure.text(
        0.5, 0.5, "nothing to draw", ha="center", va="center", color=GREY
      )
    return figure


@contextlib.contextmanager
def _style() -> Iterator[None]:
  import matplotlib  # takes a second, and only reports need it
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
  """Replaces the colours of a figure's artists by those of `DARK`.

  Other colours stay, and so do images, except frames drawn as ink on paper.
  """
  from matplotlib import colors
  from matplotlib.text import Text

  dark = {key.lower(): colors.to_rgb(value) for key, value in DARK.items()}

  def convert(color: Any) -> np.ndarray:
    rgba = colors.to_rgba_array(color).copy()
    for one in rgba:
      if one[3]:  # not transparent
        one[:3] = dark.get(colors.to_hex(one), one[:3])
    return rgba

  artists = figure.findobj()
  for text in [x for x in artists if isinstance(x, Text)]:
    if box := text.get_bbox_patch():
      artists.append(box)
  for artist in artists:
    if artist.get_gid() == ON_PAPER:
      ink = (artist.get_array() - PAPER) / (PEN - PAPER)
      artist.set_data(DARK_PAPER + ink * (DARK_PEN - DARK_PAPER))
    for name in COLOR_PROPERTIES:
      get = getattr(artist, f"get_{name}", None)
      if get is None or not hasattr(artist, f"set_{name}"):
        continue
      rgba = convert(get())
      if len(rgba):  # not "none"
        one = len(rgba) == 1
        getattr(artist, f"set_{name}")(tuple(rgba[0]) if one else rgba)


def grey_to_rgb(frames: np.ndarray) -> np.ndarray:
  """[..., H, W, 1] frames -> [..., H, W, 3]; others are returned unchanged.

  Charts draw one channel as ink on paper, which suits digits and would turn a
  grey video into its negative.
  """
  return np.repeat(frames, 3, axis=-1) if frames.shape[-1] == 1 else frames


def ink_on_paper(image: np.ndarray) -> np.ndarray:
  """[H, W, C] uint8 -> [H, W, 3] float in 0..1 to draw, dark on light.

  Three channels are colours and stay; of others the mean is the ink.
  """
  if image.shape[-1] == 3:
    return image / 255
  ink = image.mean(axis=-1, keepdims=True) / 255
  return PAPER + ink * (PEN - PAPER)


def frame_gid(image: np.ndarray) -> str | None:
  """The `gid` of the Matplotlib image that shows a frame [H, W, C].

  On a dark page, ink on paper becomes light on dark; colours stay.
  """
  return None if image.shape[-1] == 3 else ON_PAPER
