"""The exact distribution of a fold, updated one digit at a time.

If the digits of a sequence are independent, each with a known distribution, the
running fold is a Markov chain over the values that it can reach. For the sum, a
step of the chain is a convolution. All probabilities are logarithms, so that
none is too small to have a gradient.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.sequences import target_values
from seqsum.sequences.tasks import Task

LOWEST = -1e30  # the logarithm of 0; -inf would make gradients nan
TINY = 1e-37  # a normal float32


@dataclasses.dataclass(frozen=True, eq=False)
class Support:
  """The K values that a fold of up to T digits can have.

  Attributes:
    values: [K] float32, ascending, with the fold of no digits among them.
      Values that are equal in float32 are merged.
    start: Index of the fold of no digits.
    after: [D, K] int, the index to which each of the task's D digits takes each
      value; K if the result is not among the values (more than T digits).
  """

  values: np.ndarray
  start: int
  after: np.ndarray

  @functools.cached_property
  def is_translation(self) -> bool:
    """Whether a digit adds a constant to every index, as in a sum."""
    count = len(self.values)
    moved = np.arange(count) + (self.after[:, :1] - self.start)
    return self.start == 0 and np.array_equal(
      self.after, np.where(moved < count, moved, count)
    )

  @functools.cached_property
  def is_union(self) -> bool:
    """Whether indices are sets, as sums of bits, and a digit adds a member.

    The digits are 0, which adds nothing, and one for each bit, ascending.
    """
    indices, bits = np.arange(len(self.values)), self.after[:, :1]
    powers = np.append(0, 1 << np.arange(len(bits) - 1))
    return (
      self.start == 0
      and len(indices) == 1 << (len(bits) - 1)
      and np.array_equal(bits[:, 0], powers)
      and np.array_equal(self.after, indices | bits)
    )

  @functools.cached_property
  def merging(self) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], ...]:
    """Where a digit takes several values to one, by how many these are.

    For each number M of values: [N] the digits, [N] the indices that they lead
    to, and [N, M] the indices that they lead from.
    """
    count = len(self.values)
    found: dict[int, list[tuple[int, int, np.ndarray]]] = {}
    for digit, after in enumerate(self.after):
      ends, ways = np.unique(after[after < count], return_counts=True)
      for end in ends[ways > 1]:
        origins = np.flatnonzero(after == end)
        found.setdefault(len(origins), []).append((digit, end, origins))
    groups = [zip(*group, strict=True) for group in found.values()]
    return tuple(
      (np.array(digits), np.array(ends), np.array(origins))
      for digits, ends, origins in groups
    )

  @functools.cached_property
  def before(self) -> np.ndarray:
    """[D, K] int, from where each digit leads to each value.

    An index; K if no value leads there; K + 1 + n for the n-th of `merging`.
    """
    count = len(self.values)
    before = np.full((len(self.after), count), count)
    for row, after in zip(before, self.after, strict=True):
      (inside,) = np.nonzero(after < count)
      row[after[inside]] = inside
    place = count + 1
    for digits, ends, _ in self.merging:
      before[digits, ends] = np.arange(place, place + len(ends))
      place += len(ends)
    return before

  def delta(self, rows: int) -> jax.Array:
    """[rows, K] float32, log-probability 0 of the fold of no digits."""
    none = jnp.full((rows, len(self.values)), LOWEST)
    return none.at[:, self.start].set(0.0)

  def move(self, fold: jax.Array, digit: jax.Array) -> jax.Array:
    """Adds a digit to the fold.

    Args:
      fold: [n, K] float32, log-probabilities of the fold's values.
      digit: [n, D] float32, log-probabilities of the next digit.

    Returns:
      [n, K] float32. Each digit adds about 1e-7 (1 + |log p|) to the relative
      error of a probability p.
    """
    if self.is_union:
      return _insert(fold, digit)
    return jax.nn.logsumexp(digit[:, :, None] + self._moved(fold), axis=1)

  def _moved(self, fold: jax.Array) -> jax.Array:
    """[n, K] -> [n, D, K], the fold after each digit."""
    count = len(self.values)
    if self.is_translation:
      by = [min(count, int(places)) for places in self.after[:, 0]]
      # Not jnp.pad, which jax2onnx 0.17 cannot convert for an unknown n.
      none = jnp.full_like(fold, LOWEST)
      moved = [
        jnp.concatenate([none[:, :n], fold[:, : count - n]], axis=1) for n in by
      ]
      return jnp.stack(moved, axis=1)
    none = jnp.full_like(fold[:, :1], LOWEST)
    merged = [
      jax.nn.logsumexp(fold[:, origins], axis=-1)
      for _, _, origins in self.merging
    ]
    return jnp.concatenate([fold, none, *merged], axis=1)[:, self.before]


def _insert(fold: jax.Array, digit: jax.Array) -> jax.Array:
  """`Support.move` of sets: the digit is 0, or a member, or a new member.

  Args:
    fold: [n, 2**m] float32, of sets as sums of bits.
    digit: [n, 1 + m] float32, of 0 and of each bit.
  """
  count, members = fold.shape[1], digit.shape[1] - 1
  sets = np.arange(count)[:, None]
  keeps = np.append(np.ones_like(sets), sets >> np.arange(members) & 1, axis=1)
  # A probability below `TINY` is none that float32 could add to another.
  same = jnp.matmul(
    jnp.exp(digit), keeps.T.astype(np.float32), precision="highest"
  )
  ways = [fold + jnp.log(same + TINY)]
  for bit in range(members):
    pairs = fold.reshape(fold.shape[0], -1, 2, 1 << bit)  # without and with it
    new = pairs[:, :, 0] + digit[:, bit + 1, None, None]
    new = jnp.stack([jnp.full_like(new, LOWEST), new], axis=2)
    ways.append(new.reshape(fold.shape))
  return jax.nn.logsumexp(jnp.stack(ways, axis=1), axis=1)


@functools.cache
def build_support(task: Task, time: int) -> Support:
  """The support of a task for sequences of up to `time` digits.

  Raises:
    InputError: There are more values than `target_values.MAX_VALUES`.
  """
  exact = target_values.fold_values(task, time)
  values, group = np.unique(exact.astype(np.float32), return_inverse=True)
  group = np.append(group, len(values))  # for values outside the support
  _, first = np.unique(group[:-1], return_index=True)
  digits = np.array(task.digits, np.float64)[:, None]
  after = np.asarray(task.combine(exact[first], digits))
  borders = (exact[1:] + exact[:-1]) / 2
  nearest = np.searchsorted(borders, after)
  # Beyond 2**53 the last bits depend on the order of the factors.
  among = np.isclose(exact[nearest], after, rtol=1e-12, atol=0)
  places = group[np.where(among, nearest, len(exact))]
  start = int(np.searchsorted(values, np.float32(task.initial)))
  return Support(values, start, places)
