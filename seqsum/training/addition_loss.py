"""Objectives of multi-digit addition, labelled by the digits of the sum.

Everything holds for subtraction too, whose label is the digits of a difference
(`sequences/addition.Subtraction`).
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from seqsum.models.carry import CarryCore
from seqsum.sequences.shapes import Lengths, Outputs, Values
from seqsum.training.losses import ObjectiveOutput
from seqsum.training.metrics import final


@dataclasses.dataclass(frozen=True)
class CarryObjective:
  """The `Objective` of the core 'carry'.

  The loss, at the last step, is the negative log-likelihood of all digits of
  the sum, in nats. The prediction is the sum of the likeliest digits.

  The code of the classes (`models/carry.py`) is one latent variable of a whole
  batch, on several devices of the rows of each. Its posterior weighs the losses
  under all codes, so the gradient is that of the likelihood with the code
  summed out. The posterior selects the code that the network has begun to
  learn; the code's logits follow. The value exceeds the negative log-likelihood
  by the entropy of the posterior, at most log(codes) for a batch.

  Attributes:
    fold: The core.
  """

  fold: CarryCore

  @property
  def outputs(self) -> int:
    return self.fold.outputs

  def __call__(
    self, outputs: Outputs, targets: Values, lengths: Lengths
  ) -> ObjectiveOutput:
    sums = final(targets, lengths)
    likelihoods = self.fold.log_likelihoods(outputs, sums, lengths)
    is_real = jnp.arange(outputs.shape[1])[None] < lengths[:, None]
    code = jnp.where(is_real[..., None], outputs[..., 10:], 0).sum((0, 1))
    prior = jax.nn.log_softmax(code / is_real.sum())  # [codes]
    posterior = jax.nn.softmax(prior + likelihoods.sum(axis=1))
    shared = prior / len(outputs)
    loss = -jax.lax.stop_gradient(posterior) @ (likelihoods + shared[:, None])
    return ObjectiveOutput(
      jnp.where(is_last(outputs, lengths), loss[:, None], 0),
      self._predict(outputs, lengths),
    )

  def decode(self, outputs: Outputs) -> tuple[Values, None]:
    """Predictions; sequences longer than those of training have longer sums."""
    batch, time, _ = outputs.shape  # an exported program's batch has no len()
    lengths = jnp.full(batch, time)
    return self._predict(outputs, lengths), None

  def support(self, time: int) -> np.ndarray:
    return np.zeros(0, np.float32)

  def _predict(self, outputs: Outputs, lengths: Lengths) -> Values:
    digits = self.fold.digits(jax.lax.stop_gradient(outputs))
    task = self.fold.task.with_room_for(outputs.shape[1])
    sums = task.running(digits, lengths)
    is_nan = jnp.isnan(outputs).any(axis=(1, 2), keepdims=True)
    return jnp.where(is_nan, jnp.nan, sums)


@dataclasses.dataclass(frozen=True)
class ColumnObjective:
  """An `Objective` of a learned recurrence that adds column by column.

  After the second frame of a column the outputs are logits of the column's
  digit of the sum, and after the last column also of the leading digit, 0 or 1.
  The loss, at the last step, is the sum of their cross entropies, in nats: the
  negative log-likelihood of all digits of the sum. Sequences have whole
  columns.

  Attributes:
    columns: N, columns of the longest sequence.
    subtracts: Whether targets are differences. A shorter one has the higher
      digits of the complement: 0 if it is not negative, else 9.
  """

  fold: ClassVar[None] = None
  outputs: ClassVar[int] = 12
  columns: int
  subtracts: bool = False

  def __call__(
    self, outputs: Outputs, targets: Values, lengths: Lengths
  ) -> ObjectiveOutput:
    last, count = is_last(outputs, lengths), lengths // 2
    target = final(targets, lengths).astype(jnp.int32)  # [B, D]
    cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels
    columns = outputs[:, 1::2]  # [B, T / 2, 12]
    losses = cross_entropy(columns[..., :10], target[:, : columns.shape[1]])
    is_real = jnp.arange(columns.shape[1])[None] < count[:, None]
    place = jnp.full_like(count, self.columns) if self.subtracts else count
    leading = jnp.take_along_axis(target, place[:, None], axis=1)[:, 0]
    loss = jnp.where(is_real, losses, 0).sum(axis=1)
    loss += cross_entropy(final(outputs, lengths)[:, 10:], leading)
    predictions, _ = self.decode(outputs)
    padding = jnp.arange(outputs.shape[1])[None] >= lengths[:, None]
    at_end = final(predictions, lengths)[:, None]
    return ObjectiveOutput(
      jnp.where(last, loss[:, None], 0),
      jnp.where(padding[..., None], at_end, predictions),
    )

  def decode(self, outputs: Outputs) -> tuple[Values, None]:
    """Predictions after whole columns; nan after the first frame of one.

    Sequences longer than those of training have longer sums.
    """
    time = outputs.shape[1]
    step = np.arange(time)[:, None]  # [T, 1]
    columns = max(self.columns, (time + 1) // 2)
    part = np.arange(columns + 1)[None]  # [1, D]
    digits = jnp.argmax(outputs[:, 1::2, :10], axis=-1)  # [B, T / 2]
    missing = columns + 1 - digits.shape[1]
    # Not jnp.pad, which jax2onnx 0.17 cannot convert for an unknown B.
    zero = jnp.zeros((digits.shape[0], missing), digits.dtype)
    digits = jnp.concatenate([digits, zero], axis=1)[:, None]  # [B, 1, D]
    leading = jnp.argmax(outputs[..., 10:], axis=-1)[..., None]  # [B, T, 1]
    done = (step + 1) // 2  # whole columns after each step
    sums = jnp.where((part < done)[None], digits, 0)
    if self.subtracts:
      higher = np.broadcast_to(part >= done, (time, columns + 1))[None]
      sums = jnp.where(higher, 9 * (1 - leading), sums)
      done = np.full_like(done, columns)
    sums = jnp.where((part == done)[None], leading, sums).astype(jnp.float32)
    unknown = np.broadcast_to(step % 2 == 0, (time, 1))[None]
    unknown = unknown | jnp.isnan(outputs).any(axis=(1, 2), keepdims=True)
    return jnp.where(unknown, jnp.nan, sums), None

  def support(self, time: int) -> np.ndarray:
    return np.zeros(0, np.float32)


def is_last(outputs: Outputs, lengths: Lengths) -> jax.Array:
  """[B, T] bool, whether a step is the sequence's last real one."""
  return jnp.arange(outputs.shape[1])[None] == lengths[:, None] - 1
