"""Files and folders, local or remote; a file is written whole or not at all."""

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from etils import epath

from seqsum.runtime.errors import InputError, Unreachable, one_line
from seqsum.runtime.object_storage import is_remote


def to_json(value: Any) -> Any:
  """As JSON has it: no inf and no nan there, keys are strings."""
  if isinstance(value, dict):
    return {str(k): to_json(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return [to_json(v) for v in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def parse_path(path: epath.PathLike, flag: str = "--workdir") -> epath.Path:
  """A path as a user writes it: a leading `~` is expanded.

  Raises:
    InputError: It is a URL, other than gs://. The message names the flag.
  """
  path = os.fspath(path)
  scheme, is_url, rest = path.partition("://")
  if is_url and scheme != "gs":
    # Orbax 0.12 gives TensorStore's drivers for folders and gs:// alone: of
    # s3:// it writes a part into a local folder of that name, and stops.
    remedy = "name a folder on this machine or gs://BUCKET/FOLDER"
    if scheme == "file":
      remedy = f"leave file:// out: {rest}"
    elif scheme not in ("http", "https"):
      remedy = "mount that bucket as a folder"
    raise InputError(f"{flag}={path}: {scheme}:// is not supported; {remedy}")
  if is_remote(path):
    disable_listings_cache()
    return epath.Path(path)
  return epath.Path(os.path.expanduser(path))


def absolute_path(path: epath.PathLike) -> epath.Path:
  """A path that stays where it is when the process moves to another folder.

  Raises:
    InputError: As `parse_path` does.
  """
  path = parse_path(path)
  # absolute() would make a folder named gs: on this machine
  return path if is_remote(path) else path.absolute()


def disable_listings_cache() -> None:
  """Has gcsfs ask each time what a bucket holds.

  It would say what it saw there before other processes wrote. To be called
  before the first look into a bucket.
  """
  import fsspec.config  # 0.1 s that only object storage needs

  fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False


def write_json(path: epath.Path, value: Any) -> None:
  """Writes a file that is either not there or whole; inf and nan as null."""
  write_atomically(path, json.dumps(to_json(value), indent=2) + "\n")


def write_atomically(path: epath.Path, content: str | bytes) -> None:
  """Replaces a file so that a reader never sees half of it.

  The content is on the disk before the file has its name, so that a power cut
  leaves no empty file. Nothing is written through a link: a link of that name
  is replaced, and what it points to stays as it is.

  Raises:
    OSError: It cannot be written; `filename` is the path.
  """
  if isinstance(content, str):  # a file name may have bytes that are no UTF-8
    content = content.encode(errors="backslashreplace")
  if is_remote(path):
    try:
      path.write_bytes(content)  # an object is there once it is whole
    except Exception as error:  # clients of object storage have their own
      raise Unreachable(
        f"{os.fspath(path)} cannot be written: {one_line(error)}"
      ) from error
    return
  path = os.fspath(path)
  partial = f"{path}.partial"
  try:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(partial)  # of a killed program, or a stranger's link
    with open(partial, "xb") as file:
      file.write(content)
      file.flush()
      os.fsync(file.fileno())
    os.replace(partial, path)
  except OSError as error:
    with contextlib.suppress(OSError):  # a full disk needs the room
      os.unlink(partial)
    raise OSError(error.errno, error.strerror, path) from error
  sync_folder(os.path.dirname(path) or ".")


def sync_folder(folder: epath.PathLike) -> None:
  """Brings the names in a local folder to the disk."""
  with contextlib.suppress(OSError):  # Windows; some network file systems
    opened = os.open(folder, os.O_RDONLY)
    try:
      os.fsync(opened)
    finally:
      os.close(opened)


def sync_tree(folder: epath.PathLike, *, deep: bool = True) -> None:
  """Brings the files of a local folder, and their names, to the disk.

  Args:
    folder: The folder.
    deep: Whether files in the folders within it are synced too.

  Raises:
    OSError: The disk does not take them.
  """
  for path, folders, names in os.walk(folder):
    if not deep:
      folders.clear()
    for name in names:
      file = os.open(os.path.join(path, name), os.O_RDONLY)
      try:
        os.fsync(file)
      finally:
        os.close(file)
    sync_folder(path)


def refuse_links(folder: epath.Path, *names: str) -> None:
  """Checks that what seqsum writes in a run's folder is really there.

  A folder may be a stranger's, with links to files of the user's. The folder
  itself may be a link.

  Raises:
    InputError: One of the names is a symbolic link.
  """
  for name in names:
    path = os.fspath(folder / name)
    if not is_remote(folder) and os.path.islink(path):
      raise InputError(
        f"{path} is a symbolic link to {os.readlink(path)}: nothing is written "
        "through a link inside a run's folder; move the link away, or take "
        "another --workdir"
      )


@contextlib.contextmanager
def local_copy(folder: epath.Path) -> Iterator[str]:
  """A folder, or a copy if it is remote, for programs that know local ones."""
  if not is_remote(folder):
    yield os.fspath(folder)
    return
  with tempfile.TemporaryDirectory() as copy:
    _copy(folder, epath.Path(copy))
    yield copy


def _copy(folder: epath.Path, to: epath.Path) -> None:
  to.mkdir(exist_ok=True)
  for path in folder.iterdir():
    if path.is_dir():
      _copy(path, to / path.name)
    else:
      (to / path.name).write_bytes(path.read_bytes())


def flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple]:
  """('a.b', value) for every leaf of nested dicts."""
  for key, value in tree.items():
    if isinstance(value, dict):
      yield from flatten(value, f"{prefix}{key}.")
    else:
      yield f"{prefix}{key}", value
