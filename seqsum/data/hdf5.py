"""HDF5 files of strangers -> arrays, and from no other file.

HDF5 can point into other files (external and soft links, virtual data sets,
external storage), and a few bytes of it can stand for any number of values:
none of it is followed, and sizes are bounded before anything is read.
"""

import contextlib
import os
from collections.abc import Iterator

import numpy as np

from seqsum.runtime.errors import InputError, one_line

MOST_BYTES = 1 << 30  # of one data set, or of one chunk of it
MOST_TEXT = 200  # letters of a name
ELSEWHERE = "leads elsewhere, maybe to another file, and is not followed"


@contextlib.contextmanager
def named(where: str) -> Iterator[None]:
  """Errors of what is done inside as an `InputError`, one line from `where`."""
  try:
    yield
  except InputError as error:
    raise InputError(f"{where}: {error}") from error
  except Exception as error:  # what HDF5 comes upon in a damaged file
    said = str(error)
    if "truncated file" in said:
      what = "cut off; fetch it again"
    elif "signature not found" in said:
      what = "not an HDF5 file"
    else:
      what = f"damaged, or cannot be read ({one_line(error)})"
    raise InputError(f"{where}: {what}") from error


def open_file(path: str | os.PathLike):
  """The file as h5py has it, to be read.

  Raises:
    InputError: There is none, it is no HDF5, or h5py is missing.
  """
  try:
    import h5py
  except ImportError as error:
    raise InputError(
      f"{path}: HDF5 needs h5py: pip install 'seqsum[video]'"
    ) from error
  with named(f"{path}"):
    if not os.path.isfile(path):  # of a pipe there is no end
      raise InputError("there is no such file")
    # It is only read, and not every file system has locks.
    return h5py.File(path, "r", locking=False)


def open_group(group, name: str):
  """A group within a group.

  Raises:
    InputError: It is none, or not in this file.
  """
  import h5py

  return _follow(group, name, h5py.Group)


def _follow(group, name: str, kind: type):
  import h5py

  link = group.get(name, getlink=True)
  if link is None:
    raise InputError("missing")
  if not isinstance(link, h5py.HardLink):
    raise InputError(ELSEWHERE)
  found = group[name]
  if not isinstance(found, kind):
    raise InputError(f"a {type(found).__name__}, expected a {kind.__name__}")
  return found


def _open_dataset(group, name: str):
  """One that lies in the file and is no larger than memory allows."""
  import h5py

  found = _follow(group, name, h5py.Dataset)
  if found.is_virtual or found.external:
    raise InputError(ELSEWHERE)
  if found.shape is None:
    raise InputError("empty")
  for shape in (found.shape, found.chunks or ()):  # a chunk is unpacked whole
    count = 1
    for size in shape:  # Python's integers do not overflow
      count *= size
    if count * found.dtype.itemsize > MOST_BYTES:
      raise InputError(f"{list(shape)} values are more than a GiB")
  return found


def numbers(group, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
  """Reads finite numbers.

  Args:
    group: Where.
    name: Of the data set.
    shape: What it must be; None is any size, and () is also met by [1].

  Returns:
    Of the type and of the shape that the file has, [1] as [].

  Raises:
    InputError: They are not there, not so, or not finite.
  """
  with named(name):
    found = _open_dataset(group, name)
    if found.dtype.kind not in "biuf":
      raise InputError(f"of type {found.dtype}, expected numbers")
    theirs = found.shape if shape or found.shape != (1,) else ()
    if len(theirs) != len(shape) or any(
      ours not in (None, size) for ours, size in zip(shape, theirs, strict=True)
    ):
      wanted = ", ".join("any" if x is None else str(x) for x in shape)
      raise InputError(f"shape {list(found.shape)}, expected [{wanted}]")
    values = np.asarray(found[()]).reshape(theirs)
    if not np.isfinite(values).all():
      raise InputError("holds nan or inf")
    return values


def whole(group, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
  """int64 numbers; see `numbers`."""
  values = numbers(group, name, shape)
  wide = values.astype(np.float64)
  if (np.abs(wide) > 2**53).any() or (wide != np.rint(wide)).any():
    raise InputError(f"{name}: expected whole numbers")
  return values.astype(np.int64)


def text(group, name: str) -> str:
  """Reads a line of words.

  Raises:
    InputError: It is something else.
  """
  with named(name):
    found = _open_dataset(group, name)
    value = found[()] if found.shape == () else None
    if isinstance(value, bytes):
      value = value.decode(errors="replace")
    if not isinstance(value, str):
      raise InputError("expected one text")
    # A terminal must not obey what it prints.
    return "".join(x if x.isprintable() else "?" for x in value[:MOST_TEXT])
