"""Frames in, one reading at every step out.

A convolutional encoder, shared over time, reads each frame; a stack of
recurrent layers reads the encoded frames; a dense head reads their state. Where
the fold is given (`known_fold.py`), it reads what the head says.
"""

import functools
from collections.abc import Callable, Mapping

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from optax import Params

from seqsum.models import packing
from seqsum.models.cores import GRU, Core
from seqsum.models.encoder import ConvEncoder
from seqsum.models.known_fold import KnownFold, KnownFoldCell
from seqsum.models.packed_cells import (
  Gates,
  PackedCell,
  kernel_init,
  recurrent_init,
)
from seqsum.models.packing import Rows
from seqsum.sequences.shapes import Frames, Outputs, Packed

RECURRENCES = {"flax": False, "fused": True}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
ASIDE = "intermediates"  # Flax's collection of what a model says on request


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
    outputs: How many numbers the head gives at each step.
    given: What reads those numbers; None: they are the model's outputs.
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
  known_fold: KnownFold | None = None
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
      [B, T, K] float32. Values in the padding mean nothing. Where the given
      fold leaves it to the objective (`Given.is_whole`), what it would read.
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
      x = head(x.astype(jnp.float32))
      if self.known_fold is not None:
        x = self.known_fold.read(x)
        self.sow(ASIDE, "inputs", packing.unpack(x, rows, batch))
        if not self.known_fold.is_whole(time):
          step = functools.partial(self.known_fold.step, time)
          x = packing.scan(step, self.known_fold.start(rows[0], time), x, rows)
      return packing.unpack(x, rows, batch)
    # The name of a module lifted by nn.vmap is that of its parameters.
    encoder = self.encoder(plain=True, dtype=self.dtype, name="encoder")
    x = self.over_time(encoder, self._scale(frames))  # [B, T, F]
    if self._is_asked:
      self.sow(ASIDE, "squares", mean_square(x))
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
    x = head(x.astype(jnp.float32))
    if self.known_fold is not None:
      x = self.known_fold.read(x)
      self.sow(ASIDE, "inputs", x)
      if not self.known_fold.is_whole(time):
        x = nn.RNN(KnownFoldCell(self.known_fold, time))(x)  # [B, T, K]
    return x

  @nn.nowrap
  def read(
    self, params: Params, frames: Frames, rows: Rows, measured: bool
  ) -> tuple[Outputs, Mapping[str, jax.Array]]:
    """`apply`; and if measured, what there is to see on the way.

    Returns:
      The outputs. By name, "squares": [B, T] the mean squares of the F features
      that the encoder gives to the first recurrent layer; with a given fold,
      "inputs": [B, T, inputs] what it reads.
    """
    if not measured:
      return self.apply(params, frames, rows), {}
    outputs, aside = self.apply(params, frames, rows, mutable=[ASIDE])
    return outputs, {name: seen for name, (seen,) in aside[ASIDE].items()}

  @nn.nowrap
  def over_time(self, encoder: ConvEncoder, frames: Frames) -> jax.Array:
    """[B, T, H, W, C] -> [B, T, F]: one encoder, shared by all steps."""
    vmapped = nn.vmap(
      lambda encoder, images: encoder(images),
      in_axes=1,
      out_axes=1,
      variable_axes={"params": None},
      split_rngs={"params": False},
    )
    return vmapped(encoder, frames)

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
    size = min(self.remat, len(images))
    count = -(-len(images) // size)  # chunks, the last one filled up
    late = [(0, count * size - len(images))] + [(0, 0)] * 3
    chunks = jnp.pad(images, late).reshape(-1, size, *images.shape[1:])
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
