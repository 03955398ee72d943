"""Devices: the mesh over which a batch is divided, and facts about hardware.

The mesh has one axis, `data`. Parameters, optimizer state and images are
replicated; each device samples its own rows of the batch from the step's key.
A batch from files is replicated too, and each device takes its rows of it.
"""

import os
import platform
import re
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqsum.runtime import malloc
from seqsum.runtime.errors import InputError

DATA = "data"
REPLICATED = PartitionSpec()  # the same array on every device
DETERMINISTIC = "--xla_gpu_deterministic_ops"
PRECISION = "jax_default_matmul_precision"
# None, or of the variable JAX_DEFAULT_MATMUL_PRECISION.
DEFAULT_PRECISION = getattr(jax.config, PRECISION)


def set_numerics(deterministic: bool, matmul_precision: str) -> None:
  """Sets how devices compute.

  Args:
    deterministic: Whether a GPU must give the same bits in every process. XLA
      reads the flag when JAX first uses a device, so a later call has no effect
      on it. A flag that is already in XLA_FLAGS is kept.
    matmul_precision: 'default', 'high' or 'highest', see
      `jax_default_matmul_precision`.
  """
  jax.config.update(
    PRECISION,
    DEFAULT_PRECISION if matmul_precision == "default" else matmul_precision,
  )
  flags = os.environ.get("XLA_FLAGS", "")
  if deterministic and DETERMINISTIC not in flags and not malloc.uses_cpu():
    os.environ["XLA_FLAGS"] = f"{flags} {DETERMINISTIC}=true".lstrip()


def numerics(device: jax.Device) -> dict[str, Any]:
  """How a device computes, for config.json.

  Returns:
    "deterministic": whether the same program gives the same bits in every
    process, always true of a CPU and a TPU; "matmul_precision".
  """
  values = re.findall(
    rf"{DETERMINISTIC}(?:=(\w+))?(?:\s|$)", os.environ.get("XLA_FLAGS", "")
  )
  is_set = bool(values) and values[-1].lower() not in ("false", "0")
  return {
    "deterministic": device.platform != "gpu" or is_set,
    "matmul_precision": getattr(jax.config, PRECISION) or "default",
  }


def make_mesh(devices=None) -> Mesh:
  """A mesh of the given devices; by default all devices of all processes."""
  return Mesh(np.asarray(jax.devices() if devices is None else devices), DATA)


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, REPLICATED)


def shard_rows(mesh: Mesh, batch_size: int, field: str) -> int:
  """Number of rows of a batch on each device.

  Raises:
    InputError: The batch cannot be divided evenly.
  """
  rows, rest = divmod(batch_size, mesh.size)
  if rest or batch_size < 1:
    fits = max(1, round(batch_size / mesh.size)) * mesh.size
    raise InputError(
      f"{field}={batch_size}: cannot be divided evenly over {mesh.size} "
      f"device(s); use a positive multiple, such as {fits}"
    )
  return rows


def memory(device: jax.Device) -> int | None:
  """Bytes of memory of a device, for a CPU of this machine; None if unknown."""
  stats = device.memory_stats() or {}
  if "bytes_limit" in stats:
    return stats["bytes_limit"]
  if device.platform == "cpu" and hasattr(os, "sysconf"):
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
  return None


def processors() -> dict[str, Any]:
  """The processor and the number of cores of this machine, for config.json.

  XLA divides sums over the cores that the process may use and compiles for the
  processor's instruction set, so both decide the last digits of results.

  Returns:
    "processor", the model's name; "cores" of the machine; "affinity", the
    number of cores that this process may use.
  """
  cores = os.cpu_count() or 1
  affinity = cores
  if hasattr(os, "sched_getaffinity"):  # Linux
    affinity = len(os.sched_getaffinity(0))
  return {"processor": _model_name(), "cores": cores, "affinity": affinity}


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
