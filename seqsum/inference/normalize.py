"""A picture of one digit -> a frame like MNIST's.

MNIST's black and white digits were scaled to fit a box of 20x20 pixels, keeping
their aspect ratio, with anti-aliasing, and moved so that the center of mass of
the ink is in the middle of 28x28 pixels (LeCun et al. 1998, and
yann.lecun.com/exdb/mnist). Before that, uneven light and noise are removed, and
light ink on dark paper is inverted.
"""

import numpy as np
from PIL import Image
from scipy import ndimage

from seqsum.runtime.errors import InputError

SIDE, BOX = 28, 20  # of a frame, of the digit on it; pixels
FINE = 10  # subpixels a pixel, while a digit is scaled and moved
# Measured on MNIST's test digits, in pixels: the center of mass along both
# axes, and the lower quartile of the stroke width.
CENTER, STROKE = 14.0, 2.0
MAX_SIDE = 384  # larger pictures are resized to this
MIN_CONTRAST = 0.06  # of ink and paper, whose brightness is 1
MIN_DEVIATIONS = 10  # of ink, in standard deviations of noise; noise reaches 7
MIN_PART = 0.06  # ink of a part of the digit, relative to the largest part
# Warnings. Relative to the longest side of the ink: the radius of the largest
# circle within strokes, the length of a part that may be a digit, and the width
# of a blank strip between two digits. Then the share of an edge of the picture
# that ink covers, and the brightness step between a border and the paper.
MAX_RADIUS, MIN_DIGIT, MIN_GAP = 0.21, 0.5, 0.1
MAX_ALONG_EDGE, MIN_STEP = 0.9, 0.15
BORDER = (
  "shows a border around the paper, such as a table or a scanner's edge: crop "
  "the picture to the paper"
)
SEPARATE = "shows several separate shapes: give each digit a picture of its own"


def frame(picture: np.ndarray) -> np.ndarray:
  """Crops, scales and centers one digit; see `frame_and_warning`."""
  return frame_and_warning(picture)[0]


def frame_and_warning(picture: np.ndarray) -> tuple[np.ndarray, str | None]:
  """Crops, scales and centers one digit.

  Args:
    picture: [H, W] float, the brightness of each pixel in 0..1. One digit, dark
      on light or light on dark, on paper that reaches the edges.

  Returns:
    [28, 28, 1] uint8, ink is 255; and why the picture may show something else
    than one digit, or None.

  Raises:
    InputError: The picture shows no digit.
  """
  picture = _limit(np.asarray(picture, np.float32))
  has_border = _has_border(picture)
  try:
    ink, is_dark = find_ink(picture)
  except InputError as error:
    if has_border:
      raise InputError(f"{BORDER} (no digit found)") from error
    raise
  return _frame(ink), BORDER if has_border else _warn(ink, is_dark)


