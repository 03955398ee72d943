"""The folds: what a sequence of digits is worth.

Every task is a fold over digit values. The target at step t is the fold of the
first t digits and the final target is the last of these, so "a value at every
frame" and "one value at the end" are one computation read at different steps.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.runtime.errors import choose, require

ROUNDING = 0.5  # nearer than this, a prediction rounds to its target

DIGITS = tuple(range(10))  # a frame shows one of them
SAMPLE = 50_000  # sequences that a mean is taken over
MOST_VALUES = 100_000  # of a fold, when all of them must be known
MOST_PAIRS = 100_000_000  # values and next digits that are counted: seconds


@dataclasses.dataclass(frozen=True)
class Task:
  """A fold over digit values.

  Attributes:
    name: What `config.task.name` calls it.
    initial: The fold of no digits at all.
    combine: `(value so far, next digit) -> value`, elementwise on arrays.
    digits: Those that sequences are made of, ascending.
    tolerance: A prediction that is nearer to its target rounds to it.
    size: Parts of a target that is a vector; 0: it is a number.
    least: No target is smaller.
  """

  tolerance: ClassVar[float] = ROUNDING
  size: ClassVar[int] = 0
  least: ClassVar[float] = 0.0
  name: str
  initial: float
  combine: Callable[[jax.Array, jax.Array], jax.Array]
  digits: tuple[int, ...] = DIGITS

  def running(self, digits: jax.Array, lengths: jax.Array) -> jax.Array:
    """The fold of the first t digits, for every t.

    Args:
      digits: [B, T] integers 0..9.
      lengths: [B] how many of them are real.

    Returns:
      [B, T] float32 (exact below 2**24). Past the end of a sequence the value
      stays what it was at the last real step.
    """

    def step(value, inputs):
      digit, alive = inputs
      value = jnp.where(alive, self.combine(value, digit), value)
      return value, value

    batch, time = digits.shape
    alive = jnp.arange(time)[:, None] < lengths[None, :]  # [T, B]
    start = jnp.full((batch,), self.initial, jnp.float32)
    _, values = jax.lax.scan(step, start, (digits.T.astype(jnp.float32), alive))
    return values.T

  def distributions(
    self, max_len: int
  ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What 1, 2, ..., max_len digits fold to, all digits equally likely.

    Yields:
      [K] float64, the values, ascending; and [K] float64, their probabilities.

    Raises:
      InputError: There are more than `MOST_VALUES` values, or it takes more
        than `MOST_PAIRS` to find them.
    """
    digits = np.array(self.digits, np.float64)
    values, shares, pairs = np.array([self.initial]), np.ones(1), 0
    for length in range(1, max_len + 1):
      folded = self.combine(values[:, None], digits[None, :]).ravel()
      shares = np.repeat(shares / len(digits), len(digits))
      values, shares = _merge(folded, shares)
      pairs += len(folded)
      require(
        pairs <= MOST_PAIRS,
        "sequence.max_len",
        max_len,
        f"to count the values of a {self.name} takes minutes from {length:,} "
        "digits on; take another config.loss and config.task.target",
      )
      require(
        len(values) <= MOST_VALUES,
        "sequence.max_len",
        max_len,
        f"the {self.name} of {length} digits has {len(values):,} values, too "
        "many to count; take another config.loss and config.task.target",
      )
      yield values, shares

  def reachable(self, max_len: int, min_len: int = 1) -> np.ndarray:
    """All values that sequences of `min_len..max_len` digits can fold to.

    Returns:
      [K] float64, ascending. For the sum of up to four digits: 0..36.
    """
    found = [np.array([self.initial])]
    found += [values for values, _ in self.distributions(max_len)]
    return np.unique(np.concatenate(found[min_len:]))

  def moments(
    self, max_len: int, min_len: int = 1, per_step: bool = False
  ) -> tuple[float, float]:
    """Mean and standard deviation of the targets, computed, not sampled.

    Args:
      max_len, min_len: Lengths are uniform on `min_len..max_len`.
      per_step: Of the values at all real steps, not only the final ones.
    """
    values, weights = [], []
    for step, (some, shares) in enumerate(self.distributions(max_len), 1):
      values.append(some)
      weights.append(_asked(step, max_len, min_len, per_step) * shares)
    values, weights = np.concatenate(values), np.concatenate(weights)
    mean = np.average(values, weights=weights)
    square = np.average(np.square(values - mean), weights=weights)
    return float(mean), float(np.sqrt(square))

  def mean_target(
    self,
    labels: np.ndarray,
    max_len: int,
    min_len: int = 1,
    per_step: bool = False,
  ) -> float:
    """The mean target of sequences of given digits, sampled.

    At every step each of the digits comes as often as in `labels`, so that the
    mean of a sum is exact.

    Args:
      labels: [N] integers 0..9, at least one.
      max_len, min_len, per_step: As for `moments`.
    """
    rng = np.random.default_rng(0)
    digits = np.tile(labels, -(-SAMPLE // len(labels))).astype(np.float64)
    digits = rng.permutation(digits)
    values = np.full(len(digits), self.initial)
    total = weight = 0.0
    with np.errstate(over="ignore"):
      for step in range(1, max_len + 1):
        others = np.roll(digits, rng.integers(len(digits)))
        values = self.combine(values, others)
        asked = _asked(step, max_len, min_len, per_step)
        total += asked * values.mean()
        weight += asked
    return float(total / weight)


def _merge(
  values: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Adds up the shares of equal values; the values ascend."""
  least = values.min()
  if (
    values.max() - least < 8 * len(values) and (values == values.round()).all()
  ):
    places = (values - least).astype(np.int64)  # ten times faster than sorting
    (found,) = np.nonzero(np.bincount(places))
    return found + least, np.bincount(places, shares)[found]
  found, places = np.unique(values, return_inverse=True)
  return found, np.bincount(places, shares)


def _asked(step: int, max_len: int, min_len: int, per_step: bool) -> int:
  """How many of the lengths ask for the value at a step."""
  longer = max_len - max(step, min_len) + 1
  return longer if per_step else int(step >= min_len)


SUM = Task("sum", 0.0, lambda value, digit: value + digit)
PRODUCT = Task("product", 1.0, lambda value, digit: value * digit)
TASKS = {task.name: task for task in (SUM, PRODUCT)}


def build_task(name: str, digits: tuple[int, ...] = DIGITS) -> Task:
  """The task of that name, on those digits.

  Raises:
    InputError: There is none, or they are no digits.
  """
  require(
    len(digits) > 0
    and tuple(sorted(set(digits))) == digits
    and set(digits) <= set(DIGITS),
    "config.sequence.digits",
    digits,
    "must be some of 0..9, ascending, such as (1, 2, 3)",
  )
  task = choose("config.task.name", name, TASKS)
  return dataclasses.replace(task, digits=digits)
