r"""Trains a network to fold sequences of handwritten digits.

    python -m seqsum.main --config=configs/sum.py

In an installed seqsum `seqsum --config=sum` does the same from any folder, and
`seqsum --list_configs` lists what there is.

Any field of the config can be set on the command line:

    python -m seqsum.main --config=configs/sum.py --workdir=runs/slow \
        --config.batch_size=64 --config.optimizer.learning_rate=3e-4

A run's folder holds all that it leaves: metrics.jsonl, summary.json,
checkpoints/, tensorboard/ and report/index.html. The same command goes on
where the folder's run left off. Ctrl-C saves, draws the report and stops.
"""

from seqsum.runtime import files, malloc, signals, streams

if __name__ == "__main__":  # before what takes long
  signals.end_on_interrupt()
  streams.reopen()
  malloc.restart_with_tunables()  # starts anew

import contextlib
import io
import json
import os
import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from seqsum.runtime import cli, config_files, launchers
from seqsum.runtime.signals import StopRequest

flags.adopt_module_key_flags(cli)  # they belong into --help
CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The experiment: a file, such as configs/sum.py, or a name: sum.",
)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "The run's folder; by default runs/<name of the config>."
)
EVAL_ONLY = flags.DEFINE_bool(
  "eval_only", False, "Test the best checkpoint of --workdir again."
)
REPORT = flags.DEFINE_bool(
  "report", True, "Leave a report: pictures, and a page that shows them."
)
TRACKER = flags.DEFINE_enum(
  "tracker",
  None,
  ["mlflow", "wandb"],
  "Tell this tracker too: config, metrics, pictures and the final model.",
)
DISTRIBUTED = flags.DEFINE_bool(
  "distributed",
  None,
  "Join the other processes of this run; by default, if a launcher (Slurm, "
  "Kubernetes, a TPU pod, MPI) has started several.",
)
COORDINATOR = flags.DEFINE_string(
  "coordinator_address",
  None,
  "host:port of process 0, where no launcher tells it.",
)
BIND = flags.DEFINE_string(
  "coordinator_bind_address",
  None,
  "host:port that process 0 listens at; by default all of its addresses.",
)
PROCESSES = flags.DEFINE_integer(
  "num_processes", None, "How many processes the run has."
)
PROCESS = flags.DEFINE_integer(
  "process_id", None, "Which of them this is, from 0."
)


def main() -> int:
  """Runs one experiment; returns the exit code."""
  if CONFIG.value is None:
    raise config_files.missing("config", "sum_tiny")
  if not (EVAL_ONLY.value or joins_others()):
    print("loading JAX ...", flush=True)
  from seqsum import train  # seconds
  from seqsum.runs import results, trackers
  from seqsum.runtime import processes

  name = pathlib.Path(flags.FLAGS["config"].config_filename).stem
  workdir = files.parse_path(WORKDIR.value or os.path.join("runs", name))
  trackers.check(TRACKER.value)
  cli.enable_compilation_cache()
  join_processes()
  if EVAL_ONLY.value:
    with contextlib.redirect_stdout(sys.stderr):  # stdout is for JSON alone
      found = train.test_again(CONFIG.value, workdir)
    print(json.dumps(found, indent=2))
    return 0
  stop = StopRequest(processes.max_over_processes)
  with stop, processes.detect_lost():
    summary = train.train_and_evaluate(
      CONFIG.value,
      workdir,
      stop,
      report=REPORT.value,
      tracker=TRACKER.value,
    )
  if summary is None:
    print(f"stopped by {stop.signal.name}; the same command goes on from here")
    return 128 + stop.signal  # as a shell has it: 130 or 143
  print(results.final_message(summary, workdir))
  return 0


def join_processes() -> None:
  """Joins the other processes of the run, if it has any."""
  if not joins_others():
    return
  from seqsum.runtime import processes

  others = COORDINATOR.value, PROCESSES.value, PROCESS.value
  processes.connect(*others, BIND.value)
  if not processes.is_lead():
    sys.stdout = io.StringIO()  # the lead prints for all


def joins_others() -> bool:
  """Whether this is one of several processes of a run."""
  if DISTRIBUTED.value is not None:
    return DISTRIBUTED.value
  others = COORDINATOR.value, PROCESSES.value, PROCESS.value
  return others != (None, None, None) or launchers.is_launched()


if __name__ == "__main__":
  cli.run(main)
