"""What reads one frame: convolutions, pooling, dense layers."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqsum.models.conv import Conv
from seqsum.models.packed_cells import kernel_init
from seqsum.models.pooling import max_pool
from seqsum.runtime.errors import require

ACTIVATIONS = {
  "tanh": nn.tanh,
  "relu": nn.relu,
  "gelu": nn.gelu,
  "sigmoid": nn.sigmoid,
}


class ConvEncoder(nn.Module):
  """Valid convolutions, each with an activation and max pooling, flattened.

  Then dense layers, if any, each with the same activation.

  Attributes:
    features: Filters of each layer.
    kernels: Side of each layer's square filters, in pixels.
    strides: Pixels from one place of a filter to the next.
    pools: Side of the squares of each layer's max pooling, in places of the
      filter; 1 for none.
    dense: Features of each dense layer.
    activation: What follows each layer.
    plain: Use Flax's own convolutions and pooling.
    dtype: Of the computation.
  """

  features: tuple[int, ...] = (8, 16)
  kernels: tuple[int, ...] = (4, 3)
  strides: tuple[int, ...] = (1, 1)
  pools: tuple[int, ...] = (1, 1)
  dense: tuple[int, ...] = ()
  activation: Callable[[jax.Array], jax.Array] = nn.tanh
  plain: bool = False
  dtype: DTypeLike = jnp.float32

  def check(self, shape: tuple[int, int, int]) -> None:
    """Raises `InputError` if nothing would be left of images [H, W, C]."""
    side = min(shape[:2])
    layers = zip(self.kernels, self.strides, self.pools, strict=True)
    for kernel, stride, pool in layers:
      sizes = {"kernels": (side - kernel) // stride + 1}
      sizes["pool"] = sizes["kernels"] // pool
      for field, side in sizes.items():
        require(
          side > 0,
          f"config.model.conv.{field}",
          self.kernels if field == "kernels" else self.pools,
          f"too large for frames of {shape}; make them smaller",
        )

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """[B, H, W, C] floating -> [B, F]."""
    x = images
    layers = zip(
      self.features, self.kernels, self.strides, self.pools, strict=True
    )
    for i, (n, side, stride, pool) in enumerate(layers):
      shared = {
        "kernel_init": kernel_init,
        "dtype": self.dtype,
        "name": f"conv_{i}",
      }
      if self.plain:
        conv = nn.Conv(
          n, (side, side), strides=stride, padding="VALID", **shared
        )
      else:
        conv = Conv(n, side, stride, **shared)
      x = self.activation(conv(x))
      if pool > 1 and self.plain:
        x = nn.max_pool(x, (pool, pool), (pool, pool))
      elif pool > 1:
        x = max_pool(x, pool)
    x = x.reshape(x.shape[0], -1)
    for i, n in enumerate(self.dense):
      dense = nn.Dense(
        n, kernel_init=kernel_init, dtype=self.dtype, name=f"dense_{i}"
      )
      x = self.activation(dense(x))
    return x
