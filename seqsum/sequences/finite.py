"""A training set of so many sequences, made once and seen again and again."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.runtime.errors import require
from seqsum.sequences.permutation import permute
from seqsum.sequences.shapes import Key, Scalar

# Streams of the run's key.
FRAMES, EPOCHS = range(2)


@dataclasses.dataclass(frozen=True)
class FixedSequences:
  """Which images the fixed sequences have, and when they are seen.

  Nothing is stored: which image stands on a frame is computed when a batch
  needs it. The images are dealt out, shuffled, to one sequence after the other,
  each once before any comes twice; when they are used up they are shuffled
  anew. An epoch sees every sequence once, in an order of its own; batches go
  over the end of one epoch into the next.

  All batches have the same lengths, in equal shares and sorted, so that their
  rows are static (`Sampler.rows`). Sequences of each length go through epochs
  of their own.

  Attributes:
    count: How many there are. Of each length, a share that is rounded down.
    batch_size: B.
    min_len, max_len: Of the sequences, frames.
  """

  count: int
  batch_size: int
  min_len: int
  max_len: int

  @property
  def lengths(self) -> np.ndarray:
    """[B] int32, longest first."""
    kinds = self.max_len - self.min_len + 1
    share = (np.arange(self.batch_size) + 0.5) * kinds / self.batch_size
    return (self.max_len - np.floor(share)).astype(np.int32)

  def _groups(self) -> tuple[np.ndarray, ...]:
    """Of each of the B rows' length: [B] int32 each.

    Returns:
      The group's number, its rows in a batch, the row's place among them, its
      sequences, and how many frames the groups before it have.
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

  def check(self) -> None:
    """Raises `InputError` if there are too few, or too many frames."""
    require(
      self.count >= self.batch_size,
      "sequence.num_sequences",
      self.count,
      f"must be 0, or at least config.batch_size={self.batch_size}",
    )
    require(
      self.count * self.max_len < 2**31,
      "sequence.num_sequences",
      self.count,
      "must have fewer than 2**31 frames in all",
    )

  def index(self, key: Key, step: Scalar | int, images: int) -> jax.Array:
    """[B, T] int32, the images of a batch; anything in the padding.

    Args:
      key: The run's; the sequences are a function of it.
      step: The batch's number.
      images: How many there are.
    """
    group, rows, place, sequences, frames = self._groups()
    seen = step * rows + place  # of the group, in all epochs
    epoch, number = seen // sequences, seen % sequences
    order = jax.random.fold_in(key, EPOCHS)
    shuffles = jax.vmap(
      lambda e, g: jax.random.fold_in(jax.random.fold_in(order, e), g)
    )(epoch, group)
    number = permute(shuffles, number, sequences, int(sequences.max()))
    slot = (
      frames[:, None]
      + (number * self.lengths)[:, None]
      + np.arange(self.max_len, dtype=np.int32)[None, :]
    )
    deal = jax.random.fold_in(key, FRAMES)
    deals = jax.vmap(lambda n: jax.random.fold_in(deal, n))(
      (slot // images).ravel()
    ).reshape(slot.shape)
    counts = jnp.full(slot.shape, images, jnp.int32)
    return permute(deals, slot % images, counts, images)
