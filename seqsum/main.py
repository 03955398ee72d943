r"""Trains a network to fold sequences of handwritten digits.

    python -m seqsum.main --config=configs/sum.py

Any field of the config can be set on the command line:

    python -m seqsum.main --config=configs/sum.py --workdir=runs/slow \
        --config.batch_size=64 --config.optimizer.learning_rate=3e-4

A run's folder holds all that it leaves: metrics.jsonl, summary.json,
checkpoints/, tensorboard/ and report/index.html. The same command goes on
where the folder's run left off. Ctrl-C saves, draws the report and stops.
"""

from seqsum import allocator

if __name__ == "__main__":
  allocator.keep_memory()  # starts anew, so it comes before what takes long

import ast
import contextlib
import io
import json
import os
import pathlib
import signal
import sys
from importlib import metadata

import jax
from absl import app, flags
from ml_collections import config_flags

from seqsum import cluster, results, train
from seqsum.errors import InputError
from seqsum.stopping import StopRequest

CACHE = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")

CONFIG = config_flags.DEFINE_config_file(
  "config", None, "The experiment's file, such as configs/sum.py."
)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "The run's folder; by default runs/<name of the config>."
)
EVAL_ONLY = flags.DEFINE_bool(
  "eval_only", False, "Test the best checkpoint of --workdir again."
)
COMPILATION_CACHE = flags.DEFINE_string(
  "compilation_cache",
  os.path.join(CACHE, "seqsum"),
  "Where compiled programs are kept for the next start; '' keeps none.",
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
VERSION = flags.DEFINE_bool("version", False, "Print the version and exit.")


def main(argv: list[str]) -> int:
  """Runs one experiment; returns the exit code."""
  if len(argv) > 1:
    raise InputError(f"unexpected argument {argv[1]!r}: options begin with --")
  if VERSION.value:
    print(f"seqsum {metadata.version('seqsum')}")
    return 0
  if CONFIG.value is None:
    raise InputError("--config is missing: try --config=configs/sum_tiny.py")
  name = pathlib.Path(flags.FLAGS["config"].config_filename).stem
  workdir = WORKDIR.value or os.path.join("runs", name)
  if COMPILATION_CACHE.value:
    jax.config.update("jax_compilation_cache_dir", COMPILATION_CACHE.value)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
  others = COORDINATOR.value, PROCESSES.value, PROCESS.value
  joins = DISTRIBUTED.value
  if joins is None:
    joins = others != (None, None, None) or cluster.is_launched()
  if joins:
    cluster.connect(*others, BIND.value)
    if not cluster.is_lead():
      sys.stdout = io.StringIO()  # what the lead says is said
  if EVAL_ONLY.value:
    print(json.dumps(train.test_again(CONFIG.value, workdir), indent=2))
    return 0
  with StopRequest(cluster.highest) as stop:
    summary = train.train_and_evaluate(CONFIG.value, workdir, stop)
  if summary is None:
    print(f"stopped by {stop.signal.name}; the same command goes on from here")
    return 128 + stop.signal  # as a shell has it: 130 or 143
  print(results.last_words(summary, workdir))
  return 0


def parse_flags(argv: list[str]) -> list[str]:
  """absl's parser, except that every mistake is one line."""
  for arg in argv:
    name, _, path = arg.lstrip("-").partition("=")
    if arg.startswith("-") and name == "config" and not os.path.isfile(path):
      raise InputError(f"--config={path}: there is no such file")
  try:
    rest = flags.FLAGS(argv)
    if flags.FLAGS["verbosity"].using_default_value:
      flags.FLAGS.verbosity = -1  # warnings; app.run would make it 0
    return rest
  except (AttributeError, KeyError) as error:
    words = str(error)
    with contextlib.suppress(SyntaxError, ValueError):
      while True:  # a KeyError's words are the repr of a repr
        words = ast.literal_eval(words)
    words = " ".join(words.split())
    raise InputError(f"unknown config field {words}") from error
  except (flags.Error, OSError, SyntaxError, ValueError) as error:
    raise InputError(" ".join(str(error).split())) from error


def run() -> None:
  """What `python -m seqsum.main` does."""
  try:
    app.run(main, flags_parser=parse_flags)
  except (InputError, train.Diverged) as error:
    sys.exit(f"seqsum: {error}")
  except KeyboardInterrupt:  # a second Ctrl-C: at once
    sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
  run()
