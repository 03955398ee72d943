"""One program at a time in a folder: a lock that dies with its process.

The kernel holds it, not the file: a file that a killed run left behind locks
nothing. Object storage knows no locks, and none is taken there.
"""

import contextlib
import os
import re
import socket
import stat
from typing import TextIO

from absl import logging
from etils import epath

from seqsum.runtime import processes
from seqsum.runtime.errors import InputError
from seqsum.runtime.object_storage import is_remote

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None

NAME = ".lock"
OURS = r"process \d+ on .*\n"  # what the file says


def take(folder: epath.Path) -> contextlib.ExitStack:
  """Locks a folder until what is returned is closed, or the process ends.

  Of several processes of one run only the lead locks.

  Returns:
    A context that holds the lock, or nothing where there are no locks.

  Raises:
    InputError: Another program holds it, or its file is a stranger's (a link,
      say); so it is on all processes of a run.
  """
  holder, problem, held = "", None, contextlib.ExitStack()
  if processes.is_lead() and fcntl and not is_remote(folder):
    try:
      holder = _lock(os.fspath(folder / NAME), held)
    except InputError as error:
      problem = error
  if processes.max_over_processes(bool(holder or problem)):
    held.close()
    if problem:
      raise problem
    raise InputError(
      f"--workdir={folder} is in use by {holder or 'another program'}: wait "
      "until it has ended, or take another folder"
    )
  return held


def _lock(path: str, held: contextlib.ExitStack) -> str:
  """Locks a file until `held` is closed; returns who else holds it, or ''."""
  file = held.enter_context(_open(path))
  words = file.read(200)
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return words.strip() or "another program"
  except OSError as error:  # some network file systems
    logging.warning("%s: cannot be locked (%s)", path, error.strerror)
    return ""
  if words and not re.fullmatch(OURS, words):
    raise InputError(
      f"{path} is a file that seqsum did not write: move it away, or take "
      "another --workdir"
    )
  holder = f"process {os.getpid()} on {socket.gethostname()}\n"
  with contextlib.suppress(OSError):  # a full disk locks as well
    # Past the file's buffer, which would be written again when it is closed.
    os.truncate(file.fileno(), 0)
    os.pwrite(file.fileno(), holder.encode(), 0)
  return ""


def _open(path: str) -> TextIO:
  """Opens the file, made if it is not there, unless it is another's.

  A link, also a hard one, would have a file elsewhere overwritten; a FIFO would
  be waited for.
  """
  try:
    opened = os.open(
      path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666
    )
  except OSError as error:
    if os.path.lexists(path):
      raise _strange(path) from error
    raise
  about = os.fstat(opened)
  if not stat.S_ISREG(about.st_mode) or about.st_nlink != 1:
    os.close(opened)
    raise _strange(path)
  return open(opened, "r+", errors="replace")


def _strange(path: str) -> InputError:
  return InputError(
    f"{path} is a link, or no file that can be written: seqsum locks a folder "
    "by a file of that name; move it away, or take another --workdir"
  )
