"""Multi-digit addition and subtraction of two numbers, column by column.

The frames are the digits of both numbers, least significant column first and
in each column the first number's digit before the second's: 47 + 85 is the
sequence 7, 5, 4, 8. This is the order in which people add, and in which a
recurrence needs to remember one carry.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.sequences.shapes import Lengths, Values
from seqsum.sequences.tasks import DIGITS, ROUNDING

SAMPLE = 10_000  # pairs of numbers that `Addition.moments` averages


@dataclasses.dataclass(frozen=True)
class Addition:
  """The sum of two numbers so far, as its decimal digits.

  Used in place of a `tasks.Task`. A target is a vector, so that a prediction is
  exact if all its digits are; sums of 16 digits do not fit into a float.

  Attributes:
    shifts: The numbers c for which adding c to every digit, modulo 10, keeps
      the last digit of every column's sum (`models/carry.py`).
    subtracts: Whether the second number is subtracted.
    columns: N, digits of each number; sequences have up to 2N frames.
    digits: The digits that numbers are made of, ascending.
  """

  name: ClassVar[str] = "addition"
  shifts: ClassVar[tuple[int, ...]] = (0, 5)
  subtracts: ClassVar[bool] = False
  tolerance: ClassVar[float] = ROUNDING
  least: ClassVar[float] = 0.0
  unit: ClassVar[int] = 2  # frames of a column
  columns: int
  digits: tuple[int, ...] = DIGITS

  @property
  def size(self) -> int:
    """D, the digits of the sum: N + 1."""
    return self.columns + 1

  def running(self, digits: jax.Array, lengths: Lengths) -> Values:
    """Adds the first t frames, for every t.

    Args:
      digits: [B, T] integers 0..9, T at most 2N.
      lengths: [B] how many of them are real.

    Returns:
      [B, T, D] float32 in 0..9, the digits of the sum, least significant first.
      A number whose digit of a column has not arrived has a 0 there. The
      padding repeats the final sum.

    Raises:
      ValueError: T exceeds 2N.
    """
    return self._add(jnp.cumsum(self._parts(digits, lengths), axis=1))

  def _parts(self, digits: jax.Array, lengths: Lengths) -> jax.Array:
    """[B, T, N] float32, what each frame adds to the total of each column."""
    time = digits.shape[1]
    if time > 2 * self.columns:
      raise ValueError(f"{time} frames need more than {self.columns} columns")
    frame = np.arange(time)
    real = jnp.where(frame[None] < lengths[:, None], digits, 0)
    column = frame[:, None] // 2 == np.arange(self.columns)  # [T, N]
    signs = np.where(frame % 2, -1, 1) if self.subtracts else 1
    column = column * np.broadcast_to(signs, frame.shape)[:, None]
    return real.astype(jnp.float32)[..., None] * column[None]

  def _add(self, totals: jax.Array) -> Values:
    """Totals [..., N] of the columns -> [..., N + 1], the digits of the sum."""
    if self.subtracts:
      totals = totals + 9

    def add(carry, total):
      total = total + carry
      carry = jnp.floor(total / 10)
      return carry, total - 10 * carry

    totals = jnp.moveaxis(totals, -1, 0)  # [N, ...]
    first = jnp.full_like(totals[0], self.subtracts)
    carry, sums = jax.lax.scan(add, first, totals)
    return jnp.moveaxis(jnp.append(sums, carry[None], axis=0), 0, -1)

  def with_room_for(self, frames: int) -> "Addition":
    """The same task, with more columns if so many frames need them."""
    return dataclasses.replace(
      self, columns=max(self.columns, (frames + 1) // 2)
    )

  def moments(
    self, max_len: int, min_len: int = 1, per_step: bool = False
  ) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of the last targets, [D]; see `Task.moments`.

    Lengths are whole columns; `per_step` changes nothing.
    """
    targets = self._sample(np.array(self.digits), max_len, min_len)
    deviation = targets.std(axis=0)
    return targets.mean(axis=0), np.where(deviation > 0, deviation, 1.0)

  def mean_target(
    self, labels: np.ndarray, max_len: int, min_len: int, per_step: bool
  ) -> np.ndarray:
    """[D], the mean last target of images with these labels [M].

    Lengths are whole columns; `per_step` changes nothing.
    """
    return self._sample(labels, max_len, min_len).mean(axis=0)

  def _sample(
    self, labels: np.ndarray, max_len: int, min_len: int
  ) -> np.ndarray:
    """[M, D], sums of random pairs of numbers of these digits."""
    rng = np.random.default_rng(0)
    count = max(100, SAMPLE // max_len)
    digits = rng.choice(labels, (count, max_len)).astype(np.float32)
    lengths = 2 * rng.integers(min_len // 2, max_len // 2 + 1, count)
    digits[np.arange(max_len) >= lengths[:, None]] = 0
    totals = digits[:, ::2] - digits[:, 1::2]
    if not self.subtracts:
      totals = digits[:, ::2] + digits[:, 1::2]
    return np.asarray(self._add(jnp.asarray(totals)))


def column_order(columns: int) -> np.ndarray:
  """Where the frames of an `Addition` are in two numbers as people write them.

  With the digits of the first number and then those of the second in an array,
  most significant digit first, `digits[column_order(N)]` is in the order of
  `Addition`: 4, 7, 8, 5 becomes 7, 5, 4, 8.

  Args:
    columns: N, digits of each number.

  Returns:
    [2N] int, a permutation.
  """
  rows = np.arange(2 * columns).reshape(2, columns)
  return rows[:, ::-1].T.reshape(-1)


def find_carries(digits: np.ndarray) -> np.ndarray:
  """The carry into every column of an addition.

  Args:
    digits: [..., 2N] integers 0..9, in the order of `Addition`.

  Returns:
    [..., N + 1] int, 0 or 1, least significant column first; the first is 0 and
    the last is the leading digit of the sum.
  """
  totals = digits.reshape(*digits.shape[:-1], -1, 2).sum(axis=-1)
  carries = np.zeros((*totals.shape[:-1], totals.shape[-1] + 1), int)
  for column in range(totals.shape[-1]):
    total = totals[..., column] + carries[..., column]
    carries[..., column + 1] = total >= 10
  return carries


@dataclasses.dataclass(frozen=True)
class Subtraction(Addition):
  """The difference of two numbers so far, x - y, in ten's complement.

  The digits of x + (10^N - 1 - y) + 1: in every column of y a digit d counts as
  9 - d, and the first carry is 1. A target is the N digits of x - y mod 10^N,
  least significant first, and a leading 1 if x >= y, else 0.
  """

  name: ClassVar[str] = "subtraction"
  shifts: ClassVar[tuple[int, ...]] = tuple(range(10))
  subtracts: ClassVar[bool] = True


COLUMN_TASKS = {task.name: task for task in (Addition, Subtraction)}
