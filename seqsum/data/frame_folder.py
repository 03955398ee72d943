"""Sequences in a folder: a video, or a folder of pictures, for each sequence.

    mine/targets.csv      sequence,target
    mine/walk/1.png       walk,3
    mine/walk/2.png       jump.mp4,5
    mine/jump.mp4

targets.csv has one line for each sequence. With a column `frame`, counted from
1, it has one line for each frame. Several columns that begin with `target` form
a vector. A column `split` assigns sequences to train, validation and test.
"""

import csv
import hashlib
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from seqsum.data import image_files, targets, video_files
from seqsum.data.sequence_dataset import Splits
from seqsum.runtime import natural_order
from seqsum.runtime.errors import InputError, require_file
from seqsum.sequences.pixel_rule import PixelRule

TABLE = "targets.csv"
EXTRA: Any = object()  # csv.DictReader's key of cells without a column
LARGEST = float(np.finfo(np.float32).max)
MAX_NAMED = 3  # sequences listed in an error message
VIDEOS = (  # file name endings
  *(".3g2", ".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mj2", ".mkv"),
  *(".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogg", ".ogv", ".ts", ".webm"),
  ".wmv",
)


class Line(NamedTuple):
  """A line of the table.

  Attributes:
    number: Line number in the file, from 1.
    frame: Counted from 1; None if the table has one line for each sequence.
    target: The numbers in the target columns.
    split: None if the table has no such column.
  """

  number: int
  frame: float | None
  target: list[float]
  split: str | None


Table = dict[str, list[Line]]  # keyed by sequence


class FrameFolder:
  """A `sequence_dataset.Source` of a folder.

  Frames have one channel if no frame of any sequence has colours.

  Args:
    path: The folder.
    size: (H, W) to resize frames to; () for the size of the first frame.

  Attributes:
    pictures: How all pictures become frames, see `video_files.survey`.
    sizes: The smallest and the largest (H, W) of the files' frames; () if all
      have the same size.
  """

  floats = False

  def __init__(self, path: Path, size: tuple[int, ...] = ()):
    self._path, table = path, path / TABLE
    if path.is_dir() and not os.path.lexists(table):
      raise InputError(
        f"{table} is missing: write a table with the columns sequence and "
        "target, one line for each folder or video"
      )
    lines = _read_table(table)
    self._names = list(lines)
    for name in self._names:
      inside = name not in ("", ".", "..") and os.path.basename(name) == name
      if not inside or not (path / name).exists():
        raise InputError(
          f"{table}, line {lines[name][0].number}: there is no sequence "
          f"{name!r} in the folder"
        )
    self.splits: Splits = _splits(table, lines)
    _check_all_named(path, lines)
    survey = video_files.survey(path / name for name in self._names)
    self.pictures: PixelRule | None = survey.rule
    self.sizes = survey.range
    height, width = size or survey.size
    self.shape = height, width, 3 if survey.coloured else 1
    self.lengths = np.array(survey.counts, np.int32)
    self.targets = _targets(table, lines, self.lengths)
    self.fingerprint = repr(
      [self.shape, _digests(table)]
      + [_digests(path / name) for name in self._names]
    ).encode()

  def read(self, n: int) -> np.ndarray:
    frames = video_files.read(
      self._path / self._names[n], self.shape, self.pictures
    )
    if len(frames) != self.lengths[n]:
      raise InputError(
        f"{self._path / self._names[n]}: has {len(frames)} frames, had "
        f"{self.lengths[n]} at the start of the run"
      )
    return frames


def _read_table(path: Path) -> Table:
  """Reads the lines of each sequence, in the order of the file."""
  table: Table = {}
  require_file(path)
  with path.open(newline="", encoding="utf-8-sig") as stream:
    reader = csv.DictReader(stream, strict=True, restkey=EXTRA, restval="")
    try:
      names = reader.fieldnames or []
      columns = [name for name in names if name.startswith("target")]
      if "sequence" not in names or not columns:
        raise InputError(
          f"{path}: needs the columns sequence and target, has "
          + (", ".join(names) or "none")
        )
      for name in names:
        if names.count(name) > 1:
          raise InputError(f"{path}: has the column {name!r} twice")
      for cells in reader:
        where = f"{path}, line {reader.line_num}"
        if cells.pop(EXTRA, None) is not None:
          raise InputError(
            f"{where}: more cells than the {len(names)} columns: write decimal "
            "points, not commas"
          )
        line = Line(
          reader.line_num,
          _number(where, "frame", cells["frame"]) if "frame" in cells else None,
          [_number(where, column, cells[column]) for column in columns],
          cells.get("split"),
        )
        table.setdefault(cells["sequence"], []).append(line)
    except (csv.Error, UnicodeDecodeError) as error:
      raise InputError(f"{path}: not a valid CSV file ({error})") from error
  if not table:
    raise InputError(f"{path}: has no sequence")
  return table


