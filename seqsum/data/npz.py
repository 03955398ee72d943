"""Sequences in NumPy arrays: an .npz file, or a folder of .npy files.

    np.savez("mine.npz", frames=frames, lengths=lengths, targets=targets)

writes an .npz file, which is read into memory. A folder of frames.npy,
lengths.npy, targets.npy and split.npy is memory-mapped, so its frames may be
larger than memory; `python -m zipfile -e mine.npz mine` makes one.
"""

import hashlib
import zipfile
from pathlib import Path

import numpy as np

from seqsum.data import targets
from seqsum.data.sequence_dataset import Splits
from seqsum.runtime.errors import InputError, one_line, require_file
from seqsum.sequences.pixel_rule import PixelRule

NAMES = ("frames", "lengths", "split", "targets")
MAX_BYTES = 1 << 32  # of the unpacked arrays of an .npz file

Arrays = dict[str, np.ndarray]


class NpzSource:
  """A `sequence_dataset.Source` of NumPy arrays.

  Args:
    path: An .npz file, or a folder of .npy files.
  """

  pictures: PixelRule | None = None
  sizes: tuple[tuple[int, int], ...] = ()

  def __init__(self, path: Path):
    read = _map_folder if path.is_dir() else _read_file
    arrays, self.fingerprint = read(path)
    for name in ("frames", "targets"):
      if name not in arrays:
        raise InputError(
          f"{path}: the array {name!r} is missing; it has "
          + (", ".join(arrays) or "none of " + ", ".join(NAMES))
        )
    self._path, frames = path, arrays["frames"]
    _check_frames(path, frames)
    if frames.ndim == 4:  # one channel
      frames = frames[..., None]
    self._frames, self._is_mapped = frames, isinstance(frames, np.memmap)
    self._stamp = _stamp(path) if self._is_mapped else None
    self.shape, self.floats = frames.shape[2:], frames.dtype != np.uint8
    self.lengths = _lengths(path, arrays.get("lengths"), *frames.shape[:2])
    self.targets = targets.per_frame(
      f"{path}: targets", arrays["targets"], self.lengths, frames.shape[1]
    )
    self.splits: Splits = None
    if "split" in arrays:
      split = arrays["split"]
      if split.shape != self.lengths.shape:
        raise InputError(
          f"{path}: split has the shape {split.shape}, expected one for each "
          f"sequence, {self.lengths.shape}"
        )
      self.splits = [
        name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        for name in split.tolist()
      ]

  def read(self, n: int) -> np.ndarray:
    # Reading a mapped file that was truncated would end the process (SIGBUS).
    if self._is_mapped and self._stamp != _stamp(self._path):
      raise InputError(
        f"{self._path}: frames.npy changed during the run; restart the run"
      )
    frames = np.asarray(self._frames[n, : self.lengths[n]])
    if frames.dtype == np.uint8:
      return frames
    with np.errstate(over="ignore"):  # becomes inf
      frames = frames.astype(np.float32)
    if not np.isfinite(frames).all():
      raise InputError(
        f"{self._path}: frames of sequence {n} contain inf or nan; remove or "
        "replace them"
      )
    return frames


def _read_file(path: Path) -> tuple[Arrays, bytes]:
  """The arrays of an .npz file, and a fingerprint of all its members."""
  require_file(path)
  arrays = {}
  try:
    with zipfile.ZipFile(path) as file:
      members = {x.filename.removesuffix(".npy"): x for x in file.infolist()}
      names = [name for name in NAMES if name in members]
      size = sum(members[name].file_size for name in names)
      if size > MAX_BYTES:
        raise InputError(
          f"{path}: {size:,} bytes unpacked, more than the {MAX_BYTES:,} that "
          "are read into memory: unpack it into a folder with `python -m "
          "zipfile -e FILE FOLDER` and set config.data.name='npz:FOLDER'"
        )
      for name in names:
        with file.open(members[name]) as stream:
          arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
          if stream.read(1):
            raise ValueError(f"{name}.npy has bytes after its array")
  except InputError:
    raise
  except Exception as error:  # zipfile and NumPy raise many kinds on damage
    raise InputError(
      f"{path}: not a valid .npz file ({one_line(error)})"
    ) from error
  # The zip file has a CRC-32 of each member.
  found = [(name, x.CRC, x.file_size) for name, x in sorted(members.items())]
  return arrays, repr(found).encode()


def _map_folder(path: Path) -> tuple[Arrays, bytes]:
  """The memory-mapped arrays of a folder, and a fingerprint of the files."""
  arrays: Arrays = {}
  found = []
  for name in NAMES:
    file = path / f"{name}.npy"
    if not file.exists():
      continue
    require_file(file)
    try:
      arrays[name] = np.lib.format.open_memmap(file, mode="r")
    except Exception as error:  # NumPy raises many kinds on damage
      raise InputError(
        f"{file}: not a valid .npy file ({one_line(error)})"
      ) from error
    with file.open("rb") as stream:
      found.append((name, hashlib.file_digest(stream, "sha256").hexdigest()))
  return arrays, repr(found).encode()


def _stamp(folder: Path) -> tuple[int, int]:
  """Size and modification time of the frames of a folder."""
  found = (folder / "frames.npy").stat()
  return found.st_size, found.st_mtime_ns


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
  # Images have few channels and more pixels. Where the kernels are small
  # enough, both wrong orders would train without an error.
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
  """[N] int32; by default all frames are real."""
  if lengths is None:
    return np.full(count, longest, np.int32)
  if lengths.shape != (count,) or not np.issubdtype(lengths.dtype, np.integer):
    raise InputError(
      f"{path}: lengths are {lengths.dtype} of the shape {lengths.shape}, "
      f"expected whole numbers of the shape ({count},)"
    )
  wrong = np.flatnonzero((lengths < 1) | (lengths > longest))
  if wrong.size:
    raise InputError(
      f"{path}: sequence {wrong[0]} has the length {lengths[wrong[0]]}, "
      f"expected 1..{longest}"
    )
  return np.array(lengths, np.int32)
