"""The frame encoder: convolutions, group normalization, dense layers."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqsum.models.conv import Conv, max_pool

kernel_init = nn.initializers.glorot_uniform()  # Keras's default
ACTIVATIONS = {
  "tanh": nn.tanh,
  "relu": nn.relu,
  "gelu": nn.gelu,
  "sigmoid": nn.sigmoid,
}


class ConvEncoder(nn.Module):
  """Valid convolutions, each with an activation and max pooling; dense layers.

  A convolution may be normalized before its activation: over each frame and
  each group of channels (group normalization, Wu & He 2018), so that a frame's
  features do not depend on other frames, or on padding.

  Attributes:
    features: Filters of each convolution.
    kernels: Side of each convolution's square filters, in pixels.
    strides: Stride of each convolution, in pixels.
    pools: Side and stride of each max-pooling window; 1 for none.
    dense: Features of each dense layer.
    group_size: Channels that are normalized together after each convolution; 0:
      no normalization.
    activation: Activation of every layer.
    plain: Whether to use Flax's convolutions, which have the same parameters
      and values as `conv.Conv`.
    dtype: Computation dtype; parameters are float32.
  """

  features: tuple[int, ...] = (8, 16)
  kernels: tuple[int, ...] = (4, 3)
  strides: tuple[int, ...] = (1, 1)
  pools: tuple[int, ...] = (1, 1)
  dense: tuple[int, ...] = ()
  group_size: int = 0
  activation: Callable[[jax.Array], jax.Array] = nn.tanh
  plain: bool = False
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """[B, H, W, C] floating -> [B, F]."""
    x = images
    make = functools.partial(nn.Conv, padding="VALID") if self.plain else Conv
    layers = zip(
      self.features, self.kernels, self.strides, self.pools, strict=True
    )
    for i, (n, side, stride, pool) in enumerate(layers):
      conv = make(
        n,
        (side, side),
        stride,
        kernel_init=kernel_init,
        dtype=self.dtype,
        name=f"conv_{i}",
      )
      x = conv(x)
      if self.group_size:
        norm = nn.GroupNorm(
          None, self.group_size, dtype=self.dtype, name=f"norm_{i}"
        )
        x = norm(x)
      x = self.activation(x)
      if pool > 1:
        x = max_pool(x, pool)
    x = x.reshape(x.shape[0], -1)
    for i, n in enumerate(self.dense):
      dense = nn.Dense(
        n, kernel_init=kernel_init, dtype=self.dtype, name=f"dense_{i}"
      )
      x = self.activation(dense(x))
    return x
