"""A picture of one digit -> a frame as MNIST has them.

MNIST was made so (LeCun et al. 1998, and yann.lecun.com/exdb/mnist): black and
white digits were scaled to fit a box of 20x20 pixels, keeping their aspect
ratio, with anti-aliasing, and moved so that the centre of mass of the ink is in
the middle of 28x28. What a camera adds must go first: the light that falls on
the paper, its noise, and which of ink and paper is the darker.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from seqsum.runtime.errors import InputError

SIDE, BOX = 28, 20  # of a frame, of the digit on it; pixels
FINE = 10  # parts of a pixel, while a digit is scaled and moved
# Of MNIST's test digits, in pixels; measured: index of the centre of mass, the
# same along both axes, and the width that three of four strokes have at least.
CENTRE, STROKE = 14.0, 2.0
WORK = 384  # a larger picture is made smaller first
FAINT = 0.06  # ink that differs less from the paper is none; paper is 1
NOISE = 10  # deviations that ink must stand out by; chance reaches 7
STRAY = 0.06  # a spot with less ink than this share of the largest is no part
# Doubts about a picture, in shares of the longest side of the ink: an area of
# ink in which a circle of a larger radius fits is paper on a darker table;
# parts of at least this length may be digits, if a blank strip wider than this
# is between them. Ink along this share of an edge of the picture is a table.
THICK, SMALL, GAP, ALONG_EDGE = 0.21, 0.5, 0.1, 0.9
BORDER = (
  "shows a large area beside the strokes, such as a table around the paper: "
  "cut the picture to the paper"
)
SEPARATE = "shows several separate inks: give each digit a picture of its own"


def frame(picture: np.ndarray) -> np.ndarray:
  """Crops, scales and centres one digit.

  Args:
    picture: [H, W] float, the brightness at each place in 0..1. One digit, dark
      on light or light on dark, on paper that reaches the edges.

  Returns:
    [28, 28, 1] uint8, ink is 255.

  Raises:
    InputError: The picture shows nothing but paper.
  """
  return frame_and_doubt(picture)[0]


def frame_and_doubt(picture: np.ndarray) -> tuple[np.ndarray, str | None]:
  """`frame`, and why the picture may show something else than one digit."""
  ink, is_dark = find_ink(_limit(np.asarray(picture, np.float32)))
  return _frame(ink), _doubt(ink, is_dark)


def _doubt(ink: np.ndarray, is_dark: bool) -> str | None:
  """Why ink [H, W] may be something else than one digit."""
  mask = ink > 0.5
  if not mask.any():
    return None
  edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
  if max(edge.mean() for edge in edges) > ALONG_EDGE:
    return BORDER
  if not is_dark:  # paper on a table is taken for light ink
    radius = ndimage.distance_transform_edt(np.pad(mask, 1)).max()
    if radius > THICK * max(_crop(ink).shape):
      return BORDER
  return SEPARATE if _is_separate(mask) else None


def _is_separate(mask: np.ndarray) -> bool:
  """Whether a blank strip, upright or level, divides parts as large as digits.

  The parts of one digit with a broken stroke overlap in both directions.
  """
  labels, _ = ndimage.label(mask, np.ones((3, 3)))
  boxes = ndimage.find_objects(labels)
  sides = [max(x.stop - x.start for x in box) for box in boxes]
  longest = max(sides)
  large = [
    n for n, side in enumerate(sides, start=1) if side >= SMALL * longest
  ]
  mask = np.isin(labels, large)
  blank = [
    np.diff(np.flatnonzero(mask.any(axis))).max(initial=1) for axis in (0, 1)
  ]
  return max(blank) - 1 > GAP * longest


def _frame(ink: np.ndarray) -> np.ndarray:
  digit = _crop(ink)
  longest = max(digit.shape)
  height, width = (max(1, round(BOX * FINE * n / longest)) for n in digit.shape)
  digit = _resize(digit, width, height)
  return _centre(_thicken(np.clip(digit, 0, 1)))


def find_ink(picture: np.ndarray) -> tuple[np.ndarray, bool]:
  """How much ink each place has, and whether ink is darker than the paper.

  Returns:
    [H, W] float, 0 for paper, about 1 for ink; a bool.

  Raises:
    InputError: There is nothing but paper.
  """
  paper = _paper(picture)
  differs = picture - paper
  # A little blur against the noise, before the peaks are compared.
  smooth = ndimage.gaussian_filter(differs, max(picture.shape) / WORK)
  dark = bool(_weight(-smooth) >= _weight(smooth))
  # Light falls on ink as on paper, so dark ink is a share of the paper's light.
  ink = -differs / np.maximum(paper, 0.05) if dark else differs
  smooth = ndimage.gaussian_filter(ink, max(picture.shape) / WORK)
  # A quarter of a normal distribution lies within 0.319 deviations; ink may
  # cover up to three quarters of a picture that is cut close.
  noise = np.quantile(np.abs(smooth), 0.25) / 0.319
  peak = smooth.max()
  if peak < max(FAINT, NOISE * noise):
    raise InputError("nothing but paper: no digit is to be seen")
  core = smooth > peak / 2
  level = np.median(ink[core])
  spots = _spots(core, ink)
  # Grey edges belong to the ink; what stands away from it does not.
  near = ndimage.binary_dilation(spots, iterations=2)
  low = min(0.25 * level, 2 * noise)
  ink = np.where(near, np.clip((ink - low) / (level - low), 0, 1), 0)
  return ink, dark


def _limit(picture: np.ndarray) -> np.ndarray:
  """At most `WORK` on the longer side."""
  height, width = picture.shape
  scale = WORK / max(height, width)
  if scale >= 1:
    return picture
  return _resize(
    picture, max(1, round(width * scale)), max(1, round(height * scale))
  )


def _resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
  """Anti-aliased where it shrinks."""
  image = Image.fromarray(picture.astype(np.float32))
  size = (width, height)
  return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def _paper(picture: np.ndarray) -> np.ndarray:
  """[H, W] float: the light of the paper, quadratic along both axes.

  It is fitted to the edges, which are paper for the most part, and then to all
  that is near the fit, so that ink anywhere does not matter.
  """
  coarse = picture[tuple(slice(None, None, -(-n // 48)) for n in picture.shape)]
  down, across = map(_powers, coarse.shape)
  terms = np.einsum("yi,xj->yxij", down, across).reshape(*coarse.shape, -1)
  known = _rim(coarse)
  for _ in range(5):
    solution, *_ = np.linalg.lstsq(terms[known], coarse[known], rcond=None)
    away = np.abs(coarse - terms @ solution)
    spread = 1.4826 * np.median(away[known])
    known = away <= max(2.5 * spread, 0.02)
  down, across = map(_powers, picture.shape)
  return down @ solution.reshape(3, 3) @ across.T


def _powers(size: int) -> np.ndarray:
  """[size, 3]: 1, x and x^2 of places x in -1..1."""
  return np.vander(np.linspace(-1, 1, size), 3).astype(np.float32)


def _rim(picture: np.ndarray) -> np.ndarray:
  """[H, W] bool: the edges, without what is far from most of them."""
  y, x = (np.abs(np.linspace(-1, 1, n)) > 0.86 for n in picture.shape)
  edge = y[:, None] | x[None, :]
  return edge & (np.abs(picture - np.median(picture[edge])) <= 0.5)


def _weight(signed: np.ndarray) -> float:
  """How much stands out on the positive side: the mean of large values."""
  return float(np.square(np.maximum(signed, 0)).mean())


def _spots(core: np.ndarray, ink: np.ndarray) -> np.ndarray:
  """The connected parts of a digit, without specks; [H, W] bool."""
  labels, count = ndimage.label(core, np.ones((3, 3)))
  weights = ndimage.sum_labels(ink, labels, np.arange(count + 1))
  weights[0] = 0
  return (weights >= STRAY * weights.max())[labels] & core


def _crop(ink: np.ndarray) -> np.ndarray:
  """The smallest box that holds the darker half of each edge."""
  rows, columns = (np.flatnonzero((ink > 0.5).any(axis)) for axis in (1, 0))
  return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _thicken(digit: np.ndarray) -> np.ndarray:
  """Makes a thin pen as wide as MNIST's: a hair would be lost in 20 pixels."""
  mask = np.pad(digit > 0.5, 1)
  # Of a long stroke the mean distance from the edge is a quarter of its width.
  width = 4 * ndimage.distance_transform_edt(mask)[mask].mean() / FINE
  lacks = round((STROKE - width) / 2 * FINE)
  if lacks <= 0:
    return digit
  y, x = np.ogrid[-lacks : lacks + 1, -lacks : lacks + 1]
  disk = x * x + y * y <= lacks * lacks
  wide = ndimage.grey_dilation(np.pad(digit, lacks), footprint=disk)
  longest = max(wide.shape)
  height, width = (max(1, round(BOX * FINE * n / longest)) for n in wide.shape)
  return _resize(wide, width, height)


def _centre(digit: np.ndarray) -> np.ndarray:
  """Puts a digit of FINE parts a pixel on a frame; [28, 28, 1] uint8."""
  sheet = np.zeros((SIDE * FINE, SIDE * FINE))
  places = []
  for size, centre in zip(
    digit.shape, ndimage.center_of_mass(digit), strict=True
  ):
    # Whole pixels, so that the box's edges stay sharp.
    start = FINE * round(CENTRE + 0.5 - (centre + 0.5) / FINE)
    start = min(max(start, 0), SIDE * FINE - size)  # nothing is cut off
    places.append(slice(start, start + size))
  sheet[tuple(places)] = digit
  frame = sheet.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))
  return np.round(255 * frame).astype(np.uint8)[:, :, None]
