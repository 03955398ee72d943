"""Frames in, one reading at every step out.

A convolutional encoder, shared over time, reads each frame; a stack of
recurrent layers reads the encoded frames; a dense head reads their state.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from optax import Params

from seqsum import packing
from seqsum.cells import Gates, PackedCell, kernel_init, recurrent_init
from seqsum.convolution import Conv
from seqsum.cores import GRU, Core
from seqsum.errors import require
from seqsum.packing import Rows
from seqsum.pooling import max_pool
from seqsum.shapes import Frames, Outputs, Packed, Values

ACTIVATIONS = {
  "tanh": nn.tanh,
  "relu": nn.relu,
  "gelu": nn.gelu,
  "sigmoid": nn.sigmoid,
}
RECURRENCES = {"flax": False, "fused": True}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
ASIDE = "intermediates"  # Flax's collection of what a model says on request


class ConvEncoder(nn.Module):
  """Valid convolutions, each with an activation and max pooling, flattened.

  Attributes:
    features: Filters of each layer.
    kernels: Side of each layer's square filters, in pixels.
    strides: Pixels from one place of a filter to the next.
    pools: Side of the squares of each layer's max pooling, in places of the
      filter; 1 for none.
    activation: What follows each convolution.
    plain: Use Flax's own convolutions and pooling.
    dtype: Of the computation.
  """

  features: tuple[int, ...] = (8, 16)
  kernels: tuple[int, ...] = (4, 3)
  strides: tuple[int, ...] = (1, 1)
  pools: tuple[int, ...] = (1, 1)
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
    return x.reshape(x.shape[0], -1)


class SequenceModel(nn.Module):
  """Encoder, recurrent stack and head.

  Both recurrences compute the same function of the same parameters:
  'flax' is the plain way to write it and the reference that tests compare
  with; 'fused' computes real frames only and takes products together.

  Attributes:
    encoder: Makes the encoder when given a name.
    core: The recurrent cell.
    cell_activation: What makes its new content.
    widths: Features of each recurrent layer; of none, the head reads each frame
      by itself.
    outputs: K, numbers that the head gives at each step.
    input_max: What full ink enters the encoder as; no ink is 0.
    fused: Which of the two recurrences.
    remat: Encode so many frames at a time and keep nothing of it but what the
      recurrence reads; the backward pass encodes them again. 0: keep all.
      'fused' only.
    dtype: Of the computation; parameters and outputs are float32.
  """

  encoder: Callable[..., ConvEncoder] = ConvEncoder
  core: Core = GRU
  cell_activation: Callable[[jax.Array], jax.Array] = nn.tanh
  widths: tuple[int, ...] = (200, 100)
  outputs: int = 1
  input_max: float = 1.0
  fused: bool = True
  remat: int = 0
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, frames: Frames, rows: Rows | None = None) -> Outputs:
    """Reads a batch.

    Args:
      frames: [B, T, H, W, C], uint8 0..255 or floating 0..1.
      rows: How many leading rows may be alive at each step; all, if None.

    Returns:
      [B, T, K] float32. Values in the padding mean nothing.
    """
    batch, time = frames.shape[:2]
    head = nn.Dense(self.outputs, kernel_init=kernel_init, name="head")
    if self.fused:
      rows = rows or (batch,) * time
      x = packing.pack(frames, rows)  # [N, H, W, C]
      encoder = self.encoder(dtype=self.dtype, name="encoder")
      layers = [
        self.core.packed(
          width, self.cell_activation, self.dtype, name=f"{self.core.name}_{i}"
        )
        for i, width in enumerate(self.widths)
      ]
      x, squares = self._read(encoder, tuple(layers[:1]), x)
      if self._is_asked:
        self.sow(ASIDE, "squares", packing.unpack(squares, rows, batch))
      for i, layer in enumerate(layers):
        x = layer(layer.project(x) if i else x, rows)
      return packing.unpack(head(x.astype(jnp.float32)), rows, batch)
    encoder = self.encoder(plain=True, dtype=self.dtype, name="encoder")
    flat = self._scale(frames).reshape(batch * time, *frames.shape[2:])
    x = encoder(flat).reshape(batch, time, -1)  # [B, T, F]
    for i, width in enumerate(self.widths):
      cell = self.core.plain(
        width,
        activation_fn=self.cell_activation,
        kernel_init=kernel_init,
        recurrent_kernel_init=recurrent_init,
        dtype=self.dtype,
        name=f"{self.core.name}_{i}",  # nn.RNN files parameters under it
      )
      x = nn.RNN(cell)(x)  # [B, T, width]
    return head(x.astype(jnp.float32))

  @nn.nowrap
  def read(
    self, params: Params, frames: Frames, rows: Rows, measured: bool
  ) -> tuple[Outputs, Values | None]:
    """`apply`; and if measured, [B, T] the mean square of the F features.

    The features are what the encoder gives to the first recurrent layer.
    """
    if not measured:
      return self.apply(params, frames, rows), None
    outputs, aside = self.apply(params, frames, rows, mutable=[ASIDE])
    return outputs, aside[ASIDE]["squares"][0]

  @property
  def _is_asked(self) -> bool:
    return self.is_mutable_collection(ASIDE)

  def _read(
    self, encoder: ConvEncoder, first: tuple[PackedCell, ...], images: jax.Array
  ) -> tuple[Gates | Packed, Packed | None]:
    """Encodes images and projects them for the first recurrent layer.

    Args:
      encoder: To encode with.
      first: The layer, or () if there is none.
      images: [N, H, W, C].

    Returns:
      What the layer gets of each image, or else its features [N, F]; and [N]
      the mean squares of the features, if they are asked for.
    """
    is_asked = self._is_asked

    def read(encoder, first, images):
      x = encoder(self._scale(images))
      squares = mean_square(x) if is_asked else None
      for layer in first:
        x = layer.project(x)
      return x, squares

    if not self.remat:
      return read(encoder, first, images)
    count = -(-len(images) // self.remat)  # chunks, the last one filled up
    late = [(0, count * self.remat - len(images))] + [(0, 0)] * 3
    chunks = jnp.pad(images, late).reshape(-1, self.remat, *images.shape[1:])
    over_chunks = nn.scan(
      nn.remat(lambda encoder, _, x, first: ((), read(encoder, first, x))),
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=(0, nn.broadcast),
    )
    _, read_chunks = over_chunks(encoder, (), chunks, first)
    return jax.tree.map(
      lambda x: jax.lax.collapse(x, 0, 2)[: len(images)], read_chunks
    )

  def _scale(self, frames: jax.Array) -> jax.Array:
    if jnp.issubdtype(frames.dtype, jnp.integer):
      return frames.astype(self.dtype) / (255 / self.input_max)
    return frames.astype(self.dtype) * self.input_max


def mean_square(features: jax.Array) -> jax.Array:
  """[..., F] -> [...] float32."""
  return jnp.square(features.astype(jnp.float32)).mean(axis=-1)
