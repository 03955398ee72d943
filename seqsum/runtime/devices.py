"""Devices: one axis, `data`, over which a batch is divided.

Parameters, optimizer state and images are replicated. A device makes its own
rows of the batch from the step's key, so no batch ever crosses the host.
"""

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from seqsum.runtime.errors import InputError

DATA = "data"
REPLICATED = PartitionSpec()  # the same array on every device


def make_mesh(devices=None) -> Mesh:
  """A mesh of all devices (of all processes), or of those given."""
  return Mesh(np.asarray(jax.devices() if devices is None else devices), DATA)


def replicated(mesh: Mesh) -> NamedSharding:
  return NamedSharding(mesh, REPLICATED)


def shard_rows(mesh: Mesh, batch_size: int, field: str) -> int:
  """Rows of a batch that each device works on.

  Raises:
    InputError: The batch cannot be divided evenly.
  """
  rows, rest = divmod(batch_size, mesh.size)
  if rest or batch_size < 1:
    fits = max(1, round(batch_size / mesh.size)) * mesh.size
    raise InputError(
      f"{field}={batch_size}: cannot be divided evenly over {mesh.size} "
      f"device(s); take a positive multiple, such as {fits}"
    )
  return rows
