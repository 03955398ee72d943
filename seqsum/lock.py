"""One program at a time in a folder: a lock that dies with its process.

The kernel holds it, not the file: a file that a killed run left behind locks
nothing. Object storage knows no locks, and none is taken there.
"""

import contextlib
import os
import socket

from absl import logging
from etils import epath

from seqsum import cluster
from seqsum.errors import InputError
from seqsum.folder import is_remote

try:
  import fcntl
except ImportError:  # Windows
  fcntl = None

NAME = ".lock"


def take(folder: epath.Path) -> contextlib.ExitStack:
  """Locks a folder until what is returned is closed, or the process ends.

  Of several processes of one run only the lead locks.

  Returns:
    A context that holds the lock, or nothing where there are no locks.

  Raises:
    InputError: Another program holds it; so it is on all processes of a run.
  """
  holder, held = "", contextlib.ExitStack()
  if cluster.is_lead() and fcntl and not is_remote(folder):
    path = os.fspath(folder / NAME)
    file = held.enter_context(open(path, "a+"))  # noqa: SIM115 held longer
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      file.seek(0)
      holder = file.read().strip() or "another program"
    except OSError as error:  # some network file systems
      logging.warning("%s: cannot be locked (%s)", folder, error.strerror)
    else:
      with contextlib.suppress(OSError):  # a full disk locks as well
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
  if cluster.highest(bool(holder)):
    held.close()
    raise InputError(
      f"--workdir={folder} is in use by {holder or 'another program'}: wait "
      "until it has ended, or take another folder"
    )
  return held
