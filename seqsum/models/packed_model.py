"""`SequenceModel` over packed batches: the same function, computed faster."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from seqsum.models import packing
from seqsum.models.encoder import ConvEncoder, kernel_init
from seqsum.models.model import SequenceModel, mean_square
from seqsum.models.packed_cells import PackedLayer, packed_cell
from seqsum.sequences.shapes import Frames, Lengths, Outputs, Packed, Rows


class PackedModel(SequenceModel):
  """A `SequenceModel` that computes no padding.

  It has the same parameters and the same values to about 1e-5. It encodes real
  frames only, multiplies by the kernels of all gates at once, and uses faster
  convolutions on a CPU.

  Attributes:
    remat: Encode this many frames at a time, and again in the backward pass,
      instead of keeping the encoder's activations; 0 keeps them.
  """

  remat: int = 0

  @nn.compact
  def __call__(
    self,
    frames: Frames,
    rows: Rows | None = None,
    lengths: Lengths | None = None,
  ) -> Outputs:
    """Computes the outputs at every step.

    Args:
      frames: [B, T, H, W, C], uint8 0..255 or floating 0..1.
      rows: For each step, how many leading rows have a real frame there; None
        for all rows at all steps.
      lengths: [B] real frames of each row, for a `WholeCore`, which must not
        see padding; None: as many as `rows` allows.

    Returns:
      [B, T, K] float32, zero beyond `rows`.
    """
    batch, time = frames.shape[:2]
    rows = rows or (batch,) * time
    unpack = functools.partial(packing.unpack, rows=rows, batch=batch)
    encoder = self.encoder(dtype=self.dtype, name="encoder")
    layers: list[Any] = [
      packed_cell(self.core)(
        width, self.cell_activation, self.dtype, name=f"{self.core.name}_{i}"
      )
      for i, width in enumerate(self.widths)
    ]
    images = packing.pack(frames, rows)  # [N, H, W, C]
    x, mean_squares = self._encode(encoder, tuple(layers[:1]), images)
    self.sow("intermediates", "mean_squares", unpack(mean_squares))
    for i, layer in enumerate(layers):
      # `_encode` has projected the inputs of the first layer.
      x = layer(layer.project(x) if i else x, rows, lengths)
    head = nn.Dense(self.outputs, kernel_init=kernel_init, name="head")
    x = head(x.astype(jnp.float32))  # [N, K]
    if self.known_fold is not None:
      x = self.known_fold.inputs(x)
      self.sow("intermediates", "fold_inputs", unpack(x))
      if not self.known_fold.is_folded_by_loss(time):
        step = functools.partial(self.known_fold.step, time)
        x = packing.scan(step, self.known_fold.start(rows[0], time), x, rows)
    return unpack(x)

  def _encode(
    self,
    encoder: ConvEncoder,
    first: tuple[PackedLayer, ...],
    images: jax.Array,
  ) -> tuple[Any, Packed]:
    """Encodes images and projects them for the first recurrent layer.

    Args:
      encoder: The encoder.
      first: The first recurrent layer, or () if there are none.
      images: [N, H, W, C].

    Returns:
      The projections, or features [N, F] without recurrent layers; and the
      mean square of each image's features, [N].
    """

    def encode(encoder, first, images):
      x = encoder(self.scale(images))
      square = mean_square(x)
      for layer in first:
        x = layer.project(x)
      return x, square

    if not self.remat:
      return encode(encoder, first, images)
    size = min(self.remat, len(images))
    chunks = -(-len(images) // size)  # the last one is padded
    padding = [(0, chunks * size - len(images))] + [(0, 0)] * 3
    images_in_chunks = jnp.pad(images, padding).reshape(
      -1, size, *images.shape[1:]
    )
    over_chunks = nn.scan(
      nn.remat(lambda encoder, _, x, first: ((), encode(encoder, first, x))),
      variable_broadcast="params",
      split_rngs={"params": False},
      in_axes=(0, nn.broadcast),
    )
    _, encoded = over_chunks(encoder, (), images_in_chunks, first)
    return jax.tree.map(
      lambda x: jax.lax.collapse(x, 0, 2)[: len(images)], encoded
    )
