"""A run's folder: a contract that other programs read.

config.json     the resolved config; versions, devices, data
metrics.jsonl   one JSON object a line
summary.json    written last: a run without it is not finished
diverged.json   instead of it, if the loss became inf or nan
tensorboard/  checkpoints/  report/
.lock           held while a program works here
"""

import contextlib
import json
import math
import os
import platform
import tempfile
import uuid
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from etils import epath

from seqsum.bucket import reached
from seqsum.errors import InputError, Unreachable, brief

PACKAGES = (
  "seqsum",
  "jax",
  "jaxlib",
  "flax",
  "optax",
  "orbax-checkpoint",
  "tensorflow-datasets",
  "numpy",
)
# Where a machine keeps its files is not part of an experiment.
MACHINE = ("data.data_dir", "data.manual_dir")


def plain(value: Any) -> Any:
  """As JSON has it: no inf and no nan there, keys are strings."""
  if isinstance(value, dict):
    return {str(k): plain(v) for k, v in value.items()}
  if isinstance(value, list | tuple):
    return [plain(v) for v in value]
  if isinstance(value, float) and not math.isfinite(value):
    return None
  return value


def is_remote(path: epath.PathLike) -> bool:
  """Whether a path is on object storage, where one cannot lock or append."""
  return "://" in os.fspath(path)


def resolve(path: epath.PathLike) -> epath.Path:
  """A path that stays where it is when the process moves to another folder."""
  path = epath.Path(path)
  if is_remote(path):
    list_afresh()
    return path  # absolute() would make a folder named gs: on this machine
  return path.absolute()


def list_afresh() -> None:
  """Has gcsfs ask each time what a bucket holds.

  It would say what it saw there before other processes wrote. To be called
  before the first look into a bucket.
  """
  import fsspec.config  # 0.1 s that only object storage needs

  fsspec.config.conf.setdefault("gcs", {})["use_listings_cache"] = False


def write_json(path: epath.Path, value: Any) -> None:
  """Writes a file that is either not there or whole; inf and nan as null."""
  write_whole(path, json.dumps(plain(value), indent=2) + "\n")


def write_whole(path: epath.Path, content: str | bytes) -> None:
  """Replaces a file so that a reader never sees half of it.

  Raises:
    OSError: It cannot be written.
  """
  if isinstance(content, str):  # a file name may have bytes that are no UTF-8
    content = content.encode(errors="backslashreplace")
  if is_remote(path):
    try:
      path.write_bytes(content)  # an object is there once it is whole
    except Exception as error:  # clients of object storage have their own
      raise Unreachable(
        f"{os.fspath(path)} cannot be written: {brief(error)}"
      ) from error
    return
  partial = path.with_name(path.name + ".partial")
  try:
    partial.write_bytes(content)
    partial.replace(path)
  except OSError:
    with contextlib.suppress(OSError):  # a full disk needs the room
      partial.unlink()
    raise


def read_json(path: epath.Path) -> Any | None:
  """What a file holds, or None if it is not there."""
  with reached(path):
    return json.loads(path.read_text()) if path.exists() else None


@contextlib.contextmanager
def local(folder: epath.Path) -> Iterator[str]:
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


def versions() -> dict[str, str]:
  """Of Python and of the packages that decide what a run computes."""
  found = {"python": platform.python_version()}
  for name in PACKAGES:
    try:
      found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      found[name] = "not installed"
  return found


def flatten(tree: dict[str, Any], prefix: str = "") -> Iterator[tuple]:
  """('a.b', value) for every leaf of nested dicts."""
  for key, value in tree.items():
    if isinstance(value, dict):
      yield from flatten(value, f"{prefix}{key}.")
    else:
      yield f"{prefix}{key}", value


def make_folder(workdir: epath.PathLike) -> epath.Path:
  """The folder, made if need be.

  Raises:
    InputError: It cannot be written to.
  """
  folder = epath.Path(workdir)
  # Orbax 0.12 gives TensorStore's drivers for folders and gs:// alone: of s3://
  # it writes a part into a local folder of that name, and stops.
  if is_remote(folder) and not os.fspath(folder).startswith("gs://"):
    raise InputError(
      f"--workdir={workdir}: checkpoints can be kept in folders and in gs:// "
      "alone; mount that bucket as a folder"
    )
  if is_remote(folder):
    list_afresh()
  try:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".writable-{uuid.uuid4().hex}"  # each process its own
    probe.write_text("")
    probe.unlink()
  except ImportError as error:
    raise InputError(
      f"--workdir={folder}: {error}: pip install -e '.[gcs]'"
    ) from error
  except Exception as error:  # the system's, or a bucket's client's
    reason = getattr(error, "strerror", None) or brief(error)
    raise InputError(
      f"--workdir={folder}: cannot be written ({reason}); "
      "name a folder that can"
    ) from error
  return folder


def claim(
  folder: epath.Path, config: dict[str, Any], facts: dict[str, Any]
) -> None:
  """Writes config.json, or checks that the folder belongs to this run.

  Args:
    folder: The run's.
    config: The resolved config, nested.
    facts: What else is written: "dataset" must be the same too when a run goes
      on; the rest may differ, as devices do.

  Raises:
    InputError: The folder belongs to a run of another config or other data.
  """
  ours = {"config": config, **facts}
  if not is_claimed(folder, {"config": config, "dataset": facts["dataset"]}):
    write_json(folder / "config.json", ours)


def is_claimed(folder: epath.Path, ours: dict[str, Any]) -> bool:
  """Whether the folder has a config.json.

  Args:
    folder: A run's.
    ours: The parts of config.json that must be the same.

  Raises:
    InputError: They are not.
  """
  theirs = read_json(folder / "config.json")
  if theirs is None:
    return False
  mine, other = (
    dict(flatten(x)) for x in (plain(ours), {k: theirs[k] for k in ours})
  )
  differ = [
    f"{key} ({other.get(key, 'absent')!r} there, {mine.get(key, 'absent')!r} "
    "here)"
    for key in sorted(mine.keys() | other.keys())
    if mine.get(key) != other.get(key)
    and key.removeprefix("config.") not in MACHINE
  ]
  if differ:
    raise InputError(
      f"--workdir={folder} belongs to another run; take another folder, or "
      "undo what differs: " + ", ".join(differ)
    )
  return True
