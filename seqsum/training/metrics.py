"""Sums before means: totals that are added up and divided once, at the end."""

import math
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from seqsum.sequences.shapes import Scalar, Values
from seqsum.sequences.tasks import ROUNDING

NEVER = np.iinfo(np.int32).max
MOST_SKIPPED = 20  # updates in a row that may be dropped before a run stops
Array = TypeVar("Array", np.ndarray, jax.Array)


class Norms(struct.PyTreeNode):
  """How large things were in a run of steps; nothing, unless measured.

  The maxima are inf or nan from the first step on that was.

  Attributes:
    steps: [] float32, how many were measured.
    encoded: [] float32, sum over them of the mean square of what the encoder
      gave for a real frame; `encoded_max` the largest.
    gradient: [] float32, sum over them of the gradient's global norm, before
      any clipping; `gradient_max` the largest.
  """

  steps: Scalar
  encoded: Scalar
  encoded_max: Scalar
  gradient: Scalar
  gradient_max: Scalar

  @classmethod
  def zero(cls) -> "Norms":
    return cls(*[np.zeros((), np.float32)] * 5)

  @classmethod
  def of_step(cls, encoded: Scalar, gradient: Scalar) -> "Norms":
    """One step's mean square and global norm."""
    return cls(jnp.float32(1), encoded, encoded, gradient, gradient)

  def merge(self, other: "Norms") -> "Norms":
    return jax.tree.map(jnp.add, self, other).replace(
      encoded_max=jnp.maximum(self.encoded_max, other.encoded_max),
      gradient_max=jnp.maximum(self.gradient_max, other.gradient_max),
    )

  def means(self) -> dict[str, float]:
    if not self.steps:
      return {}
    steps = float(self.steps)
    return {
      "encoded_rms": math.sqrt(self.encoded / steps),
      "encoded_rms_max": math.sqrt(self.encoded_max),
      "gradient_norm": float(self.gradient) / steps,
      "gradient_norm_max": float(self.gradient_max),
    }


class Totals(struct.PyTreeNode):
  """What a run of steps added up to.

  Attributes:
    sequences: [] float32, how many were seen.
    values: [] float32, how many values the loss was taken of (more than
      sequences, if a value is asked for at every step).
    loss: [] float32, sum over `values`.
    squared, absolute: [] float32, errors of the final prediction in digit
      units, summed over `sequences`.
    exact: [] float32, how many final predictions round to the target.
    nonfinite: [] int32, the first step whose loss was inf or nan, or `NEVER`.
    skipped: [] int32, steps whose update was dropped; they count in no sum.
    in_a_row: [] int32, how many of the last steps these were, without a good
      one between; from `MOST_SKIPPED` on it does not start again.
    norms: Of the steps, if they were measured.
  """

  sequences: Scalar
  values: Scalar
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
    zeros = [np.zeros((), np.float32)] * 6
    zero, never = np.zeros((), np.int32), np.asarray(NEVER, np.int32)
    return cls(*zeros, nonfinite=never, skipped=zero, in_a_row=zero)

  def start_again(self) -> "Totals":
    """Zero, except that dropped updates in a row go on."""
    return Totals.zero().replace(in_a_row=self.in_a_row)

  def of_skipped(self) -> "Totals":
    """Of the same step, had its update been dropped."""
    one = np.ones((), np.int32)
    zero = Totals.zero()
    return zero.replace(nonfinite=self.nonfinite, skipped=one, in_a_row=one)

  def merge(self, other: "Totals") -> "Totals":
    """Adds the totals of the next step."""
    goes_on = (other.in_a_row > 0) | (self.in_a_row >= MOST_SKIPPED)
    return jax.tree.map(jnp.add, self, other).replace(
      nonfinite=jnp.minimum(self.nonfinite, other.nonfinite),
      in_a_row=jnp.where(goes_on, self.in_a_row + other.in_a_row, 0),
      norms=self.norms.merge(other.norms),
    )

  def means(self) -> dict[str, float]:
    """The metrics' names and values, as they stand in metrics.jsonl.

    Of no sequences at all, because all updates were dropped, they are nan, and
    none is exact. `skipped` is there if there are any.
    """
    sequences, values = float(self.sequences), float(self.values)
    if not sequences:
      sequences = values = math.nan
    means = {
      "loss": float(self.loss) / values,
      "mse": float(self.squared) / sequences,
      "mae": float(self.absolute) / sequences,
      "exact_accuracy": float(self.exact) / max(1, float(self.sequences)),
    }
    skipped = {"skipped": int(self.skipped)} if self.skipped else {}
    return means | skipped | self.norms.means()


def is_exact(
  predictions: Array, targets: Array, tolerance: float = ROUNDING
) -> Array:
  """Which predictions [N] round to their target; nan never does.

  Of vectors [N, D], all parts must. Of targets that are no whole numbers, which
  predictions are nearer to them than a tolerance.

  Products too large for float32 to have every whole number agree to a millionth
  (at most 20 roundings of 2**-24 each).
  """
  error = abs(predictions - targets)
  near = (error < tolerance) | (error <= 2.0**-20 * abs(targets))
  return near.all(axis=-1) if near.ndim > 1 else near


def of_sequence(errors: Array) -> Array:
  """[N] or [N, D] -> [N], the mean of a vector's parts."""
  return errors.mean(axis=-1) if errors.ndim > 1 else errors


def final(values: Values, lengths: jax.Array) -> jax.Array:
  """[B, T, ...] -> [B, ...], the value at each sequence's last real step."""
  last = (lengths - 1).reshape(-1, 1, *[1] * (values.ndim - 2))
  return jnp.take_along_axis(values, last, axis=1)[:, 0]


def number(value: float | None, digits: int = 3) -> str:
  """In so many digits or so, the way that a person would write it.

  Whatever is inf or nan, which files have as null, is said in words.
  """
  if value is None or not math.isfinite(value):
    return "not finite"
  if min(1e3, 10.0**digits) <= abs(value) < 1e9:
    return f"{value:,.0f}"
  return f"{value:.{digits}g}"
