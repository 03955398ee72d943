"""The folder of a run: a contract, since other programs read it.

config.json     format of the folder; resolved config; data, devices, versions
metrics.jsonl   one JSON object a line
summary.json    written last: a run without it is not finished
diverged.json   written instead of summary.json if the loss became inf or nan
tensorboard/  checkpoints/  report/
.lock           held while a program uses the folder
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

# Incremented by each version of seqsum that cannot read the folders of the
# previous one; most releases can, so it is not the version of seqsum.
FORMAT = 2  # 1: seqsum 0.1.0, which did not write it
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
# Config fields that may change in a resumed run: where a machine has its files.
MACHINE_FIELDS = ("data.data_dir", "data.manual_dir")
# Config fields that older folders of this format lack: their runs had these.
ADDED = {
  "deterministic": True,
  "matmul_precision": "default",
  "model.conv.group_size": 0,
}
NAMES = (  # of files and folders in a run's folder or a study's
  *("config.json", "metrics.jsonl", "summary.json", "diverged.json"),
  *("measured.json", "tracker.json", "rates.json", "results.jsonl"),
  *("table.md", "tensorboard", "checkpoints", "report", "runs"),
)


def versions() -> dict[str, str]:
  """Versions of Python and of the packages that affect a run's numbers."""
  found = {"python": platform.python_version()}
  for name in PACKAGES:
    try:
      found[name] = metadata.version(name)
    except metadata.PackageNotFoundError:
      found[name] = "not installed"
  return found


def make_folder(workdir: epath.PathLike) -> epath.Path:
  """Makes the folder if it does not exist, and checks that it can be written.

  Raises:
    InputError: It cannot be written, or it has links in place of the files of
      a run.
  """
  folder = files.parse_path(workdir)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".writable-{uuid.uuid4().hex}"  # one for each process
    probe.write_text("")
    probe.unlink()
  except ImportError as error:
    raise InputError(
      f"--workdir={folder}: {error}: pip install -e '.[gcs]'"
    ) from error
  except Exception as error:  # of the system or of a storage client
    reason = getattr(error, "strerror", None) or one_line(error)
    raise InputError(
      f"--workdir={folder}: cannot be written ({reason}); "
      "name a folder that can"
    ) from error
  files.refuse_links(folder, *NAMES)
  return folder


def find_config(folder: epath.Path) -> dict[str, Any] | None:
  """Content of config.json; None if the file does not exist.

  Raises:
    InputError: The file cannot be read, or a version of seqsum wrote it whose
      folders this one cannot read.
  """
  written = run_files.read_json(folder / "config.json", run_files.CONFIG)
  if written is None:
    return None
  if written.get("format") == FORMAT:
    _add_fields(written["config"])
    return written
  by = written.get("versions")
  by = by.get("seqsum", "") if isinstance(by, Mapping) else ""
  raise InputError(
    f"{folder}: written by seqsum {by or 'of an unknown version'}, which this "
    f"version ({versions()['seqsum']}) cannot resume or load; train again in "
    "another folder, or use that version"
  )


def _add_fields(config: dict[str, Any]) -> None:
  """Adds those of `ADDED` that are missing, in place."""
  for name, value in ADDED.items():
    *sections, field = name.split(".")
    section: Any = config
    for key in sections:
      section = section.get(key) if isinstance(section, dict) else None
    if isinstance(section, dict):
      section.setdefault(field, value)


def read_config(folder: epath.PathLike) -> dict[str, Any]:
  """Content of config.json.

  Raises:
    InputError: The folder has no run, or `find_config` raises it.
  """
  folder = files.parse_path(folder)
  written = find_config(folder)
  if written is None:
    raise InputError(
      f"--workdir={folder}: no run is there (it has no config.json); name the "
      "folder that `python -m seqsum.main` was given"
    )
  return written


def write_or_check_config(
  folder: epath.Path, config: dict[str, Any], facts: dict[str, Any]
) -> None:
  """Writes config.json, or checks that an existing one is of the same run.

  Args:
    folder: The run's folder.
    config: The resolved config, nested.
    facts: More content. "dataset" must be equal in a resumed run; the rest,
      such as "devices", may differ.

  Raises:
    InputError: The folder belongs to a run of another config or other data.
  """
  if not check_config(folder, {"config": config, "dataset": facts["dataset"]}):
    content = {"format": FORMAT, "config": config, **facts}
    files.write_json(folder / "config.json", content)


def check_config(folder: epath.Path, ours: dict[str, Any]) -> bool:
  """Checks config.json, if it exists, against the current run.

  Args:
    folder: The run's folder.
    ours: The parts of config.json that must be equal.

  Returns:
    Whether config.json exists.

  Raises:
    InputError: A value differs.
  """
  theirs = find_config(folder)
  if theirs is None:
    return False
  here, there = map(_identity, (ours, {k: theirs[k] for k in ours}))
  differences = [
    f"{key} ({there.get(key, 'absent')!r} there, {here.get(key, 'absent')!r} "
    "here)"
    for key in sorted(here.keys() | there.keys())
    if here.get(key) != there.get(key)
  ]
  if differences:
    raise InputError(
      f"--workdir={folder} belongs to another run; use another folder, or "
      "undo what differs: " + ", ".join(differences)
    )
  return True


def digest(parts: dict[str, Any]) -> str:
  """SHA-256 of a run's identity; equal if `check_config` accepts the run.

  Args:
    parts: "config" and "dataset" of config.json.
  """

  def normalize(value: Any) -> Any:  # 1, 1.0 and True are equal in Python
    if isinstance(value, list):
      return [normalize(x) for x in value]
    if isinstance(value, bool | float) and value == int(value):
      return int(value)
    return value

  values = {
    k: normalize(v) for k, v in _identity(parts).items() if v is not None
  }
  text = json.dumps(values, sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def _identity(parts: dict[str, Any]) -> dict[str, Any]:
  """Dotted name -> value, without `MACHINE_FIELDS` and values of `ADDED`."""
  added = {f"config.{name}": value for name, value in ADDED.items()}
  return {
    key: value
    for key, value in files.flatten(files.to_json(parts))
    if key.removeprefix("config.") not in MACHINE_FIELDS
    and (key not in added or added[key] != value)
  }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
  """Describes what changed in devices and versions since a run began.

  Args:
    before: "devices" and "versions" of a config.json; names that it lacks are
      not compared.
    now: The same of this process.

  Returns:
    One text for each difference: its name, the value then and the value now.
  """
  found = []
  for part in ("devices", "versions"):
    then = before.get(part)
    if not isinstance(then, dict):
      continue
    then, values = dict(files.flatten(then)), dict(files.flatten(now[part]))
    found += [
      f"{part}.{name} was {then[name]!r} and is {value!r}"
      for name, value in values.items()
      if name in then and then[name] != value
    ]
  return found
