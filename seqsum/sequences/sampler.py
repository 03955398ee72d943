"""Sequences of digits, drawn on the device, inside jit.

A batch is a pure function of a key. Digits are drawn with replacement from the
images of one split, so there is no epoch to shuffle and no iterator to save.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.runtime.errors import InputError, require
from seqsum.sequences.augment import NO_AUGMENTATION, Augmentation
from seqsum.sequences.batch import SequenceBatch
from seqsum.sequences.digit import SHAPE
from seqsum.sequences.finite import FixedSequences
from seqsum.sequences.shapes import Images, Key, Labels, Lengths, Scalar
from seqsum.sequences.tasks import Task

SHIFT = 1  # the stream of a batch's key that moves frames
LONGEST = 1 << 16  # frames; a step lists how many rows each has


@dataclasses.dataclass(frozen=True)
class Sampler:
  """Draws batches of sequences.

  Attributes:
    task: The fold that makes the targets.
    batch_size: B, over all devices.
    min_len, max_len: Lengths are uniform on `min_len..max_len`; T is `max_len`.
    packed: Draw lengths in equal shares and sort them, longest first. Then the
      number of rows that are still alive at step t is known before anything
      runs (`rows`), and no blank frame need be computed. Otherwise each length
      is drawn by itself.
    augmentation: How far each frame is moved at most.
    curriculum_steps: Training steps over which the maximum length rises, see
      `longest`; 0 for none.
    num_sequences: Size of a fixed training set, see `FixedSequences`; 0 for an
      infinite one.
  """

  task: Task
  batch_size: int
  min_len: int = 1
  max_len: int = 4
  packed: bool = True
  augmentation: Augmentation = NO_AUGMENTATION
  curriculum_steps: int = 0
  num_sequences: int = 0

  def __post_init__(self):
    positive = "must be at least 1"
    require(self.batch_size >= 1, "batch_size", self.batch_size, positive)
    require(self.max_len >= 1, "sequence.max_len", self.max_len, positive)
    most = f"must be at most {LONGEST:,}"
    require(self.max_len <= LONGEST, "sequence.max_len", self.max_len, most)
    require(self.min_len >= 1, "sequence.min_len", self.min_len, positive)
    self.augmentation.check(SHAPE[0])
    require(
      self.num_sequences >= 0,
      "sequence.num_sequences",
      self.num_sequences,
      "must be at least 0",
    )
    if self.min_len > self.max_len:
      raise InputError(
        f"sequence.min_len={self.min_len} is above "
        f"sequence.max_len={self.max_len}: lower it"
      )
    if self.num_sequences:
      require(
        not self.curriculum_steps,
        "sequence.num_sequences",
        self.num_sequences,
        "a fixed training set has no curriculum, set "
        "config.sequence.curriculum=0",
      )
      self.fixed_sequences.check()

  @property
  def shape(self) -> tuple[int, int, int]:
    """(H, W, C) of a frame."""
    return SHAPE

  def mean_target(self, labels: np.ndarray, per_step: bool) -> float:
    """The mean of the training targets that the loss asks for."""
    return self.task.mean_target(labels, self.max_len, self.min_len, per_step)

  def held_out(self, batch_size: int) -> "Sampler":
    """As validation and test draw: frames as they are, fresh ones."""
    return dataclasses.replace(
      self, batch_size=batch_size, augmentation=NO_AUGMENTATION, num_sequences=0
    )

  @functools.cached_property
  def fixed_sequences(self) -> FixedSequences:
    return FixedSequences(
      self.num_sequences, self.batch_size, self.min_len, self.max_len
    )

  def rows(self, shards: int = 1) -> tuple[int, ...]:
    """How many leading rows can be alive at each step: T static numbers.

    Rows beyond them hold nothing but padding, so a model that works on
    `frames[:rows[t], t]` computes the same as one that works on all frames.
    Where equal shares do not come out even, one more row than needed is
    counted.

    Args:
      shards: The number of devices that share the batch.
    """
    batch, kinds = self.batch_size, self.max_len - self.min_len + 1
    if not self.packed:
      return (-(-batch // shards),) * self.max_len
    rows = []
    for t in range(self.max_len):
      longer = min(self.max_len - t, kinds)  # lengths that reach step t
      rows.append(-(-math.ceil(batch * longer / kinds) // shards))
    return tuple(rows)

  def longest(self, step: Scalar | int | None) -> Scalar | None:
    """How long sequences may be at a training step, while they grow.

    From 1 frame at step 0 to `max_len` from step `growth` on; every length on
    the way lasts the same number of steps (Bengio et al. 2009).

    Returns:
      [] int32; None if sequences do not grow, or the step is None.
    """
    if not self.curriculum_steps or step is None:
      return None
    added = np.arange(1, self.max_len)
    starts = np.ceil(added * self.curriculum_steps / max(1, self.max_len - 1))
    return 1 + (step >= starts.astype(np.int32)).sum(dtype=np.int32)

  def draw_lengths(self, key: Key, longest: Scalar | None = None) -> Lengths:
    """[B] int32. Each of the lengths is equally likely in a row at random.

    Args:
      key: What they are a function of.
      longest: 1..max_len. Lengths are uniform on `min_len..longest`, or all
        `longest` if that is less. Of such a batch no more rows are alive at a
        step than `rows` says. None for `max_len`.
    """
    if longest is None:
      shortest, longest = self.min_len, self.max_len
    else:
      shortest = jnp.minimum(self.min_len, longest)
    batch, kinds = self.batch_size, longest - shortest + 1
    if not self.packed:
      return jax.random.randint(key, (batch,), shortest, longest + 1, jnp.int32)
    # Systematic sampling: one uniform offset for the whole batch, so that each
    # length gets its share exactly, or its two neighbours in number with the
    # right odds where the share is not whole.
    offset = jax.random.uniform(key)
    share = (jnp.arange(batch) + offset) * (kinds / batch)
    lengths = longest - jnp.floor(share).astype(jnp.int32)
    return jnp.maximum(lengths, shortest)  # share may round up to `kinds`

  def lengths(
    self, key: Key, step: Scalar | int | None = None, *data: jax.Array
  ) -> Lengths:
    """[B] int32, those of the batch that `__call__` draws from this key."""
    if self.num_sequences and step is not None:
      return jnp.asarray(self.fixed_sequences.lengths)
    length_key, _ = jax.random.split(key)
    return self.draw_lengths(length_key, self.longest(step))

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
    """Draws one batch, or one device's share of it.

    Args:
      key: What the whole batch is a function of, shares included.
      images: [M, H, W, C] uint8.
      labels: [M] int32.
      step: The training step, for sequences that grow or are fixed; None: they
        are grown, and fresh.
      run_key: Of what a run's fixed sequences are a function.
      shard: Which share; rows `shard`, `shard + shards`, ... of the batch, so
        that every share is sorted and of the same lengths.
      shards: How many shares there are; must divide `batch_size`.

    Returns:
      A batch of `batch_size / shards` sequences.
    """
    _, index_key = jax.random.split(key)
    shape = (self.batch_size, self.max_len)
    lengths = self.lengths(key, step)
    if self.num_sequences and step is not None:
      index = self.fixed_sequences.index(run_key, step, images.shape[0])
    else:
      index = jax.random.randint(index_key, shape, 0, images.shape[0])
    augmentation = self.augmentation.draw(jax.random.fold_in(key, SHIFT), shape)
    lengths, index, augmentation = (  # [B, ...] -> [B / shards, ...]
      x.reshape(-1, shards, *x.shape[1:])[:, shard]
      for x in (lengths, index, augmentation)
    )
    images, labels = jnp.asarray(images), jnp.asarray(labels)
    real = jnp.arange(self.max_len)[None, :] < lengths[:, None]  # [B, T]
    frames = images[index]
    flat, augmentation = (
      jax.lax.collapse(x, 0, 2) for x in (frames, augmentation)
    )
    frames = self.augmentation(flat, augmentation).reshape(frames.shape)
    frames = jnp.where(real[..., None, None, None], frames, 0)
    digits = jnp.where(real, labels[index], 0)
    return SequenceBatch(
      frames=frames,
      lengths=lengths,
      labels=digits,
      targets=self.task.running(digits, lengths),
    )
