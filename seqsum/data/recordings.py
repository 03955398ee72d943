"""Sequences from your own files.

`config.data.name` is 'npz:FILE' or 'npz:FOLDER' (NumPy arrays),
'frames:FOLDER' (pictures and videos) or 'eccv16:FILE' (features of the frames
of SumMe, TVSum or MR.HiSum).
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from seqsum.data.sequence_dataset import SPLITS, SequenceDataset, Source, Splits
from seqsum.runtime.errors import InputError, choose, require
from seqsum.sequences.recorded import describe

HELD_OUT = 0.1  # fraction of sequences for validation and test, by default


@dataclasses.dataclass(frozen=True)
class Benchmark:
  """Files beside those of 'eccv16:FILE', and their use; `config.benchmark`.

  Attributes:
    splits: A file of splits, see `video_benchmark.py`; "" splits at random.
    split: The number of a split in the file, from 0.
    validation: Fraction of the training videos that is held out to choose the
      checkpoint, unless the file has validation videos. With 0 the validation
      videos are the training videos.
    annotations: `ydata-tvsum50-anno.tsv`, or ""; read to judge a run.
  """

  splits: str = ""
  split: int = 0
  validation: float = 0.2
  annotations: str = ""


NO_BENCHMARK = Benchmark()


# Each reader is imported where it is used: no other run needs Pillow or h5py.
def _open_npz(path: Path) -> Source:
  from seqsum.data import npz

  return npz.NpzSource(path)


def _open_frames(path: Path, size: tuple[int, ...]) -> Source:
  from seqsum.data import frame_folder

  return frame_folder.FrameFolder(path, size)


def _open_eccv16(path: Path, benchmark: Benchmark) -> Source:
  from seqsum.data import video_benchmark

  return video_benchmark.FeatureSource(path, benchmark)


# A reader is given the path, and what only its format has.
READERS: dict[str, Callable[..., Source]] = {
  "npz": _open_npz,
  "frames": _open_frames,
  "eccv16": _open_eccv16,
}


def load(
  name: str,
  data_dir: str | os.PathLike | None = None,
  size: tuple[int, ...] = (),
  benchmark: Benchmark = NO_BENCHMARK,
) -> SequenceDataset:
  """Opens a data set; reads everything but the frames.

  Args:
    name: 'npz:PATH', 'frames:FOLDER' or 'eccv16:FILE'.
    data_dir: Folder that relative paths start from; by default the current one.
    size: (H, W) that the frames of 'frames:FOLDER' are resized to; () keeps the
      size of the first frame.
    benchmark: Of 'eccv16:FILE'; its paths start from `data_dir` as well.

  Raises:
    InputError: The files cannot be used; the message names the file.
  """
  prefix, _, path = name.partition(":")
  open_source = choose("config.data.name", prefix, READERS)
  require(path != "", "config.data.name", name, "add a path after the colon")
  remedy = "only frames:FOLDER resizes frames; leave it at ()"
  require(not size or prefix == "frames", "config.data.size", size, remedy)
  remedy = f"is for eccv16:FILE, config.data.name is {name!r}"
  for field in ("splits", "annotations"):
    file = getattr(benchmark, field)
    require(
      not file or prefix == "eccv16", f"config.benchmark.{field}", file, remedy
    )
  folder = Path(data_dir or "").expanduser()
  where = folder / Path(path).expanduser()
  others = [
    folder / Path(file).expanduser() if file else None
    for file in (benchmark.splits, benchmark.annotations)
  ]
  splits, annotations = (str(x or "") for x in others)
  benchmark = dataclasses.replace(
    benchmark, splits=splits, annotations=annotations
  )
  try:
    stamps = tuple(_stamps(x) for x in (where, *others) if x)
    options = {"frames": (size,), "eccv16": (benchmark,)}.get(prefix, ())
    return _load(name, open_source, where, options, stamps)
  except OSError as error:
    reason = error.strerror or str(error)
    raise InputError(f"{error.filename or where}: {reason}") from error


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
  open_source: Callable[..., Source],
  where: Path,
  options: tuple,
  stamps: tuple,
) -> SequenceDataset:
  source = open_source(where, *options)
  splits = _split(where, source.splits, len(source.lengths))
  train, validation, test = splits
  sha256 = hashlib.sha256(source.fingerprint)
  for which in splits:
    sha256.update(np.int64(len(which)).tobytes() + which.tobytes())
  facts = describe(
    source.shape,
    source.floats,
    source.lengths,
    source.targets,
    train,
    source.pictures,
    source.sizes,
  )
  return SequenceDataset(
    name, source, facts, train, validation, test, sha256.hexdigest()
  )


def _split(where: Path, names: Splits, count: int) -> list[np.ndarray]:
  """Indices of the sequences of each of `SPLITS`, [M] int64, ascending.

  Args:
    where: The files, for messages.
    names: `Source.splits`; None draws a random split.
    count: Number of sequences.
  """
  if isinstance(names, Mapping):
    return [names[split] for split in SPLITS]
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
