"""A data set of sequences in files, and its batches by number.

Grain reads the next batches in the background. Batch n is a function of (seed,
n), so there is no iterator state to save.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import jax
import numpy as np
from jax.sharding import Sharding

from seqsum.runtime.errors import InputError
from seqsum.sequences.pixel_rule import PixelRule
from seqsum.sequences.recorded import RecordedSampler, SequenceSpec
from seqsum.sequences.shapes import Feed

SPLITS = ("train", "validation", "test")
# [N] str, each one of `SPLITS`; or the indices of the sequences of each; None
# if the files have no splits.
Splits = Sequence[str] | Mapping[str, np.ndarray] | None
MAX_SEQUENCES = 1 << 48  # of all passes; Grain's counter is finite
PREFETCH = 4  # batches


class Source(Protocol):
  """Reader of the sequences in some files.

  Attributes:
    shape: (H, W, C) of every frame.
    floats: Whether frames are float32; else uint8.
    lengths: [N] int32, at least 1.
    targets: [N, T] or [N, T, D] float32; padding frames have the target of
      the last real frame.
    splits: See `Splits`.
    fingerprint: Changes when the files' content changes.
    pictures, sizes: See `SequenceSpec`.
  """

  shape: tuple[int, int, int]
  floats: bool
  lengths: np.ndarray
  targets: np.ndarray
  splits: Splits
  fingerprint: bytes
  pictures: PixelRule | None
  sizes: tuple[tuple[int, int], ...]

  def read(self, n: int) -> np.ndarray:
    """Reads sequence n: [length, H, W, C] uint8 or float32."""


@dataclasses.dataclass(frozen=True)
class SequenceDataset:
  """A data set of sequences; the counterpart of `digits.Digits`.

  Attributes:
    name: `config.data.name`.
    source: Reads the frames.
    facts: Shapes and statistics of the sequences.
    train, validation, test: [M] int, indices of the sequences of each split.
    sha256: Of the files' fingerprint and the splits.
  """

  name: str
  source: Source
  facts: SequenceSpec
  train: np.ndarray
  validation: np.ndarray
  test: np.ndarray
  sha256: str

  def feed(
    self,
    split: str,
    sharding: Sharding,
    batch_size: int,
    *,
    seed: int | None = None,
    batches: int | None = None,
  ) -> Feed:
    """Reads batches from the files and copies them to the devices."""
    read = Batches(self, getattr(self, split), batch_size, seed, batches)

    def feed(n: int) -> tuple[jax.Array, ...]:
      # Not `device_put`, which requires that all processes call it.
      return tuple(
        jax.make_array_from_callback(x.shape, sharding, x.__getitem__)
        for x in read(n)
      )

    return feed

  def held_out(
    self, split: str, sequences: int, batch_size: int, devices: int
  ) -> tuple[int, int]:
    """(sequences, batch size): each once, in batches of almost equal size."""
    sequences = min(sequences, len(getattr(self, split)))
    part = math.ceil(sequences / math.ceil(sequences / batch_size))
    return sequences, math.ceil(part / devices) * devices

  def mean_target(self, sampler: RecordedSampler, per_step: bool) -> np.ndarray:
    lengths = self.source.lengths[self.train]
    targets = self.source.targets[self.train]
    steps = np.arange(targets.shape[1])
    last = lengths[:, None] - 1
    real = steps <= last if per_step else steps == last
    return targets[real].mean(axis=0, dtype=np.float64)

  def describe(self) -> str:
    facts = self.facts
    lengths = f"{facts.shortest}..{facts.longest}"
    if facts.shortest == facts.longest:
      lengths = f"{facts.longest}"
    size = "x".join(map(str, facts.shape))
    return (
      f"{self.name}: {len(self.train):,} training, {len(self.validation):,} "
      f"validation, {len(self.test):,} test sequences of {lengths} frames of "
      f"{size}"
    )


class _Rows:
  """Grain's view of a split: frames, padded to the longest, length, targets."""

  def __init__(self, data: SequenceDataset, which: np.ndarray):
    self._data, self._which = data, which

  def __len__(self) -> int:
    return len(self._which)

  def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
    source, n = self._data.source, int(self._which[index])
    try:
      frames = source.read(n)
    except OSError as error:
      raise InputError(
        f"config.data.name={self._data.name!r}: cannot read sequence {n} "
        f"any more ({error.strerror or error}): restore the files"
      ) from error
    padding = self._data.facts.longest - len(frames)
    frames = np.pad(frames, [(0, padding), *[(0, 0)] * 3])
    return frames, source.lengths[n], source.targets[n]


class Batches:
  """Callable: batch number -> frames, lengths and targets of a split.

  The arrays are those of `RecordedSampler`.

  Args:
    data: The data set.
    which: [M] int, indices of the split's sequences.
    batch_size: B.
    seed: Seed of the order, which changes with every pass over the data. None
      keeps the order of `which` and starts again at its end.
    count: Number of batches, so that no more are prefetched; None: no limit.
  """

  def __init__(
    self,
    data: SequenceDataset,
    which: np.ndarray,
    batch_size: int,
    seed: int | None,
    count: int | None = None,
  ):
    import grain  # takes a second

    self._options = grain.ReadOptions(PREFETCH, PREFETCH)
    rows = grain.MapDataset.source(_Rows(data, which))
    if seed is not None:
      rows = rows.shuffle(seed=seed % 2**32)
    passes = MAX_SEQUENCES // max(1, len(which))
    self._batches = rows.repeat(passes).batch(batch_size)
    if count is not None:
      self._batches = self._batches.slice(slice(count))
    self._at: int | None = None
    self._reader: Iterator[tuple[np.ndarray, ...]] = iter(())
    self._last: tuple[np.ndarray, ...] = ()

  def __call__(self, n: int) -> tuple[np.ndarray, ...]:
    """Batch n; fast if n is that of the last call, or the next."""
    if n != self._at:
      if self._at is None or n != self._at + 1:
        ahead = self._batches.slice(slice(n, None))
        self._reader = iter(ahead.to_iter_dataset(self._options))
      self._at = None  # after an error the iterator is exhausted
      self._last, self._at = next(self._reader), n
    return self._last
