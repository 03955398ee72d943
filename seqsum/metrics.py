"""Sums before means: totals that are added up and divided once, at the end."""

import math
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from seqsum.shapes import Scalar, Values

NEVER = np.iinfo(np.int32).max
Array = TypeVar("Array", np.ndarray, jax.Array)


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
  """

  sequences: Scalar
  values: Scalar
  loss: Scalar
  squared: Scalar
  absolute: Scalar
  exact: Scalar
  nonfinite: Scalar

  @classmethod
  def zero(cls) -> "Totals":
    zero = np.zeros((), np.float32)
    return cls(zero, zero, zero, zero, zero, zero, np.asarray(NEVER, np.int32))

  def merge(self, other: "Totals") -> "Totals":
    total = jax.tree.map(jnp.add, self, other)
    first = jnp.minimum(self.nonfinite, other.nonfinite)
    return total.replace(nonfinite=first)

  def means(self) -> dict[str, float]:
    """The metrics' names and values, as they stand in metrics.jsonl."""
    sequences, values = float(self.sequences), float(self.values)
    return {
      "loss": float(self.loss) / values,
      "mse": float(self.squared) / sequences,
      "mae": float(self.absolute) / sequences,
      "exact_accuracy": float(self.exact) / sequences,
    }


def is_exact(predictions: Array, targets: Array) -> Array:
  """Which predictions round to their target; nan never does."""
  return abs(predictions - targets) < 0.5


def final(values: Values, lengths: jax.Array) -> jax.Array:
  """[B, T] -> [B], the value at each sequence's last real step."""
  return jnp.take_along_axis(values, lengths[:, None] - 1, axis=1)[:, 0]


def number(value: float | None, digits: int = 3) -> str:
  """In so many digits or so, the way that a person would write it.

  Whatever is inf or nan, which files have as null, is said in words.
  """
  if value is None or not math.isfinite(value):
    return "not finite"
  if 1e3 <= abs(value) < 1e9:
    return f"{value:,.0f}"
  return f"{value:.{digits}g}"
