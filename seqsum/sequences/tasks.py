"""Tasks: running reductions over the digits of a sequence.

Every task is a fold: the sum is fold(+, 0), the product fold(x, 1). The target
at step t is the fold of the first t digits, and the final target is the last of
these. "A value at every frame" and "one value at the end" are therefore the
same computation, read at different steps. Where a fold must remember more than
its target, as of whether digits ascend, the target is a function of its value.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.sequences import target_values
from seqsum.sequences.shapes import Lengths, Values

ROUNDING = 0.5  # a prediction nearer than this rounds to a whole target
DIGITS = tuple(range(10))
BROKEN = 10  # the value of `sorted` once a digit was less than the one before


@dataclasses.dataclass(frozen=True)
class Task:
  """A fold over digits.

  Attributes:
    name: The task's name in `config.task.name`.
    initial: The fold of no digits.
    combine: `(value so far, next digit) -> value`, elementwise on arrays.
    digits: The digits that sequences are made of, ascending.
    observe: Value of the fold -> target, elementwise on arrays.
    tolerance: A prediction nearer than this to its target is exact.
    size: Parts of a target that is a vector; 0 for a number.
    least: A lower bound of the targets.
    unit: Lengths are multiples of this many frames.
  """

  tolerance: ClassVar[float] = ROUNDING
  size: ClassVar[int] = 0
  least: ClassVar[float] = 0.0
  unit: ClassVar[int] = 1
  name: str
  initial: float
  combine: Callable[[Any, Any], Any]
  digits: tuple[int, ...] = DIGITS
  observe: Callable[[Any], Any] = lambda value: value

  def running(self, digits: jax.Array, lengths: Lengths) -> Values:
    """Computes the target of the first t digits, for every t.

    Args:
      digits: [B, T] integers 0..9.
      lengths: [B] how many of them are real.

    Returns:
      [B, T] float32, exact below 2**24. The padding repeats the final one.
    """

    def step(value, inputs):
      digit, is_real = inputs
      value = jnp.where(is_real, self.combine(value, digit), value)
      return value, value

    batch, time = digits.shape
    is_real = jnp.arange(time)[:, None] < lengths[None, :]  # [T, B]
    start = jnp.full((batch,), self.initial, jnp.float32)
    inputs = digits.T.astype(jnp.float32), is_real
    # An accelerator waits for the host in every iteration of a loop.
    _, values = jax.lax.scan(step, start, inputs, unroll=min(time, 16))
    return self.observe(values.T)

  def reachable(self, max_len: int, min_len: int = 1) -> np.ndarray:
    """[V] float64, ascending: all targets of `min_len..max_len` digits.

    For the sum of up to four digits: 0..36.

    Raises:
      InputError: There are too many values to count.
    """
    return target_values.reachable(self, max_len, min_len)

  def moments(
    self, max_len: int, min_len: int = 1, per_step: bool = False
  ) -> tuple[float, float]:
    """Exact mean and standard deviation of the targets of random digits.

    Args:
      max_len, min_len: Lengths are uniform on `min_len..max_len`.
      per_step: Whether every real step has a target, not only the last.
    """
    return target_values.moments(self, max_len, min_len, per_step)

  def mean_target(
    self, labels: np.ndarray, max_len: int, min_len: int, per_step: bool
  ) -> float:
    """The mean target of images with these labels [M]."""
    return target_values.mean_target(self, labels, max_len, min_len, per_step)


SUM = Task("sum", 0.0, lambda value, digit: value + digit)
PRODUCT = Task("product", 1.0, lambda value, digit: value * digit)
OTHERS = (
  Task("max", 0.0, lambda most, digit: most + (digit - most) * (digit > most)),
  Task("parity", 0.0, lambda value, digit: (value + digit) % 2),
  Task("mod10", 0.0, lambda value, digit: (value + digit) % 10),
  Task("threes", 0.0, lambda count, digit: count + (digit == 3)),
  Task(  # 1 if no digit is less than the one before it, else 0
    "sorted",
    0.0,
    lambda last, digit: BROKEN + (digit - BROKEN) * (digit >= last),
    observe=lambda last: 1.0 * (last < BROKEN),
  ),
  # The sum of the distinct digits. A 0 adds nothing, so it is no member.
  Task("distinct", 0.0, target_values.insert, observe=target_values.total),
)
TASKS = {task.name: task for task in (SUM, PRODUCT, *OTHERS)}
