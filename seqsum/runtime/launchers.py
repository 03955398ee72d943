"""Runs of several processes: their flags, and the launchers that start them.

Launchers are Slurm, MPI, Kubernetes and TPU pods. This file does not import
JAX, so that flags are checked before it is loaded.
"""

import io
import os
import sys
from collections.abc import Mapping

from absl import flags

# Variables in which launchers set the number of processes.
COUNTS = (
  "SLURM_STEP_NUM_TASKS",  # set by srun, not in the batch script itself
  "OMPI_COMM_WORLD_SIZE",
  "PMI_SIZE",
)
DISTRIBUTED = flags.DEFINE_bool(
  "distributed",
  None,
  "Whether to join the other processes of a run; by default, if a launcher "
  "(Slurm, Kubernetes, a TPU pod, MPI) started several.",
)
COORDINATOR = flags.DEFINE_string(
  "coordinator_address",
  None,
  "host:port of process 0; not needed with a launcher.",
)
BIND = flags.DEFINE_string(
  "coordinator_bind_address",
  None,
  "host:port where process 0 listens; by default all of its addresses.",
)
PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "Number of processes; not needed with a launcher."
)
PROCESS = flags.DEFINE_integer(
  "process_id", None, "Index of this process; not needed with a launcher."
)


def is_launched(environ: Mapping[str, str] = os.environ) -> bool:
  """Whether a launcher has started this process as one of several."""
  if any(int(environ.get(name, 1)) > 1 for name in COUNTS):
    return True
  if "," in environ.get("TPU_WORKER_HOSTNAMES", ""):
    return True  # one host of a TPU pod
  # An indexed job of Kubernetes; a Job of one pod has the index too.
  indexed = "KUBERNETES_SERVICE_HOST" in environ
  return indexed and int(environ.get("JOB_COMPLETION_COUNT", 1)) > 1


def is_distributed() -> bool:
  """Whether this is one of several processes, by flags or by a launcher."""
  if DISTRIBUTED.value is not None:
    return DISTRIBUTED.value
  others = COORDINATOR.value, PROCESSES.value, PROCESS.value
  return others != (None, None, None) or is_launched()


def join_processes() -> None:
  """Joins the other processes of the run; only the lead keeps its stdout."""
  if not is_distributed():
    return
  from seqsum.runtime import processes  # imports JAX

  others = COORDINATOR.value, PROCESSES.value, PROCESS.value
  processes.connect(*others, BIND.value)
  if not processes.is_lead():
    sys.stdout = io.StringIO()
