"""Random shift, rotation, scale and elastic distortion, on the device."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.sequences.shapes import Images, Key

# Side of the grid of an elastic distortion. In a frame of 28 pixels, knots are
# 6.75 pixels apart, about as coarse as the Gaussian of 4 in Simard et al. 2003.
KNOTS = 5


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """Random moves of images, uniform within these bounds.

  Attributes:
    shift: Pixels down or up, and right or left. Whole pixels, unless images are
      also rotated, scaled or distorted.
    rotate: Degrees in either direction.
    scale: Fraction by which an image is enlarged or reduced, per axis.
    elastic: Pixels by which the parts of an image move against each other
      (Simard et al. 2003).
  """

  shift: int = 0
  rotate: float = 0.0
  scale: float = 0.0
  elastic: float = 0.0

  @property
  def _is_warp(self) -> bool:
    return bool(self.rotate or self.scale or self.elastic)

  def draw(self, key: Key, shape: tuple[int, ...]) -> jax.Array:
    """Draws one move for each element of `shape`.

    Returns:
      [*shape, 2] int32, pixels down and to the right. If images are rotated,
      scaled or distorted: [*shape, 6] or [*shape, 6 + 2 KNOTS KNOTS] float32,
      for `warp`.
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
    moves = jnp.stack([*linear, *(self.shift * share[3:])], axis=-1)
    if not self.elastic:
      return moves
    knots = jax.random.uniform(
      jax.random.fold_in(key, 1),
      (*shape, 2 * KNOTS**2),
      minval=-self.elastic,
      maxval=self.elastic,
    )
    return jnp.concatenate([moves, knots], axis=-1)

  def __call__(self, images: Images, moves: jax.Array) -> Images:
    """Moves images [..., H, W, C] by moves [..., M] from `draw`."""
    if not (self.shift or self._is_warp):
      return images
    flat = images.reshape(-1, *images.shape[-3:])
    moves = moves.reshape(-1, moves.shape[-1])
    if self._is_warp:
      flat = warp(flat, moves)
    else:
      flat = shift(flat, moves, self.shift)
    return flat.reshape(images.shape)


NO_AUGMENTATION = Augmentation()


def shift(images: Images, moves: jax.Array, most: int) -> Images:
  """Moves each image by whole pixels; pixels from outside are 0.

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

  return jax.vmap(crop)(padded, moves)


def warp(images: Images, moves: jax.Array) -> Images:
  """Moves each image by a smooth map, in two passes (Catmull & Smith 1980).

  The first pass moves pixels along their rows, the second along their columns,
  with linear interpolation. A pass is a sum over all pixels of a line weighted
  by distance, because gathers are slow on a CPU.

  Args:
    images: [N, H, W, C]; pixels outside are 0.
    moves: [N, 6] float (a, b, c, d, e, f): the pixel (y, x), relative to the
      center, takes the value at (a y + b x + e, c y + d x + f); a and d are not
      0. Or [N, 6 + 2 KNOTS KNOTS], followed by an elastic distortion: for each
      knot of a grid over the image, row by row, the displacement down in the
      second pass, then to the right in the first; `_knot_weights` interpolates.

  Returns:
    [N, H, W, C] of the same dtype.
  """
  height, width = images.shape[1:3]
  a, b, c, d, e, f = (
    moves[:, i, None, None].astype(jnp.float32) for i in range(6)
  )
  y = jnp.arange(height, dtype=jnp.float32)[None, :, None] - (height - 1) / 2
  x = jnp.arange(width, dtype=jnp.float32)[None, None, :] - (width - 1) / 2
  # After the first pass, (v, x) has the value of the final (y, x), where v is
  # its source row: v = a y + b x + e.
  column = c * (y - b * x - e) / a + d * x + f + (width - 1) / 2
  row = a * y + b * x + e + (height - 1) / 2
  if moves.shape[1] > 6:
    knots = moves[:, 6:].reshape(-1, 2, KNOTS, KNOTS)
    down, right = (
      _knot_weights(height) @ knots[:, axis] @ _knot_weights(width).T
      for axis in (0, 1)
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
def _knot_weights(pixels: int) -> np.ndarray:
  """[pixels, KNOTS] float32, the weight of each knot at each pixel of a line.

  Half a cosine from one knot to the next: smooth, and the weights of a pixel
  add up to 1, so that no pixel moves further than a knot.
  """
  place = np.linspace(0, KNOTS - 1, pixels)[:, None] - np.arange(KNOTS)
  near = (1 + np.cos(math.pi * np.clip(place, -1, 1))) / 2
  return near.astype(np.float32)
