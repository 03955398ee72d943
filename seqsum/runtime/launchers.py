"""Programs that start several processes as one run: Slurm, MPI, Kubernetes."""

import os
from collections.abc import Mapping

# What launchers tell the processes that they start: how many there are.
COUNTS = (
  "SLURM_STEP_NUM_TASKS",  # set by srun, not in the batch script itself
  "OMPI_COMM_WORLD_SIZE",
  "PMI_SIZE",
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
