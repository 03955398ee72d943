"""Training digits made new: moved a little, on the device, inside jit."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.runtime.errors import require
from seqsum.sequences.shapes import Images, Key

KNOTS = 5  # a side, of the grid of an elastic distortion; they are 6.75 pixels
# apart in a frame of 28, about as coarse as Simard's Gaussian of 4


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """How far images are moved at most; every move within is equally likely.

  Attributes:
    shift: Pixels up or down and left or right: whole ones, unless images are
      turned or scaled too.
    rotate: Degrees to either side.
    scale: Share by which an image grows or shrinks, each axis by itself.
    elastic: Pixels by which parts of an image move against each other, up or
      down and left or right (Simard et al. 2003).
  """

  shift: int = 0
  rotate: float = 0.0
  scale: float = 0.0
  elastic: float = 0.0

  def check(self, side: int) -> None:
    """Raises `InputError` if frames of `side` pixels cannot be moved so."""
    for name, value in vars(self).items():
      require(
        0 <= value < math.inf,
        f"sequence.{name}",
        value,
        "must be a number that is not negative",
      )
    require(self.scale < 1, "sequence.scale", self.scale, "must be below 1")
    require(
      self.shift < side,
      "sequence.shift",
      self.shift,
      f"must be below the frame's {side} pixels",
    )

  @property
  def _is_warp(self) -> bool:
    return bool(self.rotate or self.scale or self.elastic)

  def draw(self, key: Key, shape: tuple[int, ...]) -> jax.Array:
    """`shape` moves: [*shape, 2] int, pixels down and to the right.

    If images are turned, scaled or distorted, [*shape, 6] or
    [*shape, 6 + 2 KNOTS KNOTS] float32 for `warp`.
    """
    if not self._is_warp:
      return jax.random.randint(
        key, (*shape, 2), -self.shift, self.shift + 1, jnp.int32
      )
    share = jax.random.uniform(key, (5, *shape), minval=-1.0)
    angle = jnp.deg2rad(self.rotate) * share[0]
    down, right = 1 / (1 + self.scale * share[1:3])
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    linear = [cos * down, -sin * down, sin * right, cos * right]
    augmentation = jnp.stack([*linear, *(self.shift * share[3:])], axis=-1)
    if not self.elastic:
      return augmentation
    knots = jax.random.uniform(
      jax.random.fold_in(key, 1),
      (*shape, 2 * KNOTS**2),
      minval=-self.elastic,
      maxval=self.elastic,
    )
    return jnp.concatenate([augmentation, knots], axis=-1)

  def __call__(self, images: Images, augmentation: jax.Array) -> Images:
    """Augmentation [N, H, W, C] images as `draw` said, N moves."""
    if self._is_warp:
      return warp(images, augmentation)
    return shift(images, augmentation, self.shift) if self.shift else images


NO_AUGMENTATION = Augmentation()


def shift(images: Images, augmentation: jax.Array, most: int) -> Images:
  """Moves each image; what leaves the frame is lost, what comes in is blank.

  Args:
    images: [N, H, W, C].
    moves: [N, 2] int, pixels down and to the right, in -most..most.
    most: Static.

  Returns:
    [N, H, W, C] of the same dtype.
  """
  rim = (most, most)
  padded = jnp.pad(images, ((0, 0), rim, rim, (0, 0)))

  def crop(image, move):
    corner = (most - move[0], most - move[1], 0)
    return jax.lax.dynamic_slice(image, corner, images.shape[1:])

  return jax.vmap(crop)(padded, augmentation)


def warp(images: Images, augmentation: jax.Array) -> Images:
  """Moves each image by a smooth map, in two passes (Catmull & Smith 1980).

  The first moves pixels along their rows, the second along their columns, each
  with linear interpolation. A pass is a sum over all pixels of a line, weighted
  by how near they are: no gathers, which are slow on a CPU.

  Args:
    images: [N, H, W, C]; what lies outside is blank.
    moves: [N, 6] float (a, b, c, d, e, f): the pixel (y, x), counted from the
      middle, shows what was at (a y + b x + e, c y + d x + f). a and d are not
      0. Or [N, 6 + 2 KNOTS KNOTS]: then by how much further down the second
      pass looks at each knot of a grid over the image, row by row, and how much
      further right the first one. `_spread` has what lies between.

  Returns:
    [N, H, W, C] of the same dtype.
  """
  height, width = images.shape[1:3]
  a, b, c, d, e, f = (
    augmentation[:, i, None, None].astype(jnp.float32) for i in range(6)
  )
  y = jnp.arange(height, dtype=jnp.float32)[None, :, None] - (height - 1) / 2
  x = jnp.arange(width, dtype=jnp.float32)[None, None, :] - (width - 1) / 2
  # After the first pass, place (v, x) has what will be at (y, x), and v is the
  # row that it comes from: v = a y + b x + e.
  column = c * (y - b * x - e) / a + d * x + f + (width - 1) / 2
  row = a * y + b * x + e + (height - 1) / 2
  if augmentation.shape[1] > 6:
    knots = augmentation[:, 6:].reshape(-1, 2, KNOTS, KNOTS)
    down, right = (
      _spread(height) @ knots[:, axis] @ _spread(width).T for axis in (0, 1)
    )
    column, row = column + right, row + down

  def near(place, pixel):  # [N, H, W, 1]
    return jnp.maximum(0, 1 - jnp.abs(place - pixel))[..., None]

  moved = images.astype(jnp.float32)
  moved = sum(
    moved[:, :, i, None] * near(column, float(i)) for i in range(width)
  )
  moved = sum(moved[:, i, None] * near(row, float(i)) for i in range(height))
  if jnp.issubdtype(images.dtype, jnp.integer):
    moved = jnp.round(moved)
  return moved.astype(images.dtype)


@functools.cache
def _spread(pixels: int) -> np.ndarray:
  """[pixels, KNOTS] float32, how near each pixel is to each knot of a line.

  Half a cosine from one knot to the next: smooth, and every row adds up to 1,
  so no pixel is moved further than a knot.
  """
  place = np.linspace(0, KNOTS - 1, pixels)[:, None] - np.arange(KNOTS)
  near = (1 + np.cos(math.pi * np.clip(place, -1, 1))) / 2
  return near.astype(np.float32)
