"""Train the runs of a study one after the other, and compare them."""

from collections.abc import Sequence

import jax
from etils import epath

from seqsum import train
from seqsum.runs import folder, run_files
from seqsum.runs.dataset import load_data
from seqsum.runs.restore import restore_best
from seqsum.runs.session import open_session
from seqsum.runtime import files, lock
from seqsum.runtime.errors import Diverged
from seqsum.runtime.progress import ProgressBar
from seqsum.runtime.signals import StopRequest
from seqsum.studies import comparison, throughput
from seqsum.studies.charts import Line
from seqsum.studies.plan import Run, Study


def run_study(
  study: Study,
  runs: Sequence[Run],
  chosen: Sequence[Run],
  workdir: epath.Path,
  stop: StopRequest,
) -> str | None:
  """Trains and measures the chosen runs, and compares all that ended.

  Finished runs are not trained again.

  Args:
    runs: All of its runs, from `plan.lay_out`.
    chosen: Those to train, from `plan.choose_runs`.
    workdir: The study's folder.
    stop: Asks the study to end early.

  Returns:
    The table; None if the study was stopped. The same call then resumes it.

  Raises:
    InputError: Data or a folder cannot be used.
  """
  # Check the data before a folder is made.
  missing = [run.config for run in chosen if not comparison.collect(run)]
  for config in {str(config.data): config for config in missing}.values():
    load_data(config)
  workdir = folder.make_folder(workdir)
  sequences = sum(run.sequences for run in chosen)
  options = {"unit_scale": True, "smoothing": 0.02}
  with (
    lock.take(workdir),
    ProgressBar(sequences, "sequences", **options) as bar,
  ):
    for run in runs:
      _measure(study, run)  # also ended runs that are not chosen
    for n, run in enumerate(chosen, start=1):
      if comparison.collect(run):
        bar.skip(run.sequences)
      else:
        bar.describe(run.name)
        try:
          summary = train.train_and_evaluate(
            run.config, run.folder, stop, report=False, bar=bar
          )
          if summary is None:
            return None
        except Diverged:
          pass  # a result, recorded in diverged.json
      _measure(study, run)
      if line := comparison.collect(run):
        result = comparison.describe(line)
        bar.print(f"{n} of {len(chosen)}, {run.name}: {result}")
      table = _compare(study, runs, workdir)
      jax.clear_caches()  # of programs that no other run needs
    is_whole = len(chosen) == len(runs)
    if study.timed and is_whole and not (workdir / comparison.RATES).exists():
      good = [
        run
        for run in runs
        if (line := comparison.collect(run)) and line["status"] == "finished"
      ]
      files.write_json(workdir / comparison.RATES, throughput.measure(good))
      table = _compare(study, runs, workdir)
  return table


def _measure(study: Study, run: Run) -> None:
  """Writes measured.json into the folder of a finished run.

  A measurement by another function, or with other arguments, is repeated.
  """
  path = run.folder / "measured.json"
  is_finished = (run.folder / "summary.json").exists()
  if study.measure is None or not is_finished:
    return
  before = run_files.read_json(path, run_files.MEASURED) or {}
  if before.get("by") == study.measured_by:
    return
  with open_session(run.config, run.folder) as session:
    with session.checkpoints() as checkpoints:
      _, state = restore_best(session, checkpoints)
    measured = study.measure(session, state.evaluated)
    files.write_json(path, {"by": study.measured_by, "measured": measured})


def _compare(study: Study, runs: Sequence[Run], workdir: epath.Path) -> str:
  collected = map(comparison.collect, runs)
  lines = [line for line in collected if line and _is_complete(study, line)]
  return comparison.write(study, lines, len(runs), workdir)


def _is_complete(study: Study, line: Line) -> bool:
  """Whether a run that ended was also measured, as the study asks."""
  diverged = line["status"] == "diverged"
  return diverged or line["measured_by"] == study.measured_by
