"""Settings of glibc's malloc: huge pages, and memory that is kept when freed.

On a CPU, XLA allocates a step's temporary buffers (80 MB for the network of
configs/sum.py) at every step, and glibc returns them to the kernel after it.
The kernel then zeroes 25,000 pages a step, a third of the time of a step on the
machine of docs/performance.md. glibc keeps freed memory, and asks for huge
pages, only by an environment variable that it reads when a process starts.

https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html
"""

import ctypes
import os
import platform
import sys

VARIABLE = "GLIBC_TUNABLES"
TUNABLES = {
  "hugetlb": 1,  # madvise(MADV_HUGEPAGE), glibc 2.35
  "arena_max": 1,  # arenas of threads are smaller than a step's buffers
  "mmap_threshold": 1 << 30,  # bytes; larger blocks are unmapped when freed
  "trim_threshold": (1 << 31) - 1,  # bytes free at the top before trimming
  "top_pad": 1 << 27,  # bytes allocated in advance
}
SETTING = ":".join(f"glibc.malloc.{k}={v}" for k, v in TUNABLES.items())


def is_glibc() -> bool:
  return platform.libc_ver()[0] == "glibc"


def trim() -> None:
  """Returns freed memory to the kernel.

  After XLA has compiled a step, 200 MB are free. Takes milliseconds; the next
  step allocates its buffers again.
  """
  if is_glibc():
    ctypes.CDLL(None).malloc_trim(0)


def restart_with_tunables() -> None:
  """Restarts this process with the variable set, unless it is set already.

  Call it first in a program: `exec` keeps the process id and the command line,
  and starts Python again. Does nothing if the C library is not glibc.
  """
  if VARIABLE in os.environ or not is_glibc():
    return
  os.environ[VARIABLE] = SETTING
  os.execv(sys.executable, sys.orig_argv)