def _check_all_named(path: Path, table: Table) -> None:
  """Raises `InputError` if a sequence in the folder is not in the table."""
  names = [
    entry.name
    for entry in os.scandir(path)
    if entry.name not in table and _is_sequence(entry)
  ]
  if names:
    names = natural_order.sort(names)
    more = len(names) - MAX_NAMED
    raise InputError(
      f"{path / TABLE}: has no line for {len(names)} of the "
      f"{len(names) + len(table)} sequences in the folder ("
      + ", ".join(map(repr, names[:MAX_NAMED]))
      + (f" and {more} more" if more > 0 else "")
      + "): add lines, or move them out of the folder"
    )


def _is_sequence(entry: os.DirEntry) -> bool:
  """Whether it is a video, a picture, or a folder that contains one."""
  if image_files.is_hidden(entry.name):
    return False
  if not entry.is_dir():
    return _is_frame_file(entry.name)
  for _, folders, names in os.walk(entry.path):
    folders[:] = [name for name in folders if not image_files.is_hidden(name)]
    if any(
      _is_frame_file(name) and not image_files.is_hidden(name) for name in names
    ):
      return True
  return False


def _is_frame_file(name: str) -> bool:
  """Whether a file is a video or a picture, by its name."""
  endings = VIDEOS + image_files.HEIF_ENDINGS
  return name.lower().endswith(endings) or image_files.is_image_name(name)


def _targets(path: Path, table: Table, lengths: np.ndarray) -> np.ndarray:
  """[N, T] or [N, T, D] float32."""
  time = int(lengths.max())
  first = next(iter(table.values()))[0]
  values = np.zeros((len(table), time, len(first.target)))
  for n, (name, lines) in enumerate(table.items()):
    wanted = 1 if first.frame is None else lengths[n]
    if len(lines) != wanted:
      what = "one line" if first.frame is None else "one line per frame"
      raise InputError(
        f"{path}, line {lines[0].number}: {name!r} has {lengths[n]} frames and "
        f"{len(lines)} lines, expected {what}"
      )
    if first.frame is None:
      values[n] = lines[0].target
      continue
    seen = set()
    for line in lines:
      frame = line.frame or 0
      if frame in seen or frame not in range(1, lengths[n] + 1):
        raise InputError(
          f"{path}, line {line.number}: frame '{frame:g}' of {name!r}, "
          f"expected each of 1..{lengths[n]} once"
        )
      seen.add(frame)
      values[n, int(frame) - 1] = line.target
  if len(first.target) == 1:
    values = values[..., 0]
  return targets.per_frame(f"{path}: targets", values, lengths, time)


def _number(where: str, column: str, cell: str) -> float:
  try:
    number = float(cell)
  except ValueError:
    number = math.nan
  # float('1_000') is 1000.
  if not abs(number) <= LARGEST or "_" in cell:
    raise InputError(f"{where}: {column} is {cell!r}, not a number")
  return number


def _splits(path: Path, table: Table) -> list[str] | None:
  """The split of each sequence; None without such a column."""
  found = {name: {line.split for line in table[name]} for name in table}
  for name, splits in found.items():
    if len(splits) > 1:
      raise InputError(
        f"{path}: {name!r} is in the splits "
        f"{', '.join(sorted(map(str, splits)))}, "
        "expected one"
      )
  names = [split for splits in found.values() for split in splits]
  return [name for name in names if name is not None] or None


def _digests(path: Path) -> list[tuple[str, str]]:
  """Names and sha256 of a file, or of the pictures in a folder."""
  found = []
  for name in image_files.find([path]):
    with open(name, "rb") as file:
      digest = hashlib.file_digest(file, "sha256").hexdigest()
    found.append((os.path.basename(name), digest))
  return found
