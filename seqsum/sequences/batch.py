"""A batch of sequences, and the protocol of what draws one."""

from typing import Any, Protocol, Self, TypeVar

import jax
from flax import struct

from seqsum.sequences.shapes import Frames, Key, Lengths, Rows, Scalar, Values

Tree = TypeVar("Tree")


class SequenceBatch(struct.PyTreeNode):
  """Sequences, right-padded with blank frames.

  Attributes:
    frames: [B, T, H, W, C].
    lengths: [B] int32, 1..T.
    labels: [B, T] int32, the digit on each frame, 0 in the padding; for reports
      and tests only. None for data without digit labels.
    targets: [B, T] float32, or vectors [B, T, D]. The padding of digit
      sequences repeats the final target.
  """

  frames: Frames
  lengths: Lengths
  labels: jax.Array | None
  targets: Values


class AnySampler(Protocol):
  """Draws batches; hashable and free of side effects.

  `sampler.Sampler` draws sequences of digits, `videos.VideoSampler` videos of
  digits; `recorded.RecordedSampler` passes on batches that were read from
  files. Any object with these members can be used in a `state.Experiment`.

  Attributes:
    task: Defines the targets: a `tasks.Task`, or an object with its `name`,
      `tolerance`, `size`, `least`, `moments` and `reachable`.
    batch_size: B, over all devices.
    shape: (H, W, C) of a frame.
    min_len, max_len: Of the sequences; T is `max_len`.
    packed: Whether lengths are stratified and sorted, longest first.
    kind: 'digits', 'videos' or 'files', as `config.data.kind`.
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

  @property
  def kind(self) -> str: ...

  def held_out(self, batch_size: int) -> Self:
    """The sampler of validation and test: no augmentation, no curriculum."""

  def rows(self, shards: int = 1) -> Rows:
    """For each step, how many leading rows of a share may have a real frame."""

  def lengths(
    self, key: Key, step: Scalar | int | None, *data: jax.Array
  ) -> Lengths:
    """[B] int32, the lengths of the batch that `__call__` draws, all shares."""

  def __call__(
    self,
    key: Key,
    *data: jax.Array,
    step: Scalar | int | None = None,
    run_key: Key | None = None,
    shard: int | jax.Array = 0,
    shards: int = 1,
  ) -> SequenceBatch:
    """Draws one batch, or one device's share of it.

    Args:
      key: Determines the whole batch.
      *data: The arrays to draw from, such as images [M, H, W, C] uint8 and
        labels [M] int32.
      step: The training step; None for held-out sequences.
      run_key: Determines what is the same in all batches of a run.
      shard: Index of the share: rows `shard`, `shard + shards`, ... of the
        batch, so that all shares have the same lengths.
      shards: Number of shares; divides `batch_size`.

    Returns:
      A batch of `batch_size / shards` sequences.
    """


def take_shard(batch: Tree, shard: int | jax.Array, shards: int) -> Tree:
  """Arrays [B, ...] -> [B / shards, ...]: rows shard, shard + shards, ..."""
  return jax.tree.map(
    lambda x: x.reshape(-1, shards, *x.shape[1:])[:, shard], batch
  )
