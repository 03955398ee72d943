"""Sequences in a folder: a folder of pictures or a video each, and targets.csv.

    mine/targets.csv      sequence,target
    mine/walk/1.png       walk,3
    mine/walk/2.png       jump.mp4,5
    mine/jump.mp4

has a target for each sequence. With a column `frame`, counted from 1, it has
one for every frame; columns that begin with `target` make a vector together; a
column `split` says which sequences are train, validation and test.
"""

import csv
import hashlib
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqsum import clips, images
from seqsum.errors import InputError
from seqsum.npz import spread

FILE = "targets.csv"
MORE = object()  # where cells go that no column is for
LARGEST = float(np.finfo(np.float32).max)
Table = dict[str, list[tuple[int, dict[str, str]]]]  # sequence -> line, cells


class ClipFolder:
  """A `recordings.Source` of a folder.

  Args:
    path: The folder.
    size: (H, W) that frames are brought to; () for that of the first frame.

  Frames have one channel if no sequence has colours, see `clips.Survey`.
  """

  floats = False

  def __init__(self, path: Path, size: tuple[int, ...] = ()):
    self._path = path
    table, columns = _read_table(path / FILE)
    self._names = list(table)
    for name in self._names:
      plain = name not in ("", ".", "..") and os.path.basename(name) == name
      if not plain or not (path / name).exists():
        raise InputError(
          f"{path / FILE}, line {table[name][0][0]}: there is no sequence "
          f"{name!r} in the folder"
        )
    surveys = [clips.survey(path / name) for name in self._names]
    channels = 3 if any(survey.coloured for survey in surveys) else 1
    self.shape = (*(size or surveys[0].size), channels)
    self.lengths = np.array([survey.count for survey in surveys], np.int32)
    self.targets = _targets(path / FILE, table, columns, self.lengths)
    self.splits = _splits(path / FILE, table)
    self.fingerprint = repr(
      [self.shape, _digests(path / FILE)]
      + [_digests(path / name) for name in self._names]
    ).encode()

  def read(self, n: int) -> np.ndarray:
    frames = clips.read(self._path / self._names[n], self.shape)
    if len(frames) != self.lengths[n]:
      raise InputError(
        f"{self._path / self._names[n]}: has {len(frames)} frames now, had "
        f"{self.lengths[n]} when the run began"
      )
    return frames


def _read_table(path: Path) -> tuple[Table, list[str]]:
  """Its lines by sequence, in the order of the file; the target columns."""
  table = {}
  with path.open(newline="", encoding="utf-8-sig") as stream:
    reader = csv.DictReader(stream, strict=True, restkey=MORE, restval="")
    try:
      columns = [x for x in reader.fieldnames or () if x.startswith("target")]
      names = reader.fieldnames or []
      if "sequence" not in names or not columns:
        raise InputError(
          f"{path}: needs the columns sequence and target, has "
          + (", ".join(names) or "none")
        )
      for name in names:
        if names.count(name) > 1:
          raise InputError(f"{path}: has the column {name!r} twice")
      for cells in reader:
        if cells.pop(MORE, None) is not None:
          raise InputError(
            f"{path}, line {reader.line_num}: has more cells than the "
            f"{len(names)} columns; a decimal comma?"
          )
        table.setdefault(cells["sequence"], []).append((reader.line_num, cells))
    except (csv.Error, UnicodeDecodeError) as error:
      raise InputError(f"{path}: not a sound CSV file ({error})") from error
  if not table:
    raise InputError(f"{path}: names no sequence")
  return table, columns


def _targets(
  path: Path, table: Table, columns: Sequence[str], lengths: np.ndarray
) -> np.ndarray:
  """[N, T] or [N, T, D] float32."""
  time = int(lengths.max())
  per_frame = "frame" in next(iter(table.values()))[0][1]
  found = np.zeros((len(table), time, len(columns)), np.float32)
  for n, (name, lines) in enumerate(table.items()):
    wanted = lengths[n] if per_frame else 1
    if len(lines) != wanted:
      what = "a line a frame" if per_frame else "one line"
      raise InputError(
        f"{path}, line {lines[0][0]}: {name!r} has {lengths[n]} frames and "
        f"{len(lines)} lines, expected {what}"
      )
    seen = set()
    for line, cells in lines:
      where = f"{path}, line {line}"
      values = [_number(where, column, cells[column]) for column in columns]
      if per_frame:
        frame = _number(where, "frame", cells["frame"])
        if frame in seen or frame not in range(1, lengths[n] + 1):
          raise InputError(
            f"{where}: frame {cells['frame']!r} of {name!r}, expected each of "
            f"1..{lengths[n]} once"
          )
        seen.add(frame)
        found[n, int(frame) - 1] = values
      else:
        found[n] = values
  targets = found[..., 0] if len(columns) == 1 else found
  return spread(f"{path}: targets", targets, lengths, time)


def _number(where: str, column: str, cell: str) -> float:
  try:
    number = float(cell)
  except ValueError:
    number = math.nan
  if not abs(number) <= LARGEST:
    raise InputError(f"{where}: {column} is {cell!r}, not a number")
  return number


def _splits(path: Path, table: Table) -> list[str] | None:
  said = {
    name: {cells["split"] for _, cells in lines if "split" in cells}
    for name, lines in table.items()
  }
  for name, splits in said.items():
    if len(splits) > 1:
      raise InputError(
        f"{path}: {name!r} is in the splits {', '.join(sorted(splits))}, "
        "expected one"
      )
  if not any(said.values()):
    return None
  return [min(splits) for splits in said.values()]


def _digests(path: Path) -> list[tuple[str, str]]:
  """Names and sha256 of a file, or of the pictures in a folder."""
  found = []
  for name in images.find([path]):
    with open(name, "rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
    found.append((os.path.basename(name), digest))
  return found
