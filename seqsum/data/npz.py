"""Sequences in one file of NumPy's: frames, lengths and targets.

    np.savez("mine.npz", frames=frames, lengths=lengths, targets=targets)

writes one. Not compressed, as by this, its frames are mapped into memory and
read when they are needed, however large they are.
"""

import struct
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from seqsum.runtime.errors import InputError, one_line, require, require_file

LOCAL_HEADER = struct.Struct("<4s22xHH")  # of a member: signature, two lengths
FIELDS = {"frames", "lengths", "targets", "split"}
LARGE = 1 << 32  # bytes; a compressed member is read into memory
LARGEST = 1e15  # target; float32 holds the square of an error, and sums of it


class NpzSource:
  """A `recordings.Source` of a file's arrays.

  Args:
    path: The file.
    size: Must be (): frames are what they are.
  """

  pictures, sizes = None, ()  # no file is a picture

  def __init__(self, path: Path, size: tuple[int, ...] = ()):
    require(not size, "data.size", size, "frames of an .npz file stay as large")
    require_file(path)
    self._path, self._stamp = path, _stamp(path)
    with path.open("rb") as stream:
      try:
        members, arrays = _read_members(path, stream)
      except MemoryError:
        raise
      # What zipfile comes upon in a damaged file; it may lead it anywhere.
      except Exception as error:
        words = one_line(error)
        raise InputError(f"{path}: not a sound .npz file ({words})") from error
    for name in ("frames", "targets"):
      found = ", ".join(members) or "nothing"
      require(
        name in arrays, f"{path}: array", name, f"is missing; has {found}"
      )
    frames = arrays["frames"]
    _check_frames(path, frames)
    if frames.ndim == 4:  # one channel
      frames = frames[..., None]
    self._frames = frames
    self.shape, self.floats = frames.shape[2:], frames.dtype != np.uint8
    self.lengths = _lengths(path, arrays.get("lengths"), *frames.shape[:2])
    self.targets = spread(
      f"{path}: targets", arrays["targets"], self.lengths, frames.shape[1]
    )
    split = arrays.get("split")
    if split is not None and split.shape != self.lengths.shape:
      raise InputError(
        f"{path}: split has the shape {split.shape}, expected one a sequence, "
        f"{self.lengths.shape}"
      )
    self.splits: Sequence[str] | None = (
      None if split is None else list(map(_word, split.tolist()))
    )
    # The zip file has a checksum of every member.
    self.fingerprint = repr(
      [(name, x.CRC, x.file_size) for name, x in sorted(members.items())]
    ).encode()

  def read(self, n: int) -> np.ndarray:
    # What is mapped of a file that was cut off would end the process.
    if isinstance(self._frames, np.memmap) and self._stamp != _stamp(
      self._path
    ):
      raise InputError(
        f"{self._path}: was changed while it was read; start again"
      )
    frames = np.asarray(self._frames[n, : self.lengths[n]])
    if frames.dtype == np.uint8:
      return frames
    frames = _float32(frames)
    if not np.isfinite(frames).all():
      raise InputError(
        f"{self._path}: frames of sequence {n} hold inf or nan: mend them"
      )
    return frames


def _read_members(
  path: Path, stream: BinaryIO
) -> tuple[dict[str, zipfile.ZipInfo], dict[str, np.ndarray]]:
  """All members of the file by name, and the arrays that are asked for."""
  with zipfile.ZipFile(stream) as file:
    members = {
      info.filename.removesuffix(".npy"): info for info in file.infolist()
    }
    arrays = {
      name: _read(path, file, members[name]) for name in FIELDS & members.keys()
    }
  return members, arrays


def _stamp(path: Path) -> tuple[int, int]:
  """What changes when a file does: its size, and when it was written."""
  found = path.stat()
  return found.st_size, found.st_mtime_ns


def _word(name: Any) -> str:
  return name.decode(errors="replace") if type(name) is bytes else str(name)


def _float32(numbers: np.ndarray) -> np.ndarray:
  """What is too large for it becomes inf."""
  with np.errstate(over="ignore"):
    return numbers.astype(np.float32)


def _read(
  path: Path, file: zipfile.ZipFile, info: zipfile.ZipInfo
) -> np.ndarray:
  """An array of the file, mapped into memory if it is not compressed."""
  with file.open(info) as stream:
    version = np.lib.format.read_magic(stream)
    header = (
      np.lib.format.read_array_header_1_0
      if version == (1, 0)
      else np.lib.format.read_array_header_2_0
    )
    shape, fortran, dtype = header(stream)
    start = stream.tell()
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if dtype.hasobject:
      raise ValueError(f"{info.filename} holds Python objects, not numbers")
    if size != info.file_size - start:
      raise ValueError(
        f"{info.filename} has {info.file_size - start:,} bytes, its header "
        f"says {size:,}"
      )
    if info.compress_type != zipfile.ZIP_STORED:
      if size > LARGE:
        raise ValueError(
          f"{info.filename} is compressed and has {size:,} bytes: write it "
          "with np.savez, which does not compress"
        )
      flat = np.frombuffer(stream.read(size), dtype)
      return flat.reshape(shape, order="F" if fortran else "C")
  with path.open("rb") as raw:
    raw.seek(info.header_offset)
    mark, name, extra = LOCAL_HEADER.unpack(raw.read(LOCAL_HEADER.size))
  if mark != b"PK\x03\x04":
    raise ValueError(f"{info.filename} is not where the file says")
  offset = info.header_offset + LOCAL_HEADER.size + name + extra + start
  if not size:
    return np.zeros(shape, dtype)
  return np.memmap(
    path, dtype, "r", offset, shape, order="F" if fortran else "C"
  )


