"""Batches of digit sequences, drawn on the device inside jit.

A batch is a pure function of a key: digits are drawn with replacement from the
images of one split, so there is no iterator whose state must be saved.
"""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.sequences import curriculum
from seqsum.sequences.addition import Addition
from seqsum.sequences.augment import NO_AUGMENTATION, Augmentation
from seqsum.sequences.batch import SequenceBatch, take_shard
from seqsum.sequences.digit import SHAPE
from seqsum.sequences.finite import FixedSequences
from seqsum.sequences.shapes import Images, Key, Labels, Lengths, Rows, Scalar
from seqsum.sequences.tasks import Task

AUGMENT = 1  # the random stream of a batch's key for augmentation
LONGEST = 1 << 16  # frames; `rows` is a tuple with an integer for each


@dataclasses.dataclass(frozen=True)
class Sampler:
  """Draws batches of digit sequences.

  Attributes:
    task: Defines the targets.
    batch_size: B, over all devices.
    min_len, max_len: Lengths are uniform on the multiples of `task.unit` in
      `min_len..max_len`; T is `max_len`.
    packed: Whether to stratify and sort lengths, longest first, so that `rows`
      is static and a model need not compute padding. Otherwise lengths are
      independent.
    augmentation: Random moves of each frame.
    curriculum_steps: Training steps over which the maximum length rises, see
      `curriculum.py`; 0 for none.
    num_sequences: Size of a fixed training set, see `finite.py`; 0 for
      infinitely many sequences.
  """

  kind: ClassVar[str] = "digits"
  task: Task | Addition
  batch_size: int
  min_len: int = 1
  max_len: int = 4
  packed: bool = True
  augmentation: Augmentation = NO_AUGMENTATION
  curriculum_steps: int = 0
  num_sequences: int = 0

  @property
  def shape(self) -> tuple[int, int, int]:
    """(H, W, C) of a frame."""
    return SHAPE

  def mean_target(self, labels: np.ndarray, per_step: bool) -> Any:
    """The mean training target, [] or [D], of images with these labels [M]."""
    return self.task.mean_target(labels, self.max_len, self.min_len, per_step)

  def held_out(self, batch_size: int) -> "Sampler":
    """The sampler of validation and test: no augmentation, no fixed set."""
    return dataclasses.replace(
      self, batch_size=batch_size, augmentation=NO_AUGMENTATION, num_sequences=0
    )

  @functools.cached_property
  def fixed_sequences(self) -> FixedSequences:
    batch, unit = self.batch_size, self.task.unit
    return FixedSequences(
      self.num_sequences, batch, self.min_len, self.max_len, unit
    )

  def rows(self, shards: int = 1) -> Rows:
    """For each step t, the static number of rows whose length exceeds t.

    An upper bound if the lengths do not divide `batch_size`; all rows if
    `packed` is False.

    Args:
      shards: Number of shards of the batch; the rows of one are counted.
    """
    batch, unit = self.batch_size, self.task.unit
    kinds = (self.max_len - self.min_len) // unit + 1
    if not self.packed:
      return (-(-batch // shards),) * self.max_len
    longer = [min(-(-n // unit), kinds) for n in range(self.max_len, 0, -1)]
    return tuple(-(-math.ceil(batch * n / kinds) // shards) for n in longer)

  def lengths(
    self, key: Key, step: Scalar | int | None = None, *data: jax.Array
  ) -> Lengths:
    """[B] int32, the lengths of the batch that `__call__` draws, all shards."""
    if self.num_sequences and step is not None:
      return jnp.asarray(self.fixed_sequences.lengths)
    batch, unit = self.batch_size, self.task.unit
    shortest: Scalar | int = self.min_len // unit
    longest: Scalar | int = (most := self.max_len // unit)
    if self.curriculum_steps and step is not None:
      longest = curriculum.longest(step, self.curriculum_steps, most)
      shortest = jnp.minimum(shortest, longest)
    key, _ = jax.random.split(key)
    if not self.packed:
      return unit * jax.random.randint(key, (batch,), shortest, longest + 1)
    return unit * stratified_lengths(key, batch, shortest, longest)

  def __call__(
    self,
    key: Key,
    images: Images,
    labels: Labels,
    *,
    step: Scalar | int | None = None,
    run_key: Key | None = None,
    shard: int | jax.Array = 0,
    shards: int = 1,
  ) -> SequenceBatch:
    """Draws one batch, or one device's shard of it.

    Args:
      key: Determines the whole batch.
      images: [M, H, W, C] uint8, of one split.
      labels: [M] int32.
      step: The training step; None for held-out sequences, which are neither
        fixed nor shortened by a curriculum.
      run_key: Determines the fixed sequences of a run.
      shard: Index of the shard: rows `shard`, `shard + shards`, ... of the
        batch, so that all shards have the same lengths.
      shards: Number of shards; divides `batch_size`.

    Returns:
      A batch of `batch_size / shards` sequences.
    """
    _, index_key = jax.random.split(key)
    shape = self.batch_size, self.max_len
    lengths = self.lengths(key, step)
    if self.num_sequences and step is not None:
      assert run_key is not None
      index = self.fixed_sequences.index(run_key, step, images.shape[0])
    else:
      index = jax.random.randint(index_key, shape, 0, images.shape[0])
    moves = self.augmentation.draw(jax.random.fold_in(key, AUGMENT), shape)
    lengths, index, moves = take_shard((lengths, index, moves), shard, shards)
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    is_real = jnp.arange(self.max_len)[None, :] < lengths[:, None]  # [B, T]
    frames = self.augmentation(images[index], moves)  # [B, T, H, W, C]
    digits = jnp.where(is_real, labels[index], 0)
    return SequenceBatch(
      frames=jnp.where(is_real[..., None, None, None], frames, 0),
      lengths=lengths,
      labels=digits,
      targets=self.task.running(digits, lengths),
    )


def stratified_lengths(
  key: Key, batch: int, shortest: Scalar | int, longest: Scalar | int
) -> Lengths:
  """[batch] int32, uniform on `shortest..longest`, in descending order.

  Systematic sampling: with one uniform offset for the batch, each length gets
  its share of the rows, rounded up or down with the right odds.
  """
  kinds = longest - shortest + 1
  place = (jnp.arange(batch) + jax.random.uniform(key)) * (kinds / batch)
  lengths = longest - jnp.floor(place).astype(jnp.int32)
  return jnp.maximum(lengths, shortest)  # place may round up to `kinds`
