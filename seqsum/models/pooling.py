"""Max pooling, written for how XLA differentiates it."""

import jax


def max_pool(x: jax.Array, side: int) -> jax.Array:
  """The largest value in each square: `nn.max_pool` with stride `side`.

  Args:
    x: [N, H, W, C].
    side: Of the squares, in pixels. Rows and columns that are left over at the
      bottom and at the right are not looked at.

  Returns:
    [N, H // side, W // side, C]. Equal maxima share the gradient.
  """
  n, height, width, channels = x.shape
  height, width = height // side, width // side
  x = x[:, : height * side, : width * side]
  return x.reshape(n, height, side, width, side, channels).max((2, 4))
