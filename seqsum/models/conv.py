"""Convolution and max pooling that XLA compiles to faster code."""

import functools
import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
MAX_TAPS = 32  # with more, XLA's convolution is faster than multiply-adds
MAX_CHANNELS = 8  # with more, cuDNN's convolution needs no wide products
MAX_WIDTH = 32  # pixels; the operations of `banded` grow with its square


class Conv(nn.Module):
  """`nn.Conv(padding="VALID")`: the same parameters and values.

  Attributes:
    features: Number of filters.
    kernel_size: Height and width of the filters, in pixels.
    strides: Stride in pixels, in both directions.
    kernel_init: Initializer of [*kernel_size, C, features].
    dtype: Computation dtype; parameters are float32.
  """

  features: int
  kernel_size: tuple[int, int]
  strides: int
  kernel_init: nn.initializers.Initializer
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """[N, H, W, C] -> [N, H', W', features], H' = (H - h) // stride + 1."""
    shape = (*self.kernel_size, x.shape[-1], self.features)
    kernel = self.param("kernel", self.kernel_init, shape).astype(self.dtype)
    bias = self.param("bias", nn.initializers.zeros, shape[-1:])
    convolve = fastest(shape, self.strides, x.shape[2], jax.default_backend())
    x, bias = convolve(x, kernel), bias.astype(self.dtype)
    if jax.default_backend() == "cpu":
      return add_bias(x, bias)
    return x + bias[None, None, None]


def fastest(
  shape: tuple[int, int, int, int], stride: int, width: int, backend: str
) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """The fastest convolution that was measured (docs/performance.md).

  Args:
    shape: [kh, kw, C, F] of the filters.
    stride: Stride in pixels.
    width: Width of the images, in pixels.
    backend: As `jax.default_backend`.
  """
  if stride == 1 and backend == "cpu" and math.prod(shape[:3]) <= MAX_TAPS:
    return shifted
  is_small = shape[2] <= MAX_CHANNELS and width <= MAX_WIDTH
  if stride == 1 and backend == "gpu" and is_small:
    return banded
  return functools.partial(plain, stride=stride)


def plain(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
  """XLA's convolution."""
  return jax.lax.conv_general_dilated(
    x, kernel, (stride, stride), "VALID", dimension_numbers=DIMENSIONS
  )


@jax.custom_vjp
def shifted(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """A convolution as a sum of shifted products, one for each tap.

  With few taps it is several times faster than XLA's convolution on a CPU
  (docs/performance.md), because XLA fuses it into one loop over rows. Its
  gradients are those of `plain`.

  Args:
    x: [N, H, W, C].
    kernel: [kh, kw, C, F].

  Returns:
    [N, H - kh + 1, W - kw + 1, F].
  """
  kh, kw, channels, _ = kernel.shape
  height, width = x.shape[1] - kh + 1, x.shape[2] - kw + 1
  products = (
    x[:, i : i + height, j : j + width, c, None]
    * kernel[i, j, c][None, None, None]
    for i in range(kh)
    for j in range(kw)
    for c in range(channels)
  )
  return sum(products, start=jnp.zeros((), x.dtype))


def _shifted_forward(x, kernel):
  return shifted(x, kernel), (x, kernel)


def _shifted_backward(saved, gradient):
  return jax.vjp(plain, *saved)[1](gradient)


shifted.defvjp(_shifted_forward, _shifted_backward)


def banded(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """A convolution as a product of rows of pixels with a banded matrix.

  The matrix is mostly zeros, so there are W / kw times as many operations. But
  with few channels, cuDNN's convolutions wait for memory and change layouts,
  and a GPU's matrix units have operations to spare: a training step of
  configs/sum.py takes 0.53 ms instead of 0.58, and 1.20 instead of 1.53 at
  batch 512 (docs/performance.md).

  Args:
    x: [N, H, W, C].
    kernel: [kh, kw, C, F].

  Returns:
    [N, H - kh + 1, W - kw + 1, F].
  """
  n, height, width, channels = x.shape
  kh, kw, _, features = kernel.shape
  height, out = height - kh + 1, width - kw + 1
  rows = x.reshape(n, -1, width * channels)
  windows = jnp.concatenate([rows[:, i : i + height] for i in range(kh)], -1)
  # [kh, W, C, W - kw + 1, F]: column x' of the output reads the pixels x' + j.
  matrix = sum(
    np.eye(width, out, -j, kernel.dtype)[None, :, None, :, None]
    * kernel[:, j, None, :, None]
    for j in range(kw)
  )
  products = windows.reshape(n * height, -1) @ jnp.reshape(
    matrix, (kh * width * channels, out * features)
  )
  return products.reshape(n, height, out, features)


@jax.custom_vjp
def add_bias(x: jax.Array, bias: jax.Array) -> jax.Array:
  """[..., F] + [F], with a matrix product as the bias's gradient.

  That gradient is a sum over all leading axes, which XLA computes on a CPU row
  by row on one core; a product with ones uses all cores and vector
  instructions.
  """
  return x + bias.reshape((1,) * (x.ndim - 1) + bias.shape)


def _add_bias_forward(x, bias):
  return add_bias(x, bias), None


def _add_bias_backward(_, gradient):
  rows = gradient.reshape(gradient.shape[0], -1)
  sums = jnp.ones(rows.shape[:1], rows.dtype) @ rows
  return gradient, sums.reshape(-1, gradient.shape[-1]).sum(0)


add_bias.defvjp(_add_bias_forward, _add_bias_backward)


def max_pool(x: jax.Array, side: int) -> jax.Array:
  """`nn.max_pool` with window and strides (side, side), as a reshape.

  XLA differentiates it faster than a reduce-window.

  Args:
    x: [N, H, W, C]. Rows and columns left over at the bottom and on the right
      are dropped.
    side: Side of the windows, in pixels.

  Returns:
    [N, H // side, W // side, C]. Equal maxima share the gradient.
  """
  n, height, width, channels = x.shape
  height, width = height // side, width // side
  x = x[:, : height * side, : width * side]
  return x.reshape(n, height, side, width, side, channels).max((2, 4))
