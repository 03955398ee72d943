"""A fixed training set of digit sequences, seen again in every epoch.

Nothing is stored: the images of a sequence are computed when a batch needs it.
Two shuffles determine them. One deals the images to one sequence after the
other, each image once before any comes twice. The other orders the sequences of
an epoch. Both are evaluated at single indices (`shuffle`), because a table of
all frames could have 2**31 entries.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.sequences.shapes import Key, Scalar

FRAMES, EPOCHS = range(2)  # random streams of the run's key
ROUNDS = 6  # of the Feistel network


@dataclasses.dataclass(frozen=True)
class FixedSequences:
  """Indices of the images in each batch of a fixed training set.

  All batches have the same stratified lengths, longest first. An epoch sees
  every sequence once; the sequences of each length have epochs of their own,
  and a batch may contain the end of one epoch and the start of the next.

  Attributes:
    count: Sequences, in equal shares (rounded down) of each length.
    batch_size: B.
    min_len, max_len: Range of sequence lengths, in frames.
    unit: Lengths are multiples of this many frames.
  """

  count: int
  batch_size: int
  min_len: int
  max_len: int
  unit: int = 1

  @property
  def lengths(self) -> np.ndarray:
    """[B] int32, longest first."""
    kinds = (self.max_len - self.min_len) // self.unit + 1
    place = (np.arange(self.batch_size) + 0.5) * kinds / self.batch_size
    return (self.max_len - self.unit * np.floor(place)).astype(np.int32)

  def _groups(self) -> tuple[np.ndarray, ...]:
    """The group of rows with the same length, for each of the B rows.

    Returns:
      [B] int32 each: the number of the group, its rows in a batch, the row's
      index among them, the group's sequences, and the frames of all groups
      before it.
    """
    lengths, group, rows = np.unique(
      -self.lengths, return_inverse=True, return_counts=True
    )
    sequences = self.count * rows // self.batch_size
    frames = np.cumsum(sequences * -lengths) - sequences * -lengths
    place = np.arange(self.batch_size) - np.searchsorted(group, group)
    return tuple(
      x.astype(np.int32)
      for x in (group, rows[group], place, sequences[group], frames[group])
    )

  def index(self, key: Key, step: Scalar | int, images: int) -> jax.Array:
    """[B, T] int32, the images of a batch; undefined in the padding.

    Args:
      key: Determines the training set and its order.
      step: The batch's number.
      images: Number of images in the split.
    """
    group, rows, place, sequences, frames = self._groups()
    seen = step * rows + place  # sequences of the group, over all epochs
    epoch, number = seen // sequences, seen % sequences
    order = jax.random.fold_in(key, EPOCHS)
    order = jax.vmap(
      lambda e, g: jax.random.fold_in(jax.random.fold_in(order, e), g)
    )(epoch, group)
    number = shuffle(order, number, sequences, int(sequences.max()))
    frame = (
      frames[:, None]
      + (number * self.lengths)[:, None]
      + np.arange(self.max_len, dtype=np.int32)[None, :]
    )
    deal = jax.random.fold_in(key, FRAMES)
    deal = jax.vmap(lambda n: jax.random.fold_in(deal, n))(
      (frame // images).ravel()
    ).reshape(frame.shape)
    counts = jnp.full(frame.shape, images, jnp.int32)
    return shuffle(deal, frame % images, counts, images)


def shuffle(
  key: Key,
  number: jax.Array | np.ndarray,
  count: jax.Array | np.ndarray,
  max_count: int,
) -> jax.Array:
  """A random permutation of 0..count-1, evaluated at single numbers.

  A Feistel network over the smallest square of a power of two that is at least
  `max_count`, applied until the result lies below `count` (Black & Rogaway
  2002). The cost does not depend on `count`.

  Args:
    key: [...] keys; each determines a permutation.
    number: [...] int32, in 0..count-1.
    count: [...] int32.
    max_count: The largest count; static.

  Returns:
    [...] int32 in 0..count-1.
  """
  bits = max(1, (max_count - 1).bit_length() + 1 >> 1)
  mask = jnp.uint32((1 << bits) - 1)
  seeds = jax.vmap(lambda k: jax.random.bits(k, (ROUNDS,)))(key.ravel())
  seeds = seeds.reshape(*key.shape, ROUNDS)

  def mix(x):  # the finalizer of MurmurHash3
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)

  def encrypt(x):
    left, right = x >> bits, x & mask
    for i in range(ROUNDS):
      left, right = right, left ^ (mix(right ^ seeds[..., i]) & mask)
    return left << bits | right

  count = count.astype(jnp.uint32)
  found = jax.lax.while_loop(
    lambda x: (x >= count).any(),
    lambda x: jnp.where(x >= count, encrypt(x), x),
    encrypt(number.astype(jnp.uint32)),
  )
  return found.astype(jnp.int32)
