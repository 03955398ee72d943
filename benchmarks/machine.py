"""Description of the machine that a measurement was made on."""

import os
import pathlib
import platform
from typing import Any

import psutil


def describe() -> dict[str, Any]:
  """Describes the machine and its load over one second, in percent."""
  return {
    "cpu": _cpu(),
    "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
    "threads": os.cpu_count(),
    "memory_gb": round(psutil.virtual_memory().total / 1e9),
    "system": platform.platform(terse=True),
    "python": platform.python_version(),
    "busy_percent": psutil.cpu_percent(1.0),
  }


def _cpu() -> str:
  info = pathlib.Path("/proc/cpuinfo")
  if not info.exists():
    return platform.processor() or platform.machine()
  facts = {}
  for line in info.read_text().splitlines():
    key, _, value = line.partition(":")
    facts.setdefault(key.strip(), value.strip())
  numbers = [
    f"{key} {facts[key]}" for key in ("cpu family", "model") if key in facts
  ]
  name = facts.get("model name", platform.machine())
  return f"{name} ({', '.join(numbers)})" if numbers else name
