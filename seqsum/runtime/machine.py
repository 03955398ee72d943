"""What of a machine decides the last digits of a run's numbers.

XLA splits sums over the cores that a process may use and compiles for the
machine's instruction set, so another number of cores or another processor adds
the same numbers in another order.
"""

import os
import platform
from typing import Any


def processors() -> dict[str, Any]:
  """The machine's processor and cores, as config.json has them.

  Returns:
    "processor", the model's name; "cores", how many the machine has;
    "affinity", how many of them this process may use.
  """
  cores = os.cpu_count() or 1
  affinity = cores
  if hasattr(os, "sched_getaffinity"):  # Linux
    affinity = len(os.sched_getaffinity(0))
  return {"processor": _model_name(), "cores": cores, "affinity": affinity}


def memory(device: Any) -> int | None:
  """Bytes that a JAX device has, or this machine of a CPU; None if unknown."""
  stats = device.memory_stats() or {}
  if "bytes_limit" in stats:
    return stats["bytes_limit"]
  if device.platform == "cpu" and hasattr(os, "sysconf"):
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  return None


def _model_name() -> str:
  try:
    with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
      for line in file:
        name, _, value = line.partition(":")
        if name.strip() == "model name":
          return value.strip()
  except OSError:
    pass
  return platform.processor() or platform.machine()
