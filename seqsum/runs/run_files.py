"""Read the files of a run's folder, which may be damaged or a stranger's.

Whatever is wrong with a file is one `InputError` that names the file and what
to do about it. No file is changed or deleted.
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

DEEPEST = 32  # levels of nesting; the files of a run have six
REMEDIES = {
  "config.json": "restore it from a copy, or take another --workdir",
  "metrics.jsonl": "mend the file, or move it away: the run then goes on "
  "without its lines",
  "summary.json": "restore it from a copy, or move it away: the same command "
  "then tests the best checkpoint again and writes it anew",
  "diverged.json": "restore it from a copy, or move it away: the same command "
  "then goes on from the newest checkpoint",
  "weights.json": "copy the folder again",
  "weights.npz": "copy the folder again",
  "metadata": "the checkpoint is left alone",
}
MOVE = "restore it from a copy, or move it away: it is then made again"


class Kind(NamedTuple):
  """A kind of JSON value.

  Attributes:
    words: Its description, for an error message.
    fits: Whether a value is of this kind.
  """

  words: str
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
METRIC = Kind(  # null stands for inf and nan
  "a number or null", lambda x: x is None or _is_number(x)
)
SPLIT = Kind(
  "'train', 'validation' or 'test'",
  lambda x: x in ("train", "validation", "test"),
)
Shape = Mapping[str, Any]  # name -> Kind, or the Shape of a nested object

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
  """Text of a file, or None if it is not there.

  Raises:
    InputError: It is no regular file (a FIFO would be waited for), cannot be
      read or is not UTF-8.
    Unreachable: It is in a bucket that does not answer.
  """
  data = read_bytes(path)
  if data is None:
    return None
  try:
    text = data.decode()
  except UnicodeDecodeError as error:
    raise _error(path, f"byte {error.start:,} is not UTF-8 text") from error
  if text.startswith("\ufeff"):
    raise _error(path, "begins with a byte order mark, which JSON has not")
  return text


def read_json(
  path: epath.Path, shape: Shape | None = None
) -> dict[str, Any] | None:
  """The JSON object in a file, or None if the file is not there.

  Args:
    path: The file.
    shape: The keys that it must have, and the kinds of their values.

  Raises:
    InputError: The file cannot be read, or has no such object.
    Unreachable: It is in a bucket that does not answer.
  """
  text = read_text(path)
  return None if text is None else _parse(path, text, shape or {})


def read_lines(path: epath.Path) -> list[dict[str, Any]]:
  """The whole lines of a metrics.jsonl; [] if it is not there.

  A last line without a newline was cut off while it was written: it is left
  out.

  Raises:
    InputError: The file cannot be read, or a line is not as `LINE` has it.
    Unreachable: It is in a bucket that does not answer.
  """
  *lines, _ = (read_text(path) or "").split("\n")
  return [
    _parse(path, line, LINE, f"line {n:,} ") for n, line in enumerate(lines, 1)
  ]


def read_bytes(path: epath.Path) -> bytes | None:
  """Content of a file, or None if it is not there; raises as `read_text`."""
  if is_remote(path):
    with translate_outage(path):
      return path.read_bytes() if path.exists() else None
  # Without O_NONBLOCK, opening a FIFO waits until somebody writes to it.
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


def _parse(
  path: epath.Path, text: str, shape: Shape, where: str = ""
) -> dict[str, Any]:
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
  """What of a JSON value is not as a shape has it; None if all is.

  Args:
    value: The value.
    shape: The shape of an object.
    name: What the value is called.
  """
  if type(value) is not dict:
    return f"has {name}={_brief(value)}, expected an object"
  for key, kind in shape.items():
    full = f"{name}.{key}" if name else key
    if key not in value:
      return f"has no {full!r}"
    if not isinstance(kind, Kind):
      if problem := find_problem(value[key], kind, full):
        return problem
    elif not kind.fits(value[key]):
      return f"has {full}={_brief(value[key])}, expected {kind.words}"
  return None


def _brief(value: Any) -> str:
  words = json.dumps(value)
  return words if len(words) <= 40 else words[:40] + "..."


def _refuse(constant: str) -> None:
  raise ValueError(f"{constant} is no JSON value")


def _is_deep(value: Any) -> bool:
  level = [value]
  for _ in range(DEEPEST):
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
  remedy = REMEDIES.get(os.path.basename(path), MOVE)
  return InputError(f"{path}: {problem}; {remedy}")
