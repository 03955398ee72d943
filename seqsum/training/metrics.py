"""Metric sums over training steps, divided once when a line is written."""

import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from seqsum.sequences.shapes import Lengths, Scalar, Values
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.norms import Norms

NEVER = np.iinfo(np.int32).max
MOST_SKIPPED = 20  # consecutive skipped updates after which a run stops
Array = TypeVar("Array", np.ndarray, jax.Array)


class Totals(struct.PyTreeNode):
  """Metric sums over consecutive steps.

  Attributes:
    sequences: [] float32, number of sequences.
    loss_count: [] float32, values with a loss: one a sequence or, with
      `per_step`, a real frame.
    loss: [] float32, sum over these values.
    squared, absolute: [] float32, errors of the final prediction in digit
      units, summed over sequences.
    exact: [] float32, number of final predictions that round to the target.
    nonfinite: [] int32, the first step whose loss was inf or nan, or `NEVER`.
    skipped: [] int32, steps whose update was skipped; no other sum counts them.
    in_a_row: [] int32, consecutive skipped updates up to the last step. Once it
      has reached `MOST_SKIPPED` it is not reset.
    norms: Norms of the steps, if `config.log_norms`.
  """

  sequences: Scalar
  loss_count: Scalar
  loss: Scalar
  squared: Scalar
  absolute: Scalar
  exact: Scalar
  nonfinite: Scalar
  skipped: Scalar
  in_a_row: Scalar
  norms: Norms = struct.field(default_factory=Norms.zero)

  @classmethod
  def zero(cls) -> "Totals":
    zero: Any = np.zeros((), np.float32)
    count: Any = np.zeros((), np.int32)
    return cls(zero, zero, zero, zero, zero, zero, NEVER + count, count, count)

  @classmethod
  def of_batch(
    cls,
    predictions: Values,
    targets: Values,
    lengths: Lengths,
    *,
    loss: Scalar,
    loss_count: Scalar,
    tolerance: float,
  ) -> "Totals":
    """The sums of one batch; all but the loss are of final predictions."""
    prediction, target = final(predictions, lengths), final(targets, lengths)
    error = prediction - target
    return cls(
      sequences=jnp.float32(len(error)),
      loss_count=loss_count,
      loss=loss,
      squared=of_sequence(jnp.square(error)).sum(),
      absolute=of_sequence(jnp.abs(error)).sum(),
      exact=is_exact(prediction, target, tolerance).sum(dtype=jnp.float32),
      nonfinite=jnp.int32(0),
      skipped=jnp.int32(0),
      in_a_row=jnp.int32(0),
    )

  def reset(self) -> "Totals":
    """Zero, except for the consecutive skipped updates."""
    return Totals.zero().replace(in_a_row=self.in_a_row)

  def of_skipped(self) -> "Totals":
    """The totals of this step if its update is skipped."""
    one = np.ones((), np.int32)
    zero = Totals.zero()
    return zero.replace(nonfinite=self.nonfinite, skipped=one, in_a_row=one)

  def merge(self, other: "Totals") -> "Totals":
    """Adds the totals of the next step."""
    is_kept = (other.in_a_row > 0) | (self.in_a_row >= MOST_SKIPPED)
    return jax.tree.map(jnp.add, self, other).replace(
      nonfinite=jnp.minimum(self.nonfinite, other.nonfinite),
      in_a_row=jnp.where(is_kept, self.in_a_row + other.in_a_row, 0),
      norms=self.norms.merge(other.norms),
    )

  def means(self) -> dict[str, float]:
    """The fields of a training line in metrics.jsonl.

    If all updates were skipped, means are nan and `exact_accuracy` is 0.
    `skipped` is present if any were.
    """
    sequences, loss_count = float(self.sequences), float(self.loss_count)
    if not sequences:
      sequences = loss_count = math.nan
    means = {
      "loss": float(self.loss) / loss_count,
      "mse": float(self.squared) / sequences,
      "mae": float(self.absolute) / sequences,
      "exact_accuracy": float(self.exact) / max(1, float(self.sequences)),
    }
    skipped = {"skipped": int(self.skipped)} if self.skipped else {}
    return means | skipped | self.norms.means()


def is_exact(
  predictions: Array, targets: Array, tolerance: float = ROUNDING
) -> Array:
  """Whether each prediction rounds to its target, [N] bool; False for nan.

  Args:
    predictions, targets: [N], or [N, D] vectors, all of whose parts must agree.
    tolerance: The absolute error below which a prediction is exact. Products
      above 2**24, not all of them float32, must agree to 2**-20.
  """
  error = abs(predictions - targets)
  near = (error < tolerance) | (error <= 2.0**-20 * abs(targets))
  return near.all(axis=-1) if near.ndim > 1 else near


def of_sequence(errors: Array) -> Array:
  """[N] or [N, D] -> [N], the mean over the parts of a vector."""
  return errors.mean(axis=-1) if errors.ndim > 1 else errors


def final(values: Values, lengths: Lengths) -> jax.Array:
  """[B, T, ...] -> [B, ...], the value at each sequence's last real step."""
  last = (lengths - 1).reshape(-1, 1, *[1] * (values.ndim - 2))
  return jnp.take_along_axis(values, last, axis=1)[:, 0]
