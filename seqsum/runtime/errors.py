"""What a user can mend: one line that names the value and the remedy."""

import difflib
import os
import re
import stat
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")
RETRY_HINT = (
  "mend that (room, rights) and give the same command again: it goes on"
)


class InputError(ValueError):
  """A value that came from the user and cannot be used.

  The message is one line that names the value and the remedy. `main` prints it
  without a traceback and exits with 1; in a notebook it is a `ValueError`.
  """


class ProcessLost(RuntimeError):
  """Another process of this run is gone, so no step can be taken any more."""


class NotSaved(OSError):
  """The last state of a run, or a line of its metrics, is not on the disk."""


class Unreachable(OSError):
  """Object storage does not answer; what is there is as good as it was."""


class Diverged(RuntimeError):
  """The loss became inf or nan and `config.on_nonfinite` is 'stop'."""


def choose(field: str, name: str, choices: Mapping[str, T]) -> T:
  """`choices[name]`.

  Raises:
    InputError: There is none of that name; the message lists them, the nearest
      one first.
  """
  if name in choices:
    return choices[name]
  near = difflib.get_close_matches(str(name), choices, n=1)
  hint = f"did you mean {near[0]!r}? " if near else ""
  known = ", ".join(map(repr, choices))
  raise InputError(f"{field}={name!r} is not known: {hint}choose from {known}")


def require(condition: bool, field: str, value, remedy: str) -> None:
  """Raises `InputError("field=value: remedy")` unless the condition holds."""
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
  """Raises `InputError` unless a path that exists is a regular file.

  Opening a pipe waits for a writer, and some devices have no end.

  Raises:
    InputError: It is a folder, a pipe, a socket or a device.
    OSError: There is nothing at the path.
  """
  kind = stat.S_IFMT(os.stat(path).st_mode)
  if kind != stat.S_IFREG:
    raise InputError(f"{path}: {KINDS.get(kind, 'something else')}, not a file")


def one_line(error: Exception) -> str:
  """An error in one line, however much it says."""
  words = " ".join(f"{type(error).__name__}: {error}".split())
  # TensorStore adds all that it knows, in brackets.
  words = re.sub(
    r" \[(tensorstore_spec|source locations|os_error_code|http_|curl_).*",
    "",
    words,
  )
  return words if len(words) <= 240 else f"{words[:100]} ... {words[-135:]}"
