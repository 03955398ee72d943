"""Read and check the JSON files of a run's folder.

The files may be damaged or untrusted. Every fault is one `InputError` that
names the file, the fault and the remedy. No file is changed or deleted.
"""

import json
import os
import stat
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from etils import epath

from seqsum.runtime.errors import InputError
from seqsum.runtime.object_storage import is_remote, translate_outage

MAX_DEPTH = 32  # levels of nesting; the files of a run have six
REMEDIES = {
  "config.json": "restore it from a copy, or use another --workdir",
  "metrics.jsonl": "repair the file, or move it away: the run then continues "
  "without its lines",
  "summary.json": "restore it from a copy, or move it away: the same command "
  "then tests the best checkpoint again and writes a new one",
  "diverged.json": "restore it from a copy, or move it away: the same command "
  "then resumes from the newest checkpoint",
  "weights.json": "copy the folder again",
  "weights.npz": "copy the folder again",
  "model.safetensors": "copy the folder again",
  "metadata": "the checkpoint is left as it is",
}
DEFAULT_REMEDY = (
  "restore it from a copy, or move it away: it is then written again"
)


class Kind(NamedTuple):
  """A kind of JSON value.

  Attributes:
    description: Text for error messages.
    fits: Returns whether a value is of this kind.
  """

  description: str
  fits: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
  largest = sys.float_info.max  # 1e999 is read as inf
  return type(value) in (int, float) and -largest <= value <= largest


TEXT = Kind("a string", lambda x: type(x) is str)
OBJECT = Kind("an object", lambda x: type(x) is dict)
COUNT = Kind(
  "a whole number of at least 0", lambda x: type(x) is int and 0 <= x < 2**63
)
NUMBER = Kind("a number", _is_number)
METRIC = Kind(  # null is inf or nan
  "a number or null", lambda x: x is None or _is_number(x)
)
SPLIT = Kind(
  "'train', 'validation' or 'test'",
  lambda x: x in ("train", "validation", "test"),
)
# The keys of a JSON object: name -> Kind, or the Shape of a nested object.
Shape = Mapping[str, Any]

LINE: Shape = {
  "step": COUNT,
  "epoch": COUNT,
  "split": SPLIT,
  "loss": METRIC,
  "mse": METRIC,
  "mae": METRIC,
  "exact_accuracy": METRIC,
  "sequences_per_second": METRIC,
  "seconds": NUMBER,
}
CONFIG: Shape = {"config": OBJECT, "dataset": OBJECT}
SECTIONS: Shape = dict.fromkeys(  # of config.json's "config"
  ("checkpoint", "data", "model", "optimizer", "sequence", "task"), OBJECT
)
SUMMARY: Shape = {
  "test": LINE,
  "validation": Kind(
    "an object or null", lambda x: x is None or type(x) is dict
  ),
  "best_step": COUNT,
  "parameters": COUNT,
  "dataset": TEXT,
  "sequences": COUNT,
  "wall_seconds": NUMBER,
  "sequences_per_second": METRIC,
  "guess_the_mean_mse": METRIC,
  "references": OBJECT,
}
DIVERGED: Shape = {
  "step": COUNT,
  "checkpoint": COUNT,
  "parameters": COUNT,
  "dataset": TEXT,
  "wall_seconds": NUMBER,
}
MEASURED: Shape = {"measured": Kind("any value", lambda x: True)}


def read_text(path: epath.Path) -> str | None:
  """Text of a file; None if the file does not exist.

  Raises:
    InputError: The file cannot be read, is not UTF-8, or is not a regular file
      (reading a FIFO would block).
    Unreachable: Object storage does not answer.
  """
  data = read_bytes(path)
  if data is None:
    return None
  try:
    text = data.decode()
  except UnicodeDecodeError as error:
    raise _error(path, f"byte {error.start:,} is not UTF-8 text") from error
  if text.startswith("\ufeff"):
    raise _error(
      path, "begins with a byte order mark, which JSON does not allow"
    )
  return text


def read_json(
  path: epath.Path, shape: Shape | None = None
) -> dict[str, Any] | None:
  """The JSON object in a file; None if the file does not exist.

  Args:
    path: The file.
    shape: The keys that the object must have, and the kinds of their values.

  Raises:
    InputError: The file cannot be read, or its content does not fit `shape`.
    Unreachable: Object storage does not answer.
  """
  text = read_text(path)
  return None if text is None else parse(path, text, shape or {})


def read_bytes(path: epath.Path) -> bytes | None:
  """Content of a file; None if it does not exist. Raises as `read_text`."""
  if is_remote(path):
    with translate_outage(path):
      return path.read_bytes() if path.exists() else None
  # Without O_NONBLOCK, opening a FIFO blocks until another process writes.
  flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)
  opener = lambda name, _: os.open(name, flags | getattr(os, "O_BINARY", 0))
  try:
    with open(path, "rb", opener=opener) as file:
      if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        raise _error(path, "is not a regular file")
      return file.read()
  except (FileNotFoundError, NotADirectoryError):
    return None
  except OSError as error:
    raise _error(path, f"cannot be read ({error.strerror})") from error


def parse(
  path: epath.Path, text: str, shape: Shape, where: str = ""
) -> dict[str, Any]:
  """Parses a JSON object and checks its shape.

  Args:
    path: The file that it is from.
    text: The JSON.
    shape: See `read_json`.
    where: The place in the file, as a prefix for error messages.

  Raises:
    InputError: The text is not JSON, or does not fit `shape`.
  """
  try:
    value = json.loads(text, parse_constant=_refuse)
  except RecursionError as error:
    raise _error(path, f"{where}is nested too deeply") from error
  except ValueError as error:
    reason = "it is empty" if not text.strip() else error
    raise _error(path, f"{where}is not JSON: {reason}") from error
  if _is_deep(value):
    raise _error(path, f"{where}is nested too deeply")
  if type(value) is not dict:
    raise _error(
      path, f"{where}is a JSON {type(value).__name__}, not an object"
    )
  if problem := find_problem(value, shape):
    raise _error(path, where + problem)
  return value


def find_problem(value: Any, shape: Shape, name: str = "") -> str | None:
  """Describes how a JSON value differs from a shape; None if it fits.

  Args:
    value: The value.
    shape: The expected shape.
    name: The value's own name, a prefix of those of its keys.
  """
  if type(value) is not dict:
    return f"has {name}={_shorten(value)}, expected an object"
  for key, kind in shape.items():
    full = f"{name}.{key}" if name else key
    if key not in value:
      return f"has no {full!r}"
    if not isinstance(kind, Kind):
      if problem := find_problem(value[key], kind, full):
        return problem
    elif not kind.fits(value[key]):
      return f"has {full}={_shorten(value[key])}, expected {kind.description}"
  return None


def _shorten(value: Any) -> str:
  text = json.dumps(value)
  return text if len(text) <= 40 else text[:40] + "..."


def _refuse(constant: str) -> None:
  raise ValueError(f"{constant} is not a JSON value")


def _is_deep(value: Any) -> bool:
  level = [value]
  for _ in range(MAX_DEPTH):
    level = [
      child
      for parent in level
      if isinstance(parent, dict | list)
      for child in (parent.values() if isinstance(parent, dict) else parent)
    ]
    if not level:
      return False
  return True


def _error(path: epath.Path, problem: str) -> InputError:
  path = os.fspath(path)
  remedy = REMEDIES.get(os.path.basename(path), DEFAULT_REMEDY)
  return InputError(f"{path}: {problem}; {remedy}")
