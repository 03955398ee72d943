"""`nn.Conv` with the same parameters, written for how XLA compiles it."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
MAX_TAPS = 32  # above that, XLA's convolution is faster than multiply-adds


class Conv(nn.Module):
  """A valid convolution: `nn.Conv(padding="VALID")`, faster on a CPU.

  Attributes:
    features: Number of filters.
    side: Of the square filters, in pixels.
    stride: Pixels from one place of a filter to the next.
    kernel_init: For [side, side, C, features].
    dtype: Of the computation; parameters stay float32.
  """

  features: int
  side: int
  stride: int
  kernel_init: nn.initializers.Initializer
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[N, H, W, C] -> [N, H', W', features], H' = (H - side) // stride + 1."""
    shape = (self.side, self.side, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape).astype(self.dtype)
    bias = self.param("bias", nn.initializers.zeros, shape[-1:])
    few = self.stride == 1 and math.prod(shape[:3]) <= MAX_TAPS
    if few and jax.default_backend() == "cpu":
      x = shifted(x, kernel)
    else:
      x = plain(x, kernel, self.stride)
    return add_bias(x, bias.astype(self.dtype))


def plain(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
  """XLA's convolution."""
  return jax.lax.conv_general_dilated(
    x, kernel, (stride, stride), "VALID", dimension_numbers=DIMENSIONS
  )


@jax.custom_vjp
def shifted(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """A convolution as one loop of shifted multiply-adds, one for each tap.

  For few taps that is several times faster than XLA's convolution on a CPU
  (docs/performance.md): every multiply-add is a load and a fused loop over
  whole rows. Its gradients are those of the plain convolution.

  Args:
    x: [N, H, W, C].
    kernel: [kh, kw, C, F].

  Returns:
    [N, H - kh + 1, W - kw + 1, F].
  """
  kh, kw, channels, _ = kernel.shape
  height, width = x.shape[1] - kh + 1, x.shape[2] - kw + 1
  return sum(
    x[:, i : i + height, j : j + width, c, None]
    * kernel[i, j, c][None, None, None]
    for i in range(kh)
    for j in range(kw)
    for c in range(channels)
  )


def _shifted_forward(x, kernel):
  return shifted(x, kernel), (x, kernel)


def _shifted_backward(saved, gradient):
  return jax.vjp(plain, *saved)[1](gradient)


shifted.defvjp(_shifted_forward, _shifted_backward)


@jax.custom_vjp
def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
  """[..., F] + [F], with a gradient that is a product.

  The gradient of a bias is a sum over all leading axes. XLA sums that on one
  core, row by row; a product with ones uses both, and vector units.
  """
  return x + bias.reshape((1,) * (x.ndim - 1) + bias.shape)


def _add_bias_forward(x, bias):
  return add_bias(x, bias), None


def _add_bias_backward(_, gradient):
  rows = gradient.reshape(gradient.shape[0], -1)
  sums = jnp.ones(rows.shape[:1], rows.dtype) @ rows
  return gradient, sums.reshape(-1, gradient.shape[-1]).sum(0)


add_bias.defvjp(_add_bias_forward, _add_bias_backward)
