"""Values of a fold, and values and moments of the targets of its task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from seqsum.runtime.errors import require

if TYPE_CHECKING:
  from seqsum.sequences.tasks import Task

SAMPLE = 50_000  # sequences that `mean_target` averages over
MAX_VALUES = 100_000  # distinct values that are counted
MAX_PAIRS = 100_000_000  # pairs of value and next digit; takes seconds


def distributions(
  task: Task, max_len: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Distributions of the fold of 1, 2, ..., max_len equally likely digits.

  Yields:
    [V] float64, the values, ascending; and [V] float64, their probabilities.

  Raises:
    InputError: There are more than `MAX_VALUES` values, or counting them takes
      more than `MAX_PAIRS` operations.
  """
  digits = np.array(task.digits, np.float64)
  values, probabilities, pairs = np.array([task.initial]), np.ones(1), 0
  for length in range(1, max_len + 1):
    folded = task.combine(values[:, None], digits[None, :]).ravel()
    probabilities = np.repeat(probabilities / len(digits), len(digits))
    values, probabilities = _merge(folded, probabilities)
    pairs += len(folded)
    require(
      pairs <= MAX_PAIRS,
      "config.sequence.max_len",
      max_len,
      f"counting the values of a {task.name} takes minutes from {length:,} "
      "digits on; use another config.loss and config.task.target",
    )
    require(
      len(values) <= MAX_VALUES,
      "config.sequence.max_len",
      max_len,
      f"the {task.name} of {length} digits has {len(values):,} values, too "
      "many to count; use another config.loss and config.task.target",
    )
    yield values, probabilities


def fold_values(task: Task, max_len: int, min_len: int = 0) -> np.ndarray:
  """All values that a task's fold of `min_len..max_len` digits can have.

  Returns:
    [K] float64, ascending.

  Raises:
    InputError: There are too many values to count.
  """
  found = [np.array([task.initial])]
  found += [values for values, _ in distributions(task, max_len)]
  return np.unique(np.concatenate(found[min_len:]))


def reachable(task: Task, max_len: int, min_len: int) -> np.ndarray:
  """See `Task.reachable`."""
  return np.unique(task.observe(fold_values(task, max_len, min_len)))


def moments(
  task: Task, max_len: int, min_len: int, per_step: bool
) -> tuple[float, float]:
  """See `Task.moments`."""
  found, counts = [], []
  for step, (some, likely) in enumerate(distributions(task, max_len), 1):
    found.append(some)
    counts.append(_count(step, max_len, min_len, per_step) * likely)
  values, weights = task.observe(np.concatenate(found)), np.concatenate(counts)
  mean = np.average(values, weights=weights)
  square = np.average(np.square(values - mean), weights=weights)
  return float(mean), float(np.sqrt(square)) or 1.0


def mean_target(
  task: Task,
  labels: np.ndarray,
  max_len: int,
  min_len: int = 1,
  per_step: bool = False,
) -> float:
  """The mean target of sequences of given images, sampled.

  At every step each label is as frequent as in `labels`, so that the mean of a
  sum is exact.

  Args:
    task: The fold.
    labels: [M] integers 0..9, at least one.
    max_len, min_len, per_step: See `Task.moments`.
  """
  rng = np.random.default_rng(0)
  digits = np.tile(labels, -(-SAMPLE // len(labels))).astype(np.float64)
  digits = rng.permutation(digits)
  values = np.full(len(digits), task.initial)
  total = weight = 0.0
  with np.errstate(over="ignore"):
    for step in range(1, max_len + 1):
      others = np.roll(digits, rng.integers(len(digits)))
      values = task.combine(values, others)
      count = _count(step, max_len, min_len, per_step)
      total += count * task.observe(values).mean()
      weight += count
  return float(total / weight)


def insert(members: Any, digit: Any) -> Any:
  """Adds a digit to a set of the digits 1..9, where d is the bit 2**(d - 1).

  A 0 is no member, because it adds nothing to a sum. Elementwise on numbers and
  arrays, and exact on floats.
  """
  bit = sum((digit == d) * 2.0 ** (d - 1) for d in range(1, 10))
  is_member = members // (bit + (bit == 0)) % 2 == 1
  return members + bit * (1 - is_member)


def total(members: Any) -> Any:
  """The sum of a set's members, 0..45; see `insert`."""
  return sum(d * (members // 2.0 ** (d - 1) % 2) for d in range(1, 10))


def _merge(
  values: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Distinct values, ascending, and the sums of their probabilities."""
  least = values.min()
  is_dense = values.max() - least < 8 * len(values)
  if is_dense and (values == values.round()).all():
    index = (values - least).astype(np.int64)  # ten times faster than sorting
    (found,) = np.nonzero(np.bincount(index))
    return found + least, np.bincount(index, probabilities)[found]
  found, index = np.unique(values, return_inverse=True)
  return found, np.bincount(index, probabilities)


def _count(step: int, max_len: int, min_len: int, per_step: bool) -> int:
  """For how many of the lengths the value at a step is a target."""
  longer = max_len - max(step, min_len) + 1
  return longer if per_step else int(step >= min_len)