def _check_frames(path: Path, frames: np.ndarray) -> None:
  """Raises `InputError` unless frames are [N, T, H, W, C] or [N, T, H, W]."""
  if frames.dtype != np.uint8 and not np.issubdtype(frames.dtype, np.floating):
    raise InputError(
      f"{path}: frames are {frames.dtype}, expected uint8 in 0..255, or floats"
    )
  shape = f"{path}: frames have the shape {frames.shape}"
  if frames.ndim == 3:
    raise InputError(
      f"{shape}: if these are [N, H, W], frames[:, None] adds T; if they are "
      "features [N, T, F], frames[:, :, None, None] adds H and W"
    )
  if frames.ndim not in (4, 5) or 0 in frames.shape:
    raise InputError(f"{shape}, expected [N, T, H, W, C] or [N, T, H, W]")
  # A picture is wider than it has colours. Both wrong orders would be trained
  # on without an error where the kernels are small enough.
  few = lambda axis: frames.shape[axis] <= 4
  many = lambda *axes: min(frames.shape[axis] for axis in axes) > 4
  if frames.ndim == 4 and few(3) and many(1, 2):
    raise InputError(
      f"{shape}, which looks like [N, H, W, C] without T: give frames[:, None] "
      "for sequences of one frame, frames[..., None] if it is [N, T, H, W]"
    )
  if frames.ndim == 5 and many(3, 4):
    for axis, name in ((2, "[N, T, C, H, W]"), (1, "[N, C, T, H, W]")):
      if few(axis) and (axis == 2 or frames.shape[3] == frames.shape[4]):
        raise InputError(
          f"{shape}, which looks like {name}, but channels come last, "
          f"[N, T, H, W, C]: give np.moveaxis(frames, {axis}, -1)"
        )


def _lengths(
  path: Path, lengths: np.ndarray | None, count: int, longest: int
) -> np.ndarray:
  """[N] int32; all as long as the array, if None."""
  if lengths is None:
    return np.full(count, longest, np.int32)
  if lengths.shape != (count,) or not np.issubdtype(lengths.dtype, np.integer):
    raise InputError(
      f"{path}: lengths are {lengths.dtype} of the shape {lengths.shape}, "
      f"expected whole numbers, one a sequence, ({count},)"
    )
  wrong = np.flatnonzero((lengths < 1) | (lengths > longest))
  if wrong.size:
    raise InputError(
      f"{path}: sequence {wrong[0]} has the length {lengths[wrong[0]]}, "
      f"expected 1..{longest}"
    )
  return np.array(lengths, np.int32)


def spread(
  what: str, targets: np.ndarray, lengths: np.ndarray, time: int
) -> np.ndarray:
  """A target for every frame, whether there was one or one a sequence.

  Args:
    what: How the targets are called in an error.
    targets: [N], [N, T] or [N, T, D] numbers.
    lengths: [N] int.
    time: T.

  Returns:
    [N, T] or [N, T, D] float32. One that is for a whole sequence stands at
    every frame of it; in the padding the final one goes on.

  Raises:
    InputError: They are of another shape, hold inf or nan, or are numbers that
      float32 does not tell apart.
  """
  count = len(lengths)
  if not (
    np.issubdtype(targets.dtype, np.number) or targets.dtype == np.bool_
  ) or np.iscomplexobj(targets):
    raise InputError(f"{what} are {targets.dtype}, expected numbers")
  shapes = (count,), (count, time)
  if targets.shape[:2] not in shapes or targets.ndim > 3 or not targets.size:
    raise InputError(
      f"{what} have the shape {targets.shape}, expected ({count},), "
      f"({count}, {time}) or ({count}, {time}, D)"
    )
  if targets.ndim == 1:
    targets = np.repeat(targets[:, None], time, axis=1)
  last = np.minimum(np.arange(time), lengths[:, None] - 1)  # [N, T]
  targets = targets[np.arange(count)[:, None], last]
  finite = np.isfinite(targets.reshape(count, -1)).all(axis=1)
  if not finite.all():
    raise InputError(
      f"{what} of sequence {np.flatnonzero(~finite)[0]} are inf or nan: leave "
      "it out, or mend it"
    )
  check_precision(what, targets)
  return targets.astype(np.float32)


def check_precision(what: str, targets: np.ndarray) -> None:
  """Checks that float32 tells targets apart and holds their squares.

  Whole numbers must stay as they are. Other numbers may be rounded by a
  thousandth of their standard deviation, a hundredth of what counts as exact.

  Args:
    what: How the targets are called in an error.
    targets: [N, T] or [N, T, D] finite numbers. The parts of a vector are
      checked one by one.

  Raises:
    InputError: Rounding would change what is learned; the message has a remedy.
  """
  parts = targets[..., None] if targets.ndim == 2 else targets
  for d in range(parts.shape[-1]):
    where = what if targets.ndim == 2 else f"{what}, part {d} of the vectors,"
    with np.errstate(over="ignore"):
      part = parts[..., d].astype(np.float64)
    low, high = part.min(), part.max()
    largest, differ = max(-low, high), low < high
    if largest > LARGEST or (differ and part.std() < 1 / LARGEST):
      remedy = "subtract an offset, or divide" if largest > 1 else "multiply"
      raise InputError(
        f"{where} are in {low:.12g}..{high:.12g}, whose squared errors do not "
        f"fit into float32: {remedy} them, so that they are about 1"
      )
    whole = (part == np.rint(part)).all()
    error = np.abs(part - part.astype(np.float32)).max()
    if (whole or differ) and error > (0 if whole else part.std() / 1000):
      raise InputError(
        f"{where} are {'whole numbers ' if whole else ''}in {low:.12g}.."
        f"{high:.12g}, which float32 rounds by up to {error:.3g}: subtract an "
        f"offset ({low:.12g} is the least), or divide them by a larger unit"
      )
