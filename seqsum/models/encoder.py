"""The frame encoder: convolutions, group normalization, dense layers."""

import functools
from collections.abc import Callable
from typing import Any

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

  Attributes:
    features: Filters of each convolution.
    kernels: Side of each convolution's square filters, in pixels.
    strides: Stride of each convolution, in pixels.
    pools: Side and stride of each max-pooling window; 1 for none.
    dense: Features of each dense layer.
    group_size: Channels of a frame that are normalized together after each
      convolution (group normalization, Wu & He 2018); 0: none.
    activation: Activation of every layer.
    plain: Whether to use Flax's convolutions, equal in value to `conv.Conv`.
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
    options: Any = {"kernel_init": kernel_init, "dtype": self.dtype}
    layers = zip(
      self.features, self.kernels, self.strides, self.pools, strict=True
    )
    for i, (n, side, stride, pool) in enumerate(layers):
      x = make(n, (side, side), stride, name=f"conv_{i}", **options)(x)
      if self.group_size:
        x = nn.GroupNorm(
          None, self.group_size, dtype=self.dtype, name=f"norm_{i}"
        )(x)
      x = self.activation(x)
      if pool > 1:
        x = max_pool(x, pool)
    x = x.reshape(x.shape[0], -1)
    for i, n in enumerate(self.dense):
      dense = nn.Dense(n, name=f"dense_{i}", **options)
      x = self.activation(dense(x))
    return x
