r"""Trains every run of a study, and sets them side by side.

    python -m seqsum.study --study=configs/studies/loss.py

The study's folder holds results.jsonl, a line a run; table.md; the figures; and
runs/, each run's own folder. Runs that are finished are not made again: the
same command goes on where it was stopped. For a cluster's job array,

    python -m seqsum.study --study=configs/studies/loss.py --print_commands

prints the same runs, a command a line; run where they have been made, the study
only sets them side by side.
"""

from __future__ import annotations

from seqsum.runtime import files, malloc, signals, streams

if __name__ == "__main__":  # before what takes long
  signals.end_on_interrupt()
  streams.reopen()
  malloc.restart_with_tunables()  # starts anew

import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from absl import flags
from etils import epath

from seqsum.runs import folder
from seqsum.runtime import cli, config_files
from seqsum.runtime.errors import Diverged
from seqsum.runtime.progress import ProgressBar
from seqsum.runtime.signals import StopRequest

if TYPE_CHECKING:
  from seqsum.studies.charts import Line
  from seqsum.studies.plan import Run, Study

flags.adopt_module_key_flags(cli)  # they belong into --help
STUDY = flags.DEFINE_string(
  "study",
  None,
  "The study: a file, such as configs/studies/loss.py, or its name: loss.",
)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "The study's folder; by default studies/<name of the file>."
)
SEEDS = flags.DEFINE_integer(
  "seeds", None, "Seeds of each variant, in place of what the study says."
)
SEQUENCES = flags.DEFINE_integer(
  "sequences", None, "To train each run on, in place of what the configs say."
)
MANUAL_DIR = flags.DEFINE_string(
  "manual_dir", "", "A folder that has the four MNIST files."
)
PRINT_COMMANDS = flags.DEFINE_bool(
  "print_commands", False, "Print each run as a command, and exit."
)


def run_study(
  study: Study, runs: Sequence[Run], workdir: epath.Path, stop: StopRequest
) -> str | None:
  """Trains what is not trained, measures what is not measured.

  Args:
    study: What is asked.
    runs: All of its runs, as `plan.lay_out` gives them.
    workdir: The study's folder.
    stop: True once somebody wants the study to end early.

  Returns:
    The table; None if the study was asked to stop.

  Raises:
    InputError: Data or a folder cannot be used.
  """
  import jax

  from seqsum import train
  from seqsum.runs.dataset import load_data
  from seqsum.runtime import lock
  from seqsum.studies import comparison

  # Data that cannot be had is found out before a folder is made.
  missing = [run.config for run in runs if not comparison.collect(run)]
  for config in {str(config.data): config for config in missing}.values():
    load_data(config)
  workdir = folder.make_folder(workdir)
  held = lock.take(workdir)
  bar = ProgressBar(
    sum(run.sequences for run in runs),
    "sequences",
    unit_scale=True,
    smoothing=0.02,
  )
  collect = lambda: [
    line
    for run in runs
    if (line := comparison.collect(run)) and _is_measured(study, line)
  ]
  try:
    for n, run in enumerate(runs, start=1):
      if comparison.collect(run):
        bar.skip(run.sequences)
      else:
        bar.describe(run.name)
        try:
          if (
            train.train_and_evaluate(
              run.config,
              run.folder,
              stop,
              report=False,
              bar=bar,
            )
            is None
          ):
            return None
        except Diverged:
          pass  # a result: diverged.json says when
      _measure(study, run)
      line = comparison.collect(run)
      bar.print(f"{n} of {len(runs)}, {run.name}: {comparison.say(line)}")
      table = comparison.write(study, collect(), runs, workdir)
      jax.clear_caches()  # of programs that no other run needs
    if study.timed and not (workdir / comparison.RATES).exists():
      files.write_json(workdir / comparison.RATES, _rates(runs))
      table = comparison.write(study, collect(), runs, workdir)
  finally:
    bar.close()
    held.close()
  return table


def _rates(runs: Sequence[Run]) -> dict[str, float]:
  """Sequences a second of each variant that did not diverge."""
  from seqsum.studies import comparison, throughput

  good = [x for x in runs if comparison.collect(x)["status"] == "finished"]
  return throughput.measure(good)


def _is_measured(study: Study, line: Line) -> bool:
  """False of a run that ended, and was cut off before it was measured."""
  diverged = line["status"] == "diverged"
  return diverged or study.measure is None or line["measured"] is not None


def _measure(study: Study, run: Run) -> None:
  """Leaves measured.json in the folder of a run that finished."""
  path = run.folder / "measured.json"
  finished = (run.folder / "summary.json").exists()
  if study.measure is None or path.exists() or not finished:
    return
  from seqsum.runs.restore import restore_best
  from seqsum.runs.session import open_session

  with open_session(run.config, run.folder) as session:
    with session.checkpoints() as checkpoints:
      _, state = restore_best(session, checkpoints)
    measured = study.measure(session, state.evaluated)
    files.write_json(path, {"measured": measured})


def main() -> int:
  """Runs one study; returns the exit code."""
  if STUDY.value is None:
    raise config_files.missing("study", "tiny")
  from seqsum.studies import plan  # seconds

  name = pathlib.Path(STUDY.value).stem
  workdir = files.parse_path(WORKDIR.value or os.path.join("studies", name))
  study = plan.load(STUDY.value)
  runs = plan.lay_out(
    study, workdir, SEEDS.value, SEQUENCES.value, MANUAL_DIR.value
  )
  if PRINT_COMMANDS.value:
    print("\n".join(plan.commands(runs, STUDY.value)))
    return 0
  cli.enable_compilation_cache()
  with StopRequest() as stop:
    table = run_study(study, runs, workdir, stop)
  if table is None:
    print(f"stopped by {stop.signal.name}; the same command goes on from here")
    return 128 + stop.signal
  print(f"\n{table}\nsee {workdir}")
  return 0


if __name__ == "__main__":
  cli.run(main)
