"""Processes, on one machine or on many, that are one run.

JAX's own runtime connects them; a launcher (Slurm, Kubernetes, a TPU pod, MPI)
starts them. All processes compute the same step, each on its own devices, and
take the same turns; process 0, the lead, is the one that writes and speaks.

https://docs.jax.dev/en/latest/multi_process.html
"""

import contextlib
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from seqsum.runtime.errors import InputError, ProcessLost

HEARTBEAT = 60  # seconds without a sign of life before a process counts as lost
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def connect(
  coordinator_address: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  coordinator_bind_address: str | None = None,
) -> None:
  """Joins the other processes; before anything else is asked of JAX.

  What is None, JAX finds out from the launcher.

  Args:
    coordinator_address: host:port of process 0.
    num_processes: How many there are.
    process_id: Which this one is, from 0.
    coordinator_bind_address: host:port that process 0 listens at; by default
      the coordinator's port at all of the machine's addresses, or at loopback
      if that is where the coordinator is said to be.

  Raises:
    InputError: The processes cannot be found or do not find each other.
  """
  given = coordinator_address, num_processes, process_id
  if any(x is not None for x in given) and None in given:
    raise InputError(
      "--coordinator_address, --num_processes and --process_id belong "
      "together: give all three, or none where a launcher tells them"
    )
  if num_processes is not None and not 0 <= process_id < num_processes:
    raise InputError(
      f"--process_id={process_id}: must be at least 0 and below "
      f"--num_processes={num_processes}"
    )
  host = (coordinator_address or "").rpartition(":")[0]
  if host in LOOPBACK:
    coordinator_bind_address = coordinator_bind_address or coordinator_address
  try:
    jax.distributed.initialize(
      *given,
      coordinator_bind_address=coordinator_bind_address,
      heartbeat_timeout_seconds=HEARTBEAT,
    )
  except (RuntimeError, ValueError) as error:
    first = str(error).strip().partition("\n")[0]
    raise InputError(f"--distributed: {first}") from error


def is_lead() -> bool:
  """Whether this is the process that writes and speaks."""
  return jax.process_index() == 0


@contextlib.contextmanager
def detect_lost() -> Iterator[None]:
  """Within, a process that is lost is told from what else may fail.

  Raises:
    ProcessLost: A device could not reach those of another process.
  """
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if jax.process_count() == 1 or "RESOURCE_EXHAUSTED" in str(error):
      raise
    first = str(error).strip().partition("\n")[0]
    raise ProcessLost(
      "another process of this run is lost; start all of them again, and they "
      f"go on from the last checkpoint ({first})"
    ) from error


def barrier(name: str) -> None:
  """Waits until every process has come here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def lead_first(name: str) -> Iterator[None]:
  """The lead goes through the block before the others do.

  For what the first one leaves on a shared disk for the rest to find.
  """
  if not is_lead():
    barrier(name)
  try:
    yield
  finally:  # also if it fails: the others then fail by themselves
    if is_lead():
      barrier(name)


def max_over_processes(number: int) -> int:
  """The highest of what all processes say; they must ask in the same order."""
  if jax.process_count() == 1:
    return number
  return int(multihost_utils.process_allgather(np.int32(number)).max())
