"""Sequences from your own files: data sets, and batches by number.

`config.data.name` is 'npz:FILE' or 'npz:FOLDER' (NumPy arrays),
'frames:FOLDER' (pictures and videos) or 'eccv16:FILE' (features of the frames
of SumMe or TVSum). Frames of a folder stay on disk; Grain reads the next
batches in the background. Batch n is a function of (seed, n), so there is no
iterator state to save.
"""

import dataclasses
import functools
import hashlib
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import jax
import numpy as np
from jax.sharding import Sharding

from seqsum.runtime.errors import InputError, choose, require
from seqsum.sequences.pixel_rule import PixelRule
from seqsum.sequences.recorded import (
  RecordedSampler,
  SequenceSpec,
  describe,
)
from seqsum.sequences.shapes import Feed

SPLITS = ("train", "validation", "test")
HELD_OUT = 0.1  # fraction of sequences in each of the last two, by default
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
    splits: [N] str, each one of `SPLITS`; None if the files have no splits.
    fingerprint: Changes when the files' content changes.
    pictures, sizes: See `SequenceSpec`.
  """

  shape: tuple[int, int, int]
  floats: bool
  lengths: np.ndarray
  targets: np.ndarray
  splits: Sequence[str] | None
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
    """Each sequence at most once, in batches as equal as devices allow."""
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


# Each reader is imported where it is used: no other run needs Pillow or h5py.
def _open_npz(path: Path, size: tuple[int, ...]) -> Source:
  from seqsum.data import npz

  return npz.NpzSource(path)


def _open_frames(path: Path, size: tuple[int, ...]) -> Source:
  from seqsum.data import frame_folder

  return frame_folder.FrameFolder(path, size)


def _open_eccv16(path: Path, size: tuple[int, ...]) -> Source:
  from seqsum.data import tvsum

  return tvsum.FeatureSource(path)


READERS = {"npz": _open_npz, "frames": _open_frames, "eccv16": _open_eccv16}


def load(
  name: str,
  data_dir: str | os.PathLike | None = None,
  size: tuple[int, ...] = (),
) -> SequenceDataset:
  """Opens a data set; reads everything but the frames.

  Args:
    name: 'npz:PATH', 'frames:FOLDER' or 'eccv16:FILE'.
    data_dir: Folder that relative paths start from; by default the current one.
    size: (H, W) that the frames of 'frames:FOLDER' are resized to; () keeps the
      size of the first frame.

  Raises:
    InputError: The files cannot be used; the message names the file.
  """
  prefix, _, path = name.partition(":")
  open_source = choose("config.data.name", prefix, READERS)
  require(path != "", "config.data.name", name, "add a path after the colon")
  remedy = "only frames:FOLDER resizes frames; leave it at ()"
  require(not size or prefix == "frames", "config.data.size", size, remedy)
  where = Path(data_dir or "").expanduser() / Path(path).expanduser()
  try:
    return _load(name, open_source, where, size, _stamps(where))
  except OSError as error:
    reason = error.strerror or str(error)
    raise InputError(f"{where}: {reason}") from error


def _stamps(path: Path) -> tuple:
  """Sizes and modification times of a file, or of all files in a folder."""
  files = [path]
  if path.is_dir():
    files = sorted(file for file in path.rglob("*") if file.is_file())
  stats = [(file, file.stat()) for file in files]
  return tuple((file, x.st_size, x.st_mtime_ns) for file, x in stats)


@functools.lru_cache(maxsize=1)  # a run loads its data twice, a study often
def _load(
  name: str,
  open_source: Callable[[Path, tuple[int, ...]], Source],
  where: Path,
  size: tuple[int, ...],
  stamp: tuple,
) -> SequenceDataset:
  source = open_source(where, size)
  splits = _split(where, source.splits, len(source.lengths))
  sha256 = hashlib.sha256(source.fingerprint)
  for which in splits:
    sha256.update(np.int64(len(which)).tobytes() + which.tobytes())
  facts = describe(
    source.shape,
    source.floats,
    source.lengths,
    source.targets,
    splits[0],
    source.pictures,
    source.sizes,
  )
  return SequenceDataset(name, source, facts, *splits, sha256.hexdigest())


def _split(
  where: Path, names: Sequence[str] | None, count: int
) -> list[np.ndarray]:
  """Indices of the sequences of each of `SPLITS`, [M] int64, ascending.

  Args:
    where: The files, for messages.
    names: Split of each sequence; None draws a random split.
    count: Number of sequences.
  """
  if names is None:
    if count < 3:
      raise InputError(
        f"{where}: {count} sequences, expected at least 3, one for each split"
      )
    held_out = max(1, round(HELD_OUT * count))
    # At random, because files may be sorted by their content.
    order = np.random.default_rng(0).permutation(count)
    parts = np.split(order, [count - 2 * held_out, count - held_out])
    return [np.sort(part) for part in parts]
  for n, name in enumerate(names):
    if name not in SPLITS:
      raise InputError(
        f"{where}: the split of sequence {n} is {name!r}, expected one of "
        + ", ".join(SPLITS)
      )
  parts = [np.flatnonzero(np.array(names) == split) for split in SPLITS]
  for split, part in zip(SPLITS, parts, strict=True):
    if not len(part):
      raise InputError(f"{where}: no sequence has the split {split!r}")
  return parts


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
    self._at, self._reader, self._last = None, iter(()), ()

  def __call__(self, n: int) -> tuple[np.ndarray, ...]:
    """Batch n; fast if n is that of the last call, or the next."""
    if n != self._at:
      if self._at is None or n != self._at + 1:
        ahead = self._batches.slice(slice(n, None))
        self._reader = iter(ahead.to_iter_dataset(self._options))
      self._at = None  # after an error the iterator is exhausted
      self._last, self._at = next(self._reader), n
    return self._last
