"""How the C library hands out memory: in huge pages, and for good.

XLA on a CPU asks for a step's temporary buffers, some 80 MB for the post's
network, at every step, and glibc gives them back to the kernel at its end. The
kernel then fills 25,000 pages with zeros a step, a third of a step's time on
the machine of docs/performance.md. glibc can be told to keep the memory, and to
ask for huge pages, but only by an environment variable that it reads when a
process starts.

https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html
"""

import ctypes
import os
import platform
import sys

VARIABLE = "GLIBC_TUNABLES"
TUNABLES = {
  "hugetlb": 1,  # madvise(MADV_HUGEPAGE), glibc 2.35
  "arena_max": 1,  # arenas of threads are too small for a step's buffers
  "mmap_threshold": 1 << 30,  # bytes; a block above it goes back when freed
  "trim_threshold": (1 << 31) - 1,  # bytes free at the top before trimming
  "top_pad": 1 << 27,  # bytes asked for in advance
}
SETTING = ":".join(f"glibc.malloc.{k}={v}" for k, v in TUNABLES.items())


def is_glibc() -> bool:
  return platform.libc_ver()[0] == "glibc"


def trim() -> None:
  """Returns to the kernel what compilers and pictures have left unused.

  Kept memory is not returned by itself: after XLA has compiled a step there are
  200 MB of it. Takes milliseconds; the next step asks for its buffers again.
  """
  if is_glibc():
    ctypes.CDLL(None).malloc_trim(0)


def restart_with_tunables() -> None:
  """Starts this process anew with the variable set, unless it is already.

  Does nothing where the C library is another. Must come before anything that
  takes long; the process keeps its number and its command line.
  """
  if VARIABLE in os.environ or not is_glibc():
    return
  os.environ[VARIABLE] = SETTING
  os.execv(sys.executable, sys.orig_argv)
