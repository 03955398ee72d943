"""Sequences of one's own, from files: batches without end, read as they go.

`config.data.name` is 'npz:FILE', 'frames:FOLDER' or 'eccv16:FILE', features of
SumMe's or TVSum's frames. The first two stay on disk; Grain
reads the batches that are next in the background. Batch n is a function of
(seed, n), as everywhere, so there is no iterator to save.
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

from seqsum.data import frame_folder, npz, tvsum
from seqsum.runtime.errors import InputError, choose, require
from seqsum.sequences.pixel_rule import PixelRule
from seqsum.sequences.recorded import (
  RecordedSampler,
  SequenceSpec,
  describe,
)
from seqsum.sequences.shapes import Feed

READERS = {
  "npz": npz.NpzSource,
  "frames": frame_folder.ClipFolder,
  "eccv16": tvsum.Features,
}
SPLITS = ("train", "validation", "test")
HELD_OUT = 0.1  # share of sequences in each of the last two, if no file says
PLENTY = 1 << 48  # sequences; no run reads as many
AHEAD = 4  # batches that are read before they are asked for


class Source(Protocol):
  """Sequences in files, as a reader finds them.

  Attributes:
    shape: (H, W, C) of every frame.
    floats: Whether frames are float32, and not uint8.
    lengths: [N] int32, at least 1.
    targets: [N, T] or [N, T, D] float32; from a sequence's last frame on, the
      final one.
    splits: [N] str, one of `SPLITS` each; None if the files do not say.
    fingerprint: Of the files' content; changes when they do.
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
    """Frames of sequence n: [length, H, W, C] uint8 or float32."""


@dataclasses.dataclass(frozen=True)
class SequenceDataset:
  """A data set of sequences; the counterpart of `digits.Digits`.

  Attributes:
    name: As in `config.data.name`.
    source: Reads the frames.
    facts: What is known of the sequences.
    train, validation, test: [M] int, which sequences are whose.
    sha256: Of the files' fingerprint and of who is whose.
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


def load(
  name: str,
  data_dir: str | os.PathLike | None = None,
  size: tuple[int, ...] = (),
) -> SequenceDataset:
  """Opens sequences in files and looks at all but their frames.

  Args:
    name: 'npz:FILE', 'frames:FOLDER' or 'eccv16:FILE'.
    data_dir: What the path is relative to, if anything.
    size: (H, W) that frames are brought to; () leaves them as they are.

  Raises:
    InputError: They cannot be used.
  """
  kind, _, path = name.partition(":")
  open_source = choose("data.name", kind, READERS)
  require(path != "", "data.name", name, "name a file behind the colon")
  where = Path(data_dir or "").expanduser() / Path(path).expanduser()
  try:
    return _load(name, open_source, where, size, _stamp(where))
  except InputError as error:
    raise InputError(f"data.name={name!r}: {error}") from error
  except OSError as error:
    reason = error.strerror or str(error)
    raise InputError(f"data.name={name!r}: {where}: {reason}") from error


def _stamp(path: Path) -> tuple:
  """What changes when a file does, or one in a folder."""
  files = [path]
  if path.is_dir():
    files = sorted(file for file in path.rglob("*") if file.is_file())
  stats = [(file, file.stat()) for file in files]
  return tuple((file, x.st_size, x.st_mtime_ns) for file, x in stats)


@functools.lru_cache(maxsize=1)  # a run's start asks twice, a study often
def _load(
  name: str,
  open_source: Callable[[Path, tuple[int, ...]], Source],
  where: Path,
  size: tuple[int, ...],
  stamp: tuple,
) -> SequenceDataset:
  source = open_source(where, size)
  splits = _split(source.splits, len(source.lengths))
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


def _split(said: Sequence[str] | None, count: int) -> list[np.ndarray]:
  """[M] int64, ascending, of each of `SPLITS`."""
  if said is None:
    require(count >= 3, "sequences", count, "one for each split is the least")
    held_out = max(1, round(HELD_OUT * count))
    # Drawn, for files may be sorted by what they show.
    order = np.random.default_rng(0).permutation(count)
    parts = np.split(order, [count - 2 * held_out, count - held_out])
    return [np.sort(part) for part in parts]
  for n, split in enumerate(said):
    require(
      split in SPLITS,
      f"the split of sequence {n}",
      split,
      f"must be one of {', '.join(SPLITS)}",
    )
  parts = [
    np.array([n for n, split in enumerate(said) if split == name], np.int64)
    for name in SPLITS
  ]
  for name, part in zip(SPLITS, parts, strict=True):
    require(len(part) > 0, f"sequences whose split is {name!r}", 0, "add some")
  return parts


class _Rows:
  """Sequences of a split as Grain reads them: padded to the longest."""

  def __init__(self, recordings: SequenceDataset, which: np.ndarray):
    self._recordings, self._which = recordings, which

  def __len__(self) -> int:
    return len(self._which)

  def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
    source, n = self._recordings.source, int(self._which[index])
    try:
      frames = source.read(n)
    except OSError as error:
      raise InputError(
        f"data.name={self._recordings.name!r}: sequence {n} cannot be read any "
        f"more ({error.strerror or error})"
      ) from error
    padding = self._recordings.facts.longest - len(frames)
    frames = np.pad(frames, [(0, padding), *[(0, 0)] * 3])
    return frames, source.lengths[n], source.targets[n]


class Batches:
  """Batch number -> frames, lengths and targets, see `RecordedSampler`.

  Args:
    recordings: The data set.
    which: [M] int, which of its sequences.
    batch_size: B.
    seed: Of the order, another one each time that all have been read; None:
      they come as they stand, and begin again at the end.
    count: How many batches there are, so that none is read ahead for nothing;
      None: without end.
  """

  def __init__(
    self,
    recordings: SequenceDataset,
    which: np.ndarray,
    batch_size: int,
    seed: int | None,
    count: int | None = None,
  ):
    import grain  # a second, that other data does not need

    self._options = grain.ReadOptions(AHEAD, AHEAD)
    rows = grain.MapDataset.source(_Rows(recordings, which))
    if seed is not None:
      rows = rows.shuffle(seed=seed % 2**32)
    # Not without end: of batches of one there are more than Grain can count.
    passes = PLENTY // max(1, len(which))
    self._batches = rows.repeat(passes).batch(batch_size)
    if count is not None:
      self._batches = self._batches.slice(slice(count))
    self._at, self._reader, self._last = None, iter(()), ()

  def __call__(self, n: int) -> tuple[np.ndarray, ...]:
    """Batch n; that which was last and the one after it come at once."""
    if n != self._at:
      if self._at is None or n != self._at + 1:
        ahead = self._batches.slice(slice(n, None))
        self._reader = iter(ahead.to_iter_dataset(self._options))
      self._at = None  # a reader that fails is at its end
      self._last, self._at = next(self._reader), n
    return self._last
