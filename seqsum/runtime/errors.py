"""Errors that a user can fix: one line with the value and the remedy."""

import difflib
import os
import re
import stat
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")
RETRY_HINT = (
  "fix that (free space, permissions) and rerun the same command to resume"
)


class InputError(ValueError):
  """A value from the user that cannot be used.

  The message is one line with the value and the remedy. Commands print it
  without a traceback and exit with 1.
  """


class ProcessLost(RuntimeError):
  """Another process of this run ended, so no further step is possible."""


class NotSaved(OSError):
  """The last state of a run, or a line of its metrics, could not be written."""


class Unreachable(OSError):
  """Object storage does not answer; the data in it is not damaged."""


class Diverged(RuntimeError):
  """The loss became inf or nan, with `config.on_nonfinite` 'stop'."""


def choose(field: str, name: str, choices: Mapping[str, T]) -> T:
  """Returns `choices[name]`.

  Raises:
    InputError: The name is unknown; the message lists all names and suggests
      the nearest.
  """
  if name in choices:
    return choices[name]
  near = difflib.get_close_matches(str(name), choices, n=1)
  hint = f"did you mean {near[0]!r}? " if near else ""
  known = ", ".join(map(repr, choices))
  raise InputError(f"{field}={name!r} is not known: {hint}choose from {known}")


def require(condition: bool, field: str, value: object, remedy: str) -> None:
  """Raises `InputError("field=value: remedy")` unless the condition is true."""
  if not condition:
    raise InputError(f"{field}={value!r}: {remedy}")


KINDS = {
  stat.S_IFDIR: "a folder",
  stat.S_IFIFO: "a pipe",
  stat.S_IFSOCK: "a socket",
  stat.S_IFCHR: "a device",
  stat.S_IFBLK: "a device",
}


def require_file(path: str | os.PathLike) -> None:
  """Checks that a path is a regular file.

  Opening a pipe waits for a writer, and some devices have no end.

  Raises:
    InputError: The path is a folder, a pipe, a socket or a device.
    OSError: The path does not exist.
  """
  kind = stat.S_IFMT(os.stat(path).st_mode)
  if kind != stat.S_IFREG:
    raise InputError(f"{path}: {KINDS.get(kind, 'something else')}, not a file")


def one_line(error: Exception) -> str:
  """The type and message of an error, in one line of at most 240 characters."""
  words = " ".join(f"{type(error).__name__}: {error}".split())
  # TensorStore appends its own context, in brackets.
  words = re.sub(
    r" \[(tensorstore_spec|source locations|os_error_code|http_|curl_).*",
    "",
    words,
  )
  return words if len(words) <= 240 else f"{words[:100]} ... {words[-135:]}"
