"""Several processes, on one machine or many, that train one run.

A launcher (Slurm, Kubernetes, a TPU pod, MPI) starts them, and JAX's runtime
connects them. All processes compute the same step, each on its own devices, and
make collective calls in the same order; process 0, the lead, writes and prints.

https://docs.jax.dev/en/latest/multi_process.html
"""

import contextlib
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from seqsum.runtime.errors import InputError, ProcessLost

HEARTBEAT_TIMEOUT = 60  # seconds until a silent process counts as lost
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def connect(
  coordinator_address: str | None = None,
  num_processes: int | None = None,
  process_id: int | None = None,
  coordinator_bind_address: str | None = None,
) -> None:
  """Joins the other processes; must precede any other use of JAX.

  JAX gets arguments that are None from the launcher.

  Args:
    coordinator_address: host:port of process 0.
    num_processes: Number of processes.
    process_id: Index of this process, from 0.
    coordinator_bind_address: host:port where process 0 listens; by default the
      coordinator's port on all addresses of the machine, or on loopback if the
      coordinator's address is loopback.

  Raises:
    InputError: The arguments are inconsistent, or the connection failed.
  """
  given = coordinator_address, num_processes, process_id
  if any(x is not None for x in given) and None in given:
    raise InputError(
      "--coordinator_address, --num_processes and --process_id: give all "
      "three, or none with a launcher"
    )
  if (
    num_processes is not None
    and process_id is not None
    and not 0 <= process_id < num_processes
  ):
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
      heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
    )
  except (RuntimeError, ValueError) as error:
    first = str(error).strip().partition("\n")[0]
    raise InputError(f"--distributed: {first}") from error


def is_lead() -> bool:
  """Whether this is process 0, which writes and prints."""
  return jax.process_index() == 0


@contextlib.contextmanager
def detect_lost() -> Iterator[None]:
  """A context that turns failed collectives into `ProcessLost`.

  Raises:
    ProcessLost: The devices of another process cannot be reached.
  """
  try:
    yield
  except jax.errors.JaxRuntimeError as error:
    if jax.process_count() == 1 or "RESOURCE_EXHAUSTED" in str(error):
      raise
    first = str(error).strip().partition("\n")[0]
    raise ProcessLost(
      "another process of this run is lost; restart all processes to resume "
      f"from the last checkpoint ({first})"
    ) from error


def barrier(name: str) -> None:
  """Waits until every process has called this."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


@contextlib.contextmanager
def lead_first(name: str) -> Iterator[None]:
  """A context that the lead executes before the other processes.

  Use it for files that the lead writes to a shared disk and the others read.
  """
  if not is_lead():
    barrier(name)
  try:
    yield
  finally:  # after an error too, so that the others do not wait
    if is_lead():
      barrier(name)


def max_over_processes(number: int) -> int:
  """The maximum over all processes; a collective, so the order matters."""
  if jax.process_count() == 1:
    return number
  return int(multihost_utils.process_allgather(np.int32(number)).max())
