r"""Train every run of a study, and compare them.

    python -m seqsum.study --study=configs/studies/loss.py

The study's folder gets results.jsonl with a line for each run, table.md, the
figures, and runs/ with a folder for each run. Finished runs are not repeated:
rerun the same command to resume. For a cluster's job array,

    python -m seqsum.study --study=configs/studies/loss.py --print_commands

prints the same runs, one command a line. Rerun the study where they were
trained to compare them.
"""

from seqsum.runtime import malloc, signals, streams

if __name__ == "__main__":  # before slow imports
  signals.end_on_interrupt()
  streams.reopen()
  malloc.restart_with_tunables()  # restarts the process

import os
import pathlib

from absl import flags

from seqsum.runtime import cli, config_files, files
from seqsum.runtime.signals import StopRequest

flags.adopt_module_key_flags(cli)  # lists them in --help
STUDY = flags.DEFINE_string(
  "study",
  None,
  "The study: a file, such as configs/studies/loss.py, or its name: loss.",
)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "The study's folder; by default studies/<name of the file>."
)
VARIANTS = flags.DEFINE_list(
  "variants",
  [],
  "Names of the variants to train, separated by commas; by default all. The "
  "table compares every run of the folder that has ended.",
)
SEEDS = flags.DEFINE_integer(
  "seeds", None, "Seeds of each variant; by default those of the study."
)
SEQUENCES = flags.DEFINE_integer(
  "sequences", None, "Training sequences of each run, in place of its config's."
)
MANUAL_DIR = flags.DEFINE_string(
  "manual_dir", "", "Folder with the four MNIST files."
)
SET = flags.DEFINE_multi_string(
  "set",
  [],
  "A field of every run's config, such as data.name=npz:mine.npz; repeatable.",
)
PRINT_COMMANDS = flags.DEFINE_bool(
  "print_commands", False, "Print each run as a command, and exit."
)


def main() -> int:
  """Runs one study; returns the exit code."""
  if STUDY.value is None:
    raise config_files.missing("study", "tiny")
  from seqsum.studies import plan, run  # import JAX, which takes seconds

  name = pathlib.Path(STUDY.value).stem
  workdir = files.parse_path(WORKDIR.value or os.path.join("studies", name))
  study = plan.load(STUDY.value)
  fields = plan.parse_fields(study.base, SET.value)
  if MANUAL_DIR.value:
    fields["data.manual_dir"] = MANUAL_DIR.value
  runs = plan.lay_out(study, workdir, SEEDS.value, SEQUENCES.value, fields)
  chosen = plan.choose_runs(study, runs, VARIANTS.value)
  if PRINT_COMMANDS.value:
    print("\n".join(plan.commands(chosen, STUDY.value)))
    return 0
  cli.enable_compilation_cache()
  with StopRequest() as stop:
    table = run.run_study(study, runs, chosen, workdir, stop)
  if table is None:
    return stop.report()
  print(f"\n{table}\nsee {workdir}")
  return 0


if __name__ == "__main__":
  cli.run(main)
