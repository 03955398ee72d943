"""The protocol of samplers."""

from typing import Any, ClassVar, Protocol, Self

from seqsum.sequences.batch import SequenceBatch
from seqsum.sequences.shapes import Key, Lengths, Rows


class AnySampler(Protocol):
  """A dataclass that draws batches; hashable and free of side effects.

  `sampler.Sampler` draws sequences of digits, `videos.VideoSampler` videos of
  digits; `recorded.RecordedSampler` passes on batches that were read from
  files. Any object with these members can be used in a `state.Experiment`.

  Attributes:
    task: Defines the targets: a `tasks.Task`, or an object with its `name`,
      `tolerance`, `size`, `least`, `moments` and, unless targets are vectors,
      `reachable`.
    batch_size: B, over all devices.
    shape: (H, W, C) of a frame.
    min_len, max_len: Range of sequence lengths; T is `max_len`.
    packed: Whether lengths are stratified and sorted, longest first.
    kind: 'digits', 'videos' or 'files', as `config.data.kind`.
  """

  __dataclass_fields__: ClassVar[dict[str, Any]]

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
    """For each step, how many leading rows of a shard may have a real frame."""

  def lengths(self, key: Key, *args: Any, **kwargs: Any) -> Lengths:
    """[B] int32, the lengths of the batch that `__call__` draws, all shards.

    The other arguments are the step or None, and the arrays of a `Feed`.
    """

  def __call__(self, key: Key, *args: Any, **kwargs: Any) -> SequenceBatch:
    """Draws one batch, or one device's shard of it.

    The other arguments are the arrays of a `Feed`, and by name `step`,
    `run_key`, `shard` and `shards`, as for `sampler.Sampler`.
    """
