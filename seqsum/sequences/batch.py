"""What a model is trained on: a batch of sequences, and what draws one."""

from typing import Any, Protocol, Self

import jax
from flax import struct

from seqsum.sequences.shapes import Frames, Key, Lengths, Scalar, Values


class SequenceBatch(struct.PyTreeNode):
  """Sequences, right-padded with blank frames.

  Attributes:
    frames: [B, T, H, W, C] uint8.
    lengths: [B] int32, 1..T.
    labels: [B, T] int32, the digit on each frame, 0 in the padding. Training
      never looks at them; reports and tests do. None of sequences that somebody
      recorded.
    targets: [B, T] float32, the fold of the digits so far; in the padding the
      final value goes on. Recorded ones may be vectors [B, T, D].
  """

  frames: Frames
  lengths: Lengths
  labels: jax.Array | None
  targets: Values


class AnySampler(Protocol):
  """Draws batches, or deals out those of one's own; a static, pure value.

  `sampler.Sampler` draws digits, `videos.VideoSampler` films of them, and
  `recorded.RecordedSampler` hands on what was read from files. What else has
  these members can stand in a `state.Experiment`.

  Attributes:
    task: What the targets are: a `tasks.Task`, or what it describes of them.
    batch_size: B, over all devices.
    shape: (H, W, C) of a frame.
    min_len, max_len: Of the sequences; T is `max_len`.
    packed: Whether lengths come in equal shares, longest first.
  """

  @property
  def task(self) -> Any: ...

  @property
  def batch_size(self) -> int: ...

  @property
  def shape(self) -> tuple[int, int, int]: ...

  @property
  def min_len(self) -> int: ...

  @property
  def max_len(self) -> int: ...

  @property
  def packed(self) -> bool: ...

  def held_out(self, batch_size: int) -> Self:
    """As validation and test draw: frames as they are, fresh sequences."""

  def rows(self, shards: int = 1) -> tuple[int, ...]:
    """How many leading rows can be alive at each step: T static numbers.

    Args:
      shards: The number of devices that share the batch.
    """

  def lengths(
    self, key: Key, step: Scalar | int | None, *data: jax.Array
  ) -> Lengths:
    """[B] int32, those of the whole batch that `__call__` gives."""

  def __call__(
    self,
    key: Key,
    *data: jax.Array,
    step: Scalar | int | None = None,
    run_key: Key | None = None,
    shard: int | jax.Array = 0,
    shards: int = 1,
  ) -> SequenceBatch:
    """One batch, or one device's share of it.

    Args:
      key: What the whole batch is a function of, shares included.
      *data: What it is drawn from.
      step: The training step; None: held-out sequences.
      run_key: What is the same in all steps of a run is a function of it.
      shard: Which share; rows `shard`, `shard + shards`, ... of the batch.
      shards: How many shares there are; must divide `batch_size`.

    Returns:
      A batch of `batch_size / shards` sequences.
    """
