"""A run's folder: a contract that other programs read.

config.json     the resolved config; versions, devices, data
metrics.jsonl   one JSON object a line
summary.json    written last: a run without it is not finished
diverged.json   instead of it, if the loss became inf or nan
tensorboard/  checkpoints/  report/
.lock           held while a program works here
"""

import hashlib
import json
import platform
import uuid
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from etils import epath

from seqsum.runs import run_files
from seqsum.runtime import files
from seqsum.runtime.errors import InputError, one_line

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
NAMES = (  # that seqsum writes in a run's folder, or in a study's
  *("config.json", "metrics.jsonl", "summary.json", "diverged.json"),
  *("measured.json", "tracker.json", "rates.json", "results.jsonl"),
  *("table.md", "tensorboard", "checkpoints", "report", "runs"),
)


def versions() -> dict[str, str]:
  """Of Python and of the packages that decide what a run computes."""
  found = {"python": platform.python_version()}
  for name in PACKAGES:
    try:
      found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      found[name] = "not installed"
  return found


def make_folder(workdir: epath.PathLike) -> epath.Path:
  """The folder, made if need be.

  Raises:
    InputError: It cannot be written to, or has links for the files of a run.
  """
  folder = files.parse_path(workdir)
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
    reason = getattr(error, "strerror", None) or one_line(error)
    raise InputError(
      f"--workdir={folder}: cannot be written ({reason}); "
      "name a folder that can"
    ) from error
  files.refuse_links(folder, *NAMES)
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
    files.write_json(folder / "config.json", ours)


def is_claimed(folder: epath.Path, ours: dict[str, Any]) -> bool:
  """Whether the folder has a config.json.

  Args:
    folder: A run's.
    ours: The parts of config.json that must be the same.

  Raises:
    InputError: They are not.
  """
  theirs = run_files.read_json(folder / "config.json", run_files.CONFIG)
  if theirs is None:
    return False
  mine, other = map(_decisive, (ours, {k: theirs[k] for k in ours}))
  differ = [
    f"{key} ({other.get(key, 'absent')!r} there, {mine.get(key, 'absent')!r} "
    "here)"
    for key in sorted(mine.keys() | other.keys())
    if mine.get(key) != other.get(key)
  ]
  if differ:
    raise InputError(
      f"--workdir={folder} belongs to another run; take another folder, or "
      "undo what differs: " + ", ".join(differ)
    )
  return True


def digest(parts: dict[str, Any]) -> str:
  """SHA-256 of what decides a run; equal for all that `is_claimed` accepts.

  Args:
    parts: "config" and "dataset", as config.json has them.
  """

  def same(value: Any) -> Any:  # for what Python compares as equal
    if isinstance(value, list):
      return [same(x) for x in value]
    if isinstance(value, bool | float) and value == int(value):
      return int(value)
    return value

  decisive = {k: same(v) for k, v in _decisive(parts).items() if v is not None}
  text = json.dumps(decisive, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _decisive(parts: dict[str, Any]) -> dict[str, Any]:
  """Dotted name -> value, without what may differ between machines."""
  return {
    key: value
    for key, value in files.flatten(files.to_json(parts))
    if key.removeprefix("config.") not in MACHINE
  }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """What of devices and versions is not as it was when a run began.

  Args:
    before: "devices" and "versions" of a config.json; what it lacks, because
      another version of seqsum wrote it, is not compared.
    now: The same of this process.

  Returns:
    For each difference its name, the value then and the value now.
  """
  found = []
  for part in ("devices", "versions"):
    then = before.get(part)
    if not isinstance(then, Mapping):
      continue
    then, values = dict(files.flatten(then)), dict(files.flatten(now[part]))
    found += [
      f"{part}.{name} was {then[name]!r} and is {value!r}"
      for name, value in values.items()
      if name in then and then[name] != value
    ]
  return found
