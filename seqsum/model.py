"""Frames in, one reading at every step out.

A convolutional encoder, shared over time, reads each frame; a stack of
recurrent layers reads the encoded frames; a dense head reads their state.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqsum import packing
from seqsum.cells import Gates, PackedGRU, kernel_init, recurrent_init
from seqsum.convolution import Conv
from seqsum.errors import require
from seqsum.packing import Rows
from seqsum.shapes import Frames, Outputs

ACTIVATIONS = {
  "tanh": nn.tanh,
  "relu": nn.relu,
  "gelu": nn.gelu,
  "sigmoid": nn.sigmoid,
}
CORES = {"gru": nn.GRUCell}
RECURRENCES = {"flax": False, "fused": True}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


class ConvEncoder(nn.Module):
  """Valid convolutions with an activation each, flattened.

  Attributes:
    features: Filters of each layer.
    kernels: Side of each layer's square filters, in pixels.
    strides: Pixels from one place of a filter to the next.
    activation: What follows each convolution.
    plain: Use Flax's own convolutions.
    dtype: Of the computation.
  """

  features: tuple[int, ...] = (8, 16)
  kernels: tuple[int, ...] = (4, 3)
  strides: tuple[int, ...] = (1, 1)
  activation: Callable[[jax.Array], jax.Array] = nn.tanh
  plain: bool = False
  dtype: DTypeLike = jnp.float32

  def check(self, shape: tuple[int, int, int]) -> None:
    """Raises `InputError` if nothing would be left of images [H, W, C]."""
    side = min(shape[:2])
    for kernel, stride in zip(self.kernels, self.strides, strict=True):
      side = (side - kernel) // stride + 1
      require(
        side > 0,
        "config.model.conv.kernels",
        self.kernels,
        f"too large for frames of {shape}; make them smaller",
      )

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """[B, H, W, C] in 0..1 -> [B, F]."""
    x = images
    layers = zip(self.features, self.kernels, self.strides, strict=True)
    for i, (n, side, stride) in enumerate(layers):
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
    return x.reshape(x.shape[0], -1)


class SequenceModel(nn.Module):
  """Encoder, recurrent stack and head.

  Both recurrences compute the same function of the same parameters:
  'flax' is the plain way to write it and the reference that tests compare
  with; 'fused' computes real frames only and takes products together.

  Attributes:
    encoder: Makes the encoder when given a name.
    widths: Features of each recurrent layer.
    outputs: K, numbers that the head gives at each step.
    fused: Which of the two recurrences.
    remat: Encode so many frames at a time and keep nothing of it but what the
      recurrence reads; the backward pass encodes them again. 0: keep all.
      'fused' only.
    dtype: Of the computation; parameters and outputs are float32.
  """

  encoder: Callable[..., ConvEncoder] = ConvEncoder
  widths: tuple[int, ...] = (200, 100)
  outputs: int = 1
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
      first, *others = (
        PackedGRU(width, dtype=self.dtype, name=f"gru_{i}")
        for i, width in enumerate(self.widths)
      )
      x = first(self._read(encoder, first, x), rows)
      for gru in others:
        x = gru(gru.project(x), rows)
      return packing.unpack(head(x.astype(jnp.float32)), rows, batch)
    # The name of a module lifted by nn.vmap is that of its parameters.
    over_time = nn.vmap(
      lambda encoder, images: encoder(images),
      in_axes=1,
      out_axes=1,
      variable_axes={"params": None},
      split_rngs={"params": False},
    )
    encoder = self.encoder(plain=True, dtype=self.dtype, name="encoder")
    x = over_time(encoder, self._scale(frames))  # [B, T, F]
    for i, width in enumerate(self.widths):
      cell = nn.GRUCell(
        width,
        kernel_init=kernel_init,
        recurrent_kernel_init=recurrent_init,
        dtype=self.dtype,
        name=f"gru_{i}",  # nn.RNN files parameters under the cell's name
      )
      x = nn.RNN(cell)(x)  # [B, T, width]
    return head(x.astype(jnp.float32))

  def _read(
    self, encoder: ConvEncoder, gru: PackedGRU, images: jax.Array
  ) -> Gates:
    """[N, H, W, C] -> what the first recurrent layer gets of each image."""

    def read(encoder, gru, images):
      return gru.project(encoder(self._scale(images)))

    if not self.remat:
      return read(encoder, gru, images)
    count = -(-len(images) // self.remat)  # chunks, the last one filled up
    late = [(0, count * self.remat - len(images))] + [(0, 0)] * 3
    chunks = jnp.pad(images, late).reshape(-1, self.remat, *images.shape[1:])
    over_chunks = nn.scan(
      nn.remat(lambda encoder, _, x, gru: ((), read(encoder, gru, x))),
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=(0, nn.broadcast),
    )
    _, gates = over_chunks(encoder, (), chunks, gru)
    return jax.tree.map(
      lambda x: jax.lax.collapse(x, 0, 2)[: len(images)], gates
    )

  def _scale(self, frames: jax.Array) -> jax.Array:
    if jnp.issubdtype(frames.dtype, jnp.integer):
      return frames.astype(self.dtype) / 255
    return frames.astype(self.dtype)
