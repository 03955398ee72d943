"""Cores that see the whole sequence: both directions, or attention.

`config.model.core` names one of `WHOLE_CORES`. The output at each step depends
on all real frames of a sequence and on no padding. Without
`config.task.per_step` only the last output is trained; the others mean nothing.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from seqsum.models import packing
from seqsum.models.cores import CORES, Core, recurrent_init
from seqsum.models.encoder import kernel_init
from seqsum.sequences.shapes import Lengths, Packed, Rows

HEADS = 4  # of attention, or the largest divisor of both this and the width
LONGEST_WAVE = 10_000  # steps, over 2 pi: of the position encoding


class WholeCore(NamedTuple):
  """A layer that sees the whole sequence.

  Attributes:
    name: The core's name in `config.model.core` and in names of parameters.
    cell: The cell of both directions; None for attention.
  """

  name: str
  cell: Core | None = None

  def layer(
    self,
    width: int,
    activation: Callable[[jax.Array], jax.Array],
    dtype: DTypeLike,
    name: str,
  ) -> Callable[[jax.Array, Lengths | None], jax.Array]:
    """A layer, as `Core.layer`."""
    if self.cell is None:
      return Attention(width, activation, dtype, name=name)
    return Bidirectional(self.cell, width, activation, dtype, name=name)


class Bidirectional(nn.Module):
  """Two cells, one forward and one backward over the real frames.

  Attributes:
    core: The cell.
    features: Width of each direction.
    activation: Activation of the candidate state.
    dtype: Computation dtype; parameters are float32.
  """

  core: Core
  features: int
  activation: Callable[[jax.Array], jax.Array] = nn.tanh
  dtype: DTypeLike = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, lengths: Lengths | None = None) -> jax.Array:
    """[B, T, F] -> [B, T, 2 * features]; forward first."""
    forward, backward = (
      self.core.cell(
        self.features,
        activation_fn=self.activation,
        kernel_init=kernel_init,
        recurrent_kernel_init=recurrent_init,
        dtype=self.dtype,
        name=name,
      )
      for name in ("forward", "backward")
    )
    back = nn.RNN(backward, reverse=True, keep_order=True)
    both: Any = nn.RNN(forward)(x), back(x, seq_lengths=lengths)
    return jnp.concatenate(both, axis=-1)


class PackedBidirectional(nn.Module):
  """`Bidirectional` over a packed batch.

  Attributes:
    cell: Constructor of a packed cell.
    features, activation, dtype: See `Bidirectional`.
  """

  cell: Callable[..., Any]
  features: int
  activation: Callable[[jax.Array], jax.Array] = nn.tanh
  dtype: DTypeLike = jnp.float32

  def setup(self):
    args = self.features, self.activation, self.dtype
    self.forward, self.backward = self.cell(*args), self.cell(*args)

  def project(self, inputs: Packed) -> tuple[Any, Any]:
    """Inputs of the gates, for both directions."""
    return self.forward.project(inputs), self.backward.project(inputs)

  def __call__(
    self, gates: tuple[Any, Any], rows: Rows, lengths: Lengths | None = None
  ) -> Packed:
    """Projected inputs -> [N, 2 * features]."""
    forward, backward = gates
    order = packing.reversal(rows, lengths)
    backward = jax.tree.map(lambda x: x[order], backward)
    back = self.backward(backward, rows)[order]
    return jnp.concatenate([self.forward(forward, rows), back], axis=-1)


class AttentionBlock(nn.Module):
  """A pre-norm block of a transformer: self-attention over time, feed-forward.

      x = W x (if it has another width) + position
      x = x + attention(norm(x))
      x = x + W2 activation(W1 norm(x) + b1) + b2

  (Vaswani et al. 2017; Xiong et al. 2020.) The position encoding is sinusoidal,
  so a sequence can be longer than in training.

  Attributes:
    features: Width of the output.
    activation: Activation of the feed-forward part, which is 4 times as wide.
    dtype: Computation dtype; parameters are float32.
  """

  features: int
  activation: Callable[[jax.Array], jax.Array] = nn.tanh
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.inputs = nn.Dense(
      self.features, dtype=self.dtype, kernel_init=kernel_init
    )
    self.attention_norm = nn.LayerNorm(dtype=self.dtype)
    self.attention = nn.MultiHeadDotProductAttention(
      num_heads=math.gcd(self.features, HEADS),
      dtype=self.dtype,
      kernel_init=kernel_init,
      force_fp32_for_softmax=True,
    )
    self.dense_norm = nn.LayerNorm(dtype=self.dtype)
    self.dense_0, self.dense_1 = (
      nn.Dense(width, dtype=self.dtype, kernel_init=kernel_init)
      for width in (4 * self.features, self.features)
    )

  def project(self, inputs: jax.Array) -> jax.Array:
    """[..., F] -> [..., features]."""
    if inputs.shape[-1] == self.features:
      return inputs.astype(self.dtype)
    return self.inputs(inputs)

  def attend(self, x: jax.Array, lengths: Lengths | None) -> jax.Array:
    """[B, T, features] -> [B, T, features], the block after `project`."""
    step = jnp.arange(x.shape[1])
    x = x + positions(step, self.features).astype(self.dtype)[None]
    mask = None
    if lengths is not None:
      is_real = step[None] < jnp.asarray(lengths)[:, None]
      mask = is_real[:, None, None]  # [B, 1, 1, T]
    x = x + self.attention(self.attention_norm(x), mask=mask)
    hidden = self.activation(self.dense_0(self.dense_norm(x)))
    return x + self.dense_1(hidden)


class Attention(AttentionBlock):
  """`AttentionBlock` over a batch."""

  def __call__(self, x: jax.Array, lengths: Lengths | None = None) -> jax.Array:
    """[B, T, F] -> [B, T, features]."""
    return self.attend(self.project(x), lengths)


class PackedAttention(AttentionBlock):
  """`AttentionBlock` over a packed batch; it computes the padding as well."""

  def __call__(
    self, x: Packed, rows: Rows, lengths: Lengths | None = None
  ) -> Packed:
    """Projected inputs [N, features] -> [N, features]."""
    padded = packing.unpack(x, rows, rows[0])
    real = packing.lengths(rows) if lengths is None else lengths[: rows[0]]
    return packing.pack(self.attend(padded, jnp.asarray(real)), rows)


def positions(step: jax.Array, features: int) -> jax.Array:
  """[T] -> [T, features] float32: sines, then cosines, of geometric waves."""
  waves = np.linspace(0, 1, -(-features // 2)).astype(np.float32)
  angle = step[:, None] * (1 / LONGEST_WAVE**waves)[None]
  both = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)
  return both[:, :features]


WHOLE_CORES = {
  core.name: core
  for core in (
    WholeCore("bigru", CORES["gru"]),
    WholeCore("bilstm", CORES["lstm"]),
    WholeCore("attention"),
  )
}
