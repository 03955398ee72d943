"""The network: a CNN on every frame, an RNN over time, a dense head.

`packed_model.PackedModel` computes the same function of the same parameters,
faster.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqsum.models.cores import GRU, Core
from seqsum.models.encoder import ConvEncoder, kernel_init
from seqsum.models.known_fold import KnownFold, KnownFoldCell
from seqsum.models.whole_sequence import WholeCore
from seqsum.sequences.shapes import Frames, Lengths, Outputs, Rows


class SequenceModel(nn.Module):
  """A frame encoder, recurrent layers and a dense head.

  It sows two intermediates: `mean_squares` [B, T], of the encoder's features of
  each frame, and `fold_inputs` [B, T, D], the inputs of a known fold.

  Attributes:
    encoder: Constructor of the encoder.
    core: The recurrent cell, or a layer that sees the whole sequence.
    cell_activation: Activation of the cell's candidate state.
    widths: Features of each recurrent layer; () for none.
    outputs: K, features of the head.
    known_fold: A recurrence without parameters over the head's outputs. None:
      the head's outputs are the model's.
    input_max: Value of a white pixel in the encoder's input; a black one is 0.
    dtype: Computation dtype; parameters and outputs are float32.
  """

  encoder: Callable[..., ConvEncoder] = ConvEncoder
  core: Core | WholeCore = GRU
  cell_activation: Callable[[jax.Array], jax.Array] = nn.tanh
  widths: tuple[int, ...] = (200, 100)
  outputs: int = 1
  known_fold: KnownFold | None = None
  input_max: float = 1.0
  dtype: DTypeLike = jnp.float32

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
      rows: For `PackedModel`; not used here.
      lengths: [B] real frames of each row, for a `WholeCore`; None: all T.

    Returns:
      [B, T, K] float32; undefined in the padding.
    """
    encoder = self.encoder(plain=True, dtype=self.dtype, name="encoder")
    x: Any = self.over_time(encoder, self.scale(frames))  # [B, T, F]
    self.sow("intermediates", "mean_squares", mean_square(x))
    for i, width in enumerate(self.widths):
      name = f"{self.core.name}_{i}"
      layer = self.core.layer(width, self.cell_activation, self.dtype, name)
      x = layer(x, lengths)  # [B, T, width], of both directions 2 * width
    head = nn.Dense(self.outputs, kernel_init=kernel_init, name="head")
    x = head(x.astype(jnp.float32))  # [B, T, K]
    if self.known_fold is not None:
      x = self.known_fold.inputs(x)  # [B, T, D]
      self.sow("intermediates", "fold_inputs", x)
      time = frames.shape[1]
      if not self.known_fold.is_folded_by_loss(time):
        x = nn.RNN(KnownFoldCell(self.known_fold, time))(x)
    return x

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

  def scale(self, frames: jax.Array) -> jax.Array:
    """Pixels to floats in 0..`input_max`."""
    if jnp.issubdtype(frames.dtype, jnp.integer):
      return frames.astype(self.dtype) / (255 / self.input_max)
    return frames.astype(self.dtype) * self.input_max


def mean_square(features: jax.Array) -> jax.Array:
  """[..., F] -> [...] float32."""
  return jnp.square(features.astype(jnp.float32)).mean(axis=-1)
