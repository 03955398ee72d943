"""Sequences from your own files.

`config.data.name` is 'npz:FILE' or 'npz:FOLDER' (NumPy arrays),
'frames:FOLDER' (pictures and videos) or 'eccv16:FILE' (features of the frames
of SumMe or TVSum).
"""

import functools
import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from seqsum.data.sequence_dataset import SPLITS, SequenceDataset, Source
from seqsum.runtime.errors import InputError, choose, require
from seqsum.sequences.recorded import describe

HELD_OUT = 0.1  # fraction of sequences for validation and test, by default


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