def _has_border(picture: np.ndarray) -> bool:
  """Whether three edges of the picture have a strip of another brightness.

  The strip ends in a straight step of brightness. Around ink that fills the
  picture, blank margins end in the outline of the ink instead.
  """
  edges = 0
  for view in (picture, picture[::-1], picture.T, picture.T[::-1]):
    depth, width = len(view) // 3, view.shape[1]
    if depth < 4:
      continue
    lines = view[:depth, width // 4 : width - width // 4]  # without the corners
    low, middle, high = np.quantile(lines, (0.1, 0.5, 0.9), axis=1)
    steps = np.abs(middle[3:] - middle[:-3])
    k = steps.argmax()
    is_straight = (high - low)[[k, k + 3]].max() < steps[k] / 2
    edges += bool(steps[k] > MIN_STEP and is_straight)
  return edges >= 3


def _warn(ink: np.ndarray, is_dark: bool) -> str | None:
  """Why ink [H, W] may be something else than one digit."""
  mask = ink > 0.5
  if not mask.any():
    return None
  edges = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
  if max(edge.mean() for edge in edges) > MAX_ALONG_EDGE:
    return BORDER
  if not is_dark:  # the paper on a darker table looks like light ink
    radius = ndimage.distance_transform_edt(np.pad(mask, 1)).max()
    if radius > MAX_RADIUS * max(_crop(ink).shape):
      return BORDER
  return SEPARATE if _is_separate(mask) else None


def _is_separate(mask: np.ndarray) -> bool:
  """Whether a vertical or horizontal blank strip divides large parts.

  The parts of one digit with a broken stroke overlap in both directions.
  """
  labels, _ = ndimage.label(mask, np.ones((3, 3)))
  boxes = ndimage.find_objects(labels)
  sides = [max(x.stop - x.start for x in box) for box in boxes]
  longest = max(sides)
  large = [
    n for n, side in enumerate(sides, start=1) if side >= MIN_DIGIT * longest
  ]
  mask = np.isin(labels, large)
  blank = [
    np.diff(np.flatnonzero(mask.any(axis))).max(initial=1) for axis in (0, 1)
  ]
  return max(blank) - 1 > MIN_GAP * longest


def _frame(ink: np.ndarray) -> np.ndarray:
  return _center(_thicken(np.clip(_fit(_crop(ink)), 0, 1)))


def _fit(digit: np.ndarray) -> np.ndarray:
  """Scales a digit to `BOX` pixels of `FINE` subpixels on the longer side."""
  longest = max(digit.shape)
  height, width = (max(1, round(BOX * FINE * n / longest)) for n in digit.shape)
  return _resize(digit, width, height)


def find_ink(picture: np.ndarray) -> tuple[np.ndarray, bool]:
  """Separates ink from paper.

  Returns:
    [H, W] float, 0 for paper, about 1 for ink; whether ink is darker than the
    paper.

  Raises:
    InputError: There is no ink.
  """
  paper = _paper(picture)
  differs = picture - paper
  # Blur noise before comparing peaks.
  smooth = ndimage.gaussian_filter(differs, max(picture.shape) / MAX_SIDE)
  dark = bool(_weight(-smooth) >= _weight(smooth))
  # Dark ink reflects a constant share of the light on the paper.
  ink = -differs / np.maximum(paper, 0.05) if dark else differs
  smooth = ndimage.gaussian_filter(ink, max(picture.shape) / MAX_SIDE)
  # A quarter of a normal distribution lies within 0.319 deviations. Ink covers
  # up to three quarters of a closely cropped picture.
  noise = np.quantile(np.abs(smooth), 0.25) / 0.319
  peak = smooth.max()
  if peak < max(MIN_CONTRAST, MIN_DEVIATIONS * noise):
    raise InputError("no digit found, only paper")
  core = smooth > peak / 2
  level = np.median(ink[core])
  parts = _large_parts(core, ink)
  # Include the gray edges of the parts.
  near = ndimage.binary_dilation(parts, iterations=2)
  low = min(0.25 * level, 2 * noise)
  ink = np.where(near, np.clip((ink - low) / (level - low), 0, 1), 0)
  return ink, dark


def _limit(picture: np.ndarray) -> np.ndarray:
  """Resizes a picture to at most `MAX_SIDE` on the longer side."""
  height, width = picture.shape
  scale = MAX_SIDE / max(height, width)
  if scale >= 1:
    return picture
  return _resize(
    picture, max(1, round(width * scale)), max(1, round(height * scale))
  )


def _resize(picture: np.ndarray, width: int, height: int) -> np.ndarray:
  """Bilinear; anti-aliased when it shrinks."""
  image = Image.fromarray(picture.astype(np.float32))
  size = (width, height)
  return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def _paper(picture: np.ndarray) -> np.ndarray:
  """[H, W] float: the brightness of the paper, quadratic along both axes.

  The fit starts from the edges, which are mostly paper, and is repeated on all
  pixels near the last fit, which excludes ink.
  """
  coarse = picture[tuple(slice(None, None, -(-n // 48)) for n in picture.shape)]
  down, across = map(_powers, coarse.shape)
  terms = np.einsum("yi,xj->yxij", down, across).reshape(*coarse.shape, -1)
  known = _rim(coarse)
  for _ in range(5):
    solution, *_ = np.linalg.lstsq(terms[known], coarse[known], rcond=None)
    away = np.abs(coarse - terms @ solution)
    deviation = 1.4826 * np.median(away[known])
    known = away <= max(2.5 * deviation, 0.02)
  down, across = map(_powers, picture.shape)
  return down @ solution.reshape(3, 3) @ across.T


def _powers(size: int) -> np.ndarray:
  """[size, 3]: x^2, x and 1 for `size` values x in -1..1."""
  return np.vander(np.linspace(-1, 1, size), 3).astype(np.float32)


def _rim(picture: np.ndarray) -> np.ndarray:
  """[H, W] bool: pixels near the edges, without outliers."""
  y, x = (np.abs(np.linspace(-1, 1, n)) > 0.86 for n in picture.shape)
  edge = y[:, None] | x[None, :]
  return edge & (np.abs(picture - np.median(picture[edge])) <= 0.5)


def _weight(signed: np.ndarray) -> float:
  """Mean square of the positive values."""
  return float(np.square(np.maximum(signed, 0)).mean())


def _large_parts(core: np.ndarray, ink: np.ndarray) -> np.ndarray:
  """[H, W] bool: the connected parts of a digit, without specks."""
  labels, count = ndimage.label(core, np.ones((3, 3)))
  weights = ndimage.sum_labels(ink, labels, np.arange(count + 1))
  weights[0] = 0
  return (weights >= MIN_PART * weights.max())[labels] & core


def _crop(ink: np.ndarray) -> np.ndarray:
  """The bounding box of the pixels above 0.5."""
  rows, columns = (np.flatnonzero((ink > 0.5).any(axis)) for axis in (1, 0))
  return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _thicken(digit: np.ndarray) -> np.ndarray:
  """Thickens thin strokes to MNIST's width: 20 pixels would lose a hairline."""
  mask = np.pad(digit > 0.5, 1)
  # In a long stroke the mean distance from the edge is a quarter of its width.
  width = 4 * ndimage.distance_transform_edt(mask)[mask].mean() / FINE
  grow = round((STROKE - width) / 2 * FINE)
  if grow <= 0:
    return digit
  y, x = np.ogrid[-grow : grow + 1, -grow : grow + 1]
  disk = x * x + y * y <= grow * grow
  return _fit(ndimage.grey_dilation(np.pad(digit, grow), footprint=disk))


def _center(digit: np.ndarray) -> np.ndarray:
  """Places a digit of FINE subpixels a pixel on a frame; [28, 28, 1] uint8."""
  sheet = np.zeros((SIDE * FINE, SIDE * FINE))
  places = []
  for size, center in zip(
    digit.shape, ndimage.center_of_mass(digit), strict=True
  ):
    # Whole pixels keep the edges of the box sharp.
    start = FINE * round(CENTER + 0.5 - (center + 0.5) / FINE)
    start = min(max(start, 0), SIDE * FINE - size)
    places.append(slice(start, start + size))
  sheet[tuple(places)] = digit
  frame = sheet.reshape(SIDE, FINE, SIDE, FINE).mean(axis=(1, 3))
  return np.round(255 * frame).astype(np.uint8)[:, :, None]
