"""MNIST digits as a camera would find them: drawn large on a sheet of paper."""

import numpy as np
from PIL import Image
from scipy import ndimage


def photo(
  digit: np.ndarray,
  rng: np.random.Generator,
  *,
  height: int = 480,
  width: int = 640,
  side: int | None = None,
  pen: float = 0.0,
  light: float = 0.0,
  noise: float = 0.0,
  inverted: bool = False,
) -> np.ndarray:
  """A digit somewhere on a sheet.

  Args:
    digit: [28, 28] uint8, ink is 255.
    rng: Decides the place, the direction of the light and the noise.
    height, width: Of the picture, in pixels.
    side: Of the square that the digit's 28 pixels become; by default half of
      the picture's height.
    pen: How much thinner the strokes get, as a share of 28 pixels.
    light: How much darker the sheet is at its darkest edge, 0..1.
    noise: Standard deviation of a pixel.
    inverted: Chalk on a board.

  Returns:
    [height, width] float32 in 0..1.
  """
  side = side or height // 2
  ink = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
  ink = (np.asarray(ink) > 127).astype(float)
  if pen:
    away = ndimage.distance_transform_edt(ink)
    # As thin as asked for, but no stroke breaks.
    ink = ink * (away > np.minimum(pen * side / 28, 0.6 * away.max()))
  ink = ndimage.gaussian_filter(ink, 1.0)
  sheet = np.zeros((height, width))
  y = rng.integers(0, height - side + 1)
  x = rng.integers(0, width - side + 1)
  sheet[y : y + side, x : x + side] = ink
  reflects = 0.15 + 0.6 * sheet if inverted else 0.9 - 0.75 * sheet
  down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
  angle = rng.uniform(0, 2 * np.pi)
  slope = (down * np.sin(angle) + across * np.cos(angle)) / np.sqrt(2)
  picture = reflects * (1 - light * (slope + 1) / 2)
  picture += noise * rng.standard_normal(picture.shape)
  return np.clip(picture, 0, 1).astype(np.float32)
