"""The folds: what a sequence of digits is worth.

Every task is a fold over digit values. The target at step t is the fold of the
first t digits and the final target is the last of these, so "a value at every
frame" and "one value at the end" are one computation read at different steps.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.errors import choose

DIGITS = 10  # a frame shows one of 0..9


@dataclasses.dataclass(frozen=True)
class Task:
  """A fold over digit values.

  Attributes:
    name: What `config.task.name` calls it.
    initial: The fold of no digits at all.
    combine: `(value so far, next digit) -> value`, elementwise on arrays.
  """

  name: str
  initial: float
  combine: Callable[[jax.Array, jax.Array], jax.Array]

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

  def reachable(self, max_len: int, min_len: int = 1) -> np.ndarray:
    """All values that sequences of `min_len..max_len` digits can fold to.

    Returns:
      [K] float64, ascending. For the sum of up to four digits: 0..36.
    """
    digits = np.arange(DIGITS, dtype=np.float64)
    values, found = np.array([self.initial]), []
    for length in range(1, max_len + 1):
      values = np.unique(self.combine(values[:, None], digits[None, :]))
      if length >= min_len:
        found.append(values)
    return np.unique(np.concatenate(found))


SUM = Task("sum", 0.0, lambda value, digit: value + digit)
PRODUCT = Task("product", 1.0, lambda value, digit: value * digit)
TASKS = {task.name: task for task in (SUM, PRODUCT)}


def build_task(name: str) -> Task:
  """The task of that name.

  Raises:
    InputError: There is none.
  """
  return choose("config.task.name", name, TASKS)
