"""Paths, atomic writes and JSON, on local disks and object storage."""

import contextlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from etils import epath

from seqsum.runtime.errors import InputError, Unreachable, one_line
from seqsum.runtime.object_storage import is_remote


def to_json(value: Any) -> Any:
  """Converts to values that JSON has: inf and nan become None, keys strings."""
  if isinstance(value, dict):
    return {str(k): to_json(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return [to_json(v) for v in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def parse_path(path: epath.PathLike, flag: str = "--workdir") -> epath.Path:
  """Parses a path from the user; expands a leading `~`.

  Args:
    path: A path, or a gs:// URL.
    flag: The flag that has the path, for error messages.

  Raises:
    InputError: The path is another URL.
  """
  path = os.fspath(path)
  scheme, is_url, rest = path.partition("://")
  if is_url and scheme != "gs":
    # Orbax 0.12 has TensorStore drivers for folders and gs:// only: it writes a
    # part of s3:// into a local folder of that name, and fails.
    remedy = "name a folder on this machine or gs://BUCKET/FOLDER"
    if scheme == "file":
      remedy = f"remove file://: {rest}"
    elif scheme == "hf":
      remedy = "only seqsum.load, seqsum.predict and seqsum.demo read the hub"
    elif scheme not in ("http", "https"):
      remedy = "mount that bucket as a folder"
    raise InputError(f"{flag}={path}: {scheme}:// is not supported; {remedy}")
  if is_remote(path):
    disable_listings_cache()
    return epath.Path(path)
  return epath.Path(os.path.expanduser(path))


def absolute_path(path: epath.PathLike) -> epath.Path:
  """An absolute path, or a gs:// URL, from a path of the user.

  Raises:
    InputError: As for `parse_path`.
  """
  path = parse_path(path)
  # absolute() would turn gs:// into a local folder
  return path if is_remote(path) else path.absolute()


def disable_listings_cache() -> None:
  """Turns off gcsfs's cache of listings, before it is first used.

  The cache lacks what other processes wrote meanwhile.
  """
  import fsspec.config  # takes 0.1 s

  fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False


def write_json(path: epath.Path, value: Any) -> None:
  """Writes JSON atomically, inf and nan as null."""
  write_atomically(path, json.dumps(to_json(value), indent=2) + "\n")


def write_atomically(path: epath.Path, content: str | bytes) -> None:
  """Writes or replaces a file so that readers never see a part of it.

  The content is synced to disk before the file gets its name, so that a power
  cut leaves no empty file. A symbolic link of that name is replaced; its target
  does not change.

  Raises:
    OSError: The file cannot be written; `filename` is the path.
  """
  if isinstance(
    content, str
  ):  # file names may contain bytes that are not UTF-8
    content = content.encode(errors="backslashreplace")
  if is_remote(path):
    try:
      path.write_bytes(content)  # atomic on object storage
    except Exception as error:  # of any client of object storage
      raise Unreachable(
        f"{os.fspath(path)} cannot be written: {one_line(error)}"
      ) from error
    return
  with open_atomically(path) as file:
    file.write(content)


@contextlib.contextmanager
def open_atomically(path: epath.PathLike) -> Iterator[IO[bytes]]:
  """Yields a local file that becomes `path` when the block has ended.

  If the block raises, there is no new file, and `path` stays as it was.
  Otherwise as `write_atomically`, for content that does not fit into memory.
  """
  path = os.fspath(path)
  partial = f"{path}.partial"
  try:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(partial)  # of a killed program, or an untrusted link
    with open(partial, "x+b") as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    os.replace(partial, path)
  except BaseException as error:
    with contextlib.suppress(OSError):  # frees space on a full disk
      os.unlink(partial)
    if isinstance(error, OSError):
      raise OSError(error.errno, error.strerror, path) from error
    raise
  sync_folder(os.path.dirname(path) or ".")


def sync_folder(folder: epath.PathLike) -> None:
  """Syncs the directory entries of a local folder to disk."""
  with contextlib.suppress(OSError):  # Windows; some network file systems
    opened = os.open(folder, os.O_RDONLY)
    try:
      os.fsync(opened)
    finally:
      os.close(opened)


def sync_tree(folder: epath.PathLike, *, deep: bool = True) -> None:
  """Syncs the files of a local folder, and their directory entries, to disk.

  Args:
    folder: The folder.
    deep: Whether to sync subfolders too.

  Raises:
    OSError: A file cannot be synced.
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
  """Checks that none of some names in a run's folder is a symbolic link.

  An untrusted folder could link to other files of the user. The folder itself
  may be a link.

  Raises:
    InputError: One of the names is a symbolic link.
  """
  for name in names:
    path = os.fspath(folder / name)
    if not is_remote(folder) and os.path.islink(path):
      raise InputError(
        f"{path} is a symbolic link to {os.readlink(path)}: seqsum does "
        "not write through links inside a run's folder; remove the link, or "
        "choose another --workdir"
      )


@contextlib.contextmanager
def local_copy(folder: epath.Path) -> Iterator[str]:
  """Yields the path of a folder, or of a temporary copy if it is remote."""
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
  """Yields ('a.b', value) for every leaf of nested dicts."""
  for key, value in tree.items():
    if isinstance(value, dict):
      yield from flatten(value, f"{prefix}{key}.")
    else:
      yield f"{prefix}{key}", value
