"""Lock of a folder: one program at a time, released when its process ends.

The kernel holds the lock (`flock`), so the file that a killed run leaves behind
locks nothing. Object storage has no locks, and none is taken there.

The package filelock does not name the process that holds a lock, locks through
hard links and FIFOs, and where a file system lacks `flock` takes the existence
of a file for the lock.
"""

import contextlib
import os
import re
import socket
import stat
import sys
from typing import TextIO

from absl import logging
from etils import epath

from seqsum.runtime import processes
from seqsum.runtime.errors import InputError
from seqsum.runtime.object_storage import is_remote

if sys.platform != "win32":
  import fcntl

NAME = ".lock"
CONTENT = r"process \d+ on .*\n"


def take(folder: epath.Path) -> contextlib.ExitStack:
  """Locks a folder until the returned context is closed or the process ends.

  Only the lead process of a run locks; the others wait for it.

  Returns:
    A context that holds the lock; it is empty where there are no locks.

  Raises:
    InputError: Another program holds the lock, or the file is a link or not
      ours. Raised on all processes of a run.
  """
  holder, problem, held = "", None, contextlib.ExitStack()
  if processes.is_lead() and sys.platform != "win32" and not is_remote(folder):
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
      "until it has ended, or use another folder"
    )
  return held


def _lock(path: str, held: contextlib.ExitStack) -> str:
  """Locks a file until `held` is closed; returns its holder if it is taken."""
  file = held.enter_context(_open(path))
  content = file.read(200)
  try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return content.strip() or "another program"
  except OSError as error:  # some network file systems
    logging.warning("%s: cannot be locked (%s)", path, error.strerror)
    return ""
  if content and not re.fullmatch(CONTENT, content):
    raise InputError(
      f"{path} is a file that seqsum did not write: move it away, or use "
      "another --workdir"
    )
  holder = f"process {os.getpid()} on {socket.gethostname()}\n"
  with contextlib.suppress(OSError):  # on a full disk the lock still works
    # Not through the file's buffer, which would be flushed again on close.
    os.truncate(file.fileno(), 0)
    os.pwrite(file.fileno(), holder.encode(), 0)
  return ""


def _open(path: str) -> TextIO:
  """Opens the lock file, created if it does not exist.

  Links are refused, hard ones too, since writing would change another file. A
  FIFO is refused since reading it would block.
  """
  try:
    opened = os.open(
      path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666
    )
  except OSError as error:
    if os.path.lexists(path):
      raise _not_a_lock(path) from error
    raise
  status = os.fstat(opened)
  if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
    os.close(opened)
    raise _not_a_lock(path)
  return open(opened, "r+", errors="replace")


def _not_a_lock(path: str) -> InputError:
  return InputError(
    f"{path} is a link, or not a file that can be written: seqsum locks a "
    "folder by a file of that name; move it away, or use another --workdir"
  )
