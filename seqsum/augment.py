"""Training digits made new: moved a little, on the device, inside jit."""

import jax
import jax.numpy as jnp

from seqsum.shapes import Images


def shift(images: Images, moves: jax.Array, most: int) -> Images:
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

  return jax.vmap(crop)(padded, moves)
