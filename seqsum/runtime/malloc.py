"""Settings of glibc's malloc: huge pages, and memory that is kept when freed.

On a CPU, XLA allocates a step's temporary buffers (80 MB for the network of
configs/sum.py) at every step, and glibc returns them to the kernel after it.
The kernel then zeroes 25,000 pages a step, a third of the time of a step on the
machine of docs/performance.md. glibc keeps freed memory, and asks for huge
pages, only by an environment variable that it reads when a process starts.

On a GPU the buffers are on the device, and these settings cost 84 s of the
start of configs/sum.py (NVIDIA H200). They are set only where JAX will use the
CPU.

https://www.gnu.org/software/libc/manual/html_node/Memory-Allocation-Tunables.html
"""

import ctypes
import glob
import os
import platform
import sys
from collections.abc import Iterator
from importlib import util

VARIABLE = "GLIBC_TUNABLES"
TUNABLES = {
  "hugetlb": 1,  # madvise(MADV_HUGEPAGE), glibc 2.35
  "arena_max": 1,  # arenas of threads are smaller than a step's buffers
  "mmap_threshold": 1 << 30,  # bytes; larger blocks are unmapped when freed
  "trim_threshold": (1 << 31) - 1,  # bytes free at the top before trimming
  "top_pad": 1 << 27,  # bytes allocated in advance
}
SETTING = ":".join(f"glibc.malloc.{k}={v}" for k, v in TUNABLES.items())
# Part of the name of JAX's plugin -> device files of its accelerators.
DEVICES = {
  "cuda": ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg"),
  "rocm": ("/dev/kfd", "/dev/dxg"),
  "tpu": ("/dev/accel*", "/dev/vfio/[0-9]*"),
}


def is_glibc() -> bool:
  return platform.libc_ver()[0] == "glibc"


def uses_cpu() -> bool:
  """Whether JAX will use the CPU; does not import JAX.

  JAX uses an accelerator that has a device file and an installed plugin, unless
  an environment variable selects the CPU.
  """
  get = os.environ.get
  chosen = get("JAX_PLATFORM_NAME") or get("JAX_PLATFORMS") or ""
  if chosen.lower().partition(",")[0] == "cpu":
    return True
  present = {k for k, paths in DEVICES.items() if any(map(glob.glob, paths))}
  if get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
    present.discard("cuda")
  return not present or not any(
    name in plugin for plugin in _plugins() for name in present
  )


def _plugins() -> Iterator[str]:
  """Names of the installed modules that JAX asks for devices."""
  for module in ("jax_plugins", "libtpu"):
    spec = util.find_spec(module)
    if spec is not None:
      yield module
      for folder in spec.submodule_search_locations or ():
        yield from os.listdir(folder)
  from importlib import metadata  # takes 0.1 s

  for point in metadata.entry_points(group="jax_plugins"):
    yield point.value


def trim() -> None:
  """Returns freed memory to the kernel.

  After XLA has compiled a step, 200 MB are free. Takes milliseconds; the next
  step allocates its buffers again. Does nothing on a GPU or TPU.
  """
  if is_glibc() and uses_cpu():
    ctypes.CDLL(None).malloc_trim(0)


def restart_with_tunables() -> None:
  """Restarts this process with the variable set, unless it is set already.

  Call it first in a program: `exec` keeps the process id and the command line,
  and starts Python again. Does nothing if the C library is not glibc, or JAX
  will use a GPU or TPU.
  """
  if VARIABLE in os.environ or not is_glibc() or not uses_cpu():
    return
  os.environ[VARIABLE] = SETTING
  os.execv(sys.executable, sys.orig_argv)
