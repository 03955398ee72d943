r"""Train a network on sequences of handwritten digits.

    python -m seqsum.main --config=configs/sum.py

In an installed seqsum, `seqsum --config=sum` does the same from any folder, and
`seqsum --list_configs` lists the configs.

Any field of the config can be set on the command line:

    python -m seqsum.main --config=configs/sum.py --workdir=runs/slow \
        --config.batch_size=64 --config.optimizer.learning_rate=3e-4

The run's folder gets metrics.jsonl, summary.json, checkpoints/, tensorboard/
and report/index.html. Ctrl-C saves a checkpoint, writes a report and exits; the
same command resumes the run.
"""

from seqsum.runtime import malloc, signals, streams

if __name__ == "__main__":  # before the imports that take seconds
  signals.end_on_interrupt()
  streams.reopen()
  malloc.restart_with_tunables()  # may restart Python, once

import contextlib
import json
import os
import pathlib
import sys

from absl import flags
from ml_collections import config_flags

from seqsum.runtime import cli, config_files, files, launchers

for module in (cli, launchers):
  flags.adopt_module_key_flags(module)  # lists their flags in --help
CONFIG = config_flags.DEFINE_config_file(
  "config",
  None,
  "The experiment: a file, such as configs/sum.py, or a name, such as sum.",
)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "The run's folder; by default runs/<name of the config>."
)
EVAL_ONLY = flags.DEFINE_bool(
  "eval_only", False, "Test the best checkpoint of --workdir again."
)
REPORT = flags.DEFINE_bool(
  "report", True, "Write report/: figures, and a page that shows them."
)
TRACKER = flags.DEFINE_enum(
  "tracker",
  None,
  ["mlflow", "trackio", "wandb"],
  "Also log config, metrics, figures and the final model to this tracker.",
)


def main() -> int:
  """Runs one experiment; returns the exit code."""
  if CONFIG.value is None:
    raise config_files.missing("config", "sum_tiny")
  if not (EVAL_ONLY.value or launchers.is_distributed()):
    print("loading JAX ...", flush=True)
  from seqsum import train  # takes seconds
  from seqsum.runs import console, results, trackers
  from seqsum.runtime import processes

  config_file = config_flags.get_config_filename(flags.FLAGS["config"])
  name = pathlib.Path(config_file).stem
  workdir = files.parse_path(WORKDIR.value or os.path.join("runs", name))
  trackers.check_installed(TRACKER.value)
  cli.enable_compilation_cache()
  launchers.join_processes()
  if EVAL_ONLY.value:
    with contextlib.redirect_stdout(sys.stderr):  # stdout gets only the JSON
      metrics = results.test_again(CONFIG.value, workdir)
    print(json.dumps(metrics, indent=2))
    return 0
  agree = processes.max_over_processes
  with signals.StopRequest(agree) as stop, processes.detect_lost():
    summary = train.train_and_evaluate(
      CONFIG.value, workdir, stop, report=REPORT.value, tracker=TRACKER.value
    )
  if summary is None:
    return stop.report()
  print(console.summary_text(summary, workdir))
  return 0


if __name__ == "__main__":
  cli.run(main)
