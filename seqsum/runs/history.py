"""The lines of metrics.jsonl: read, ranked by validation, checked for gaps."""

from collections.abc import Sequence
from typing import Any

from absl import logging
from etils import epath

from seqsum.runs import run_files
from seqsum.runtime import processes
from seqsum.training.experiment import Schedule

History = Sequence[dict[str, Any]]  # lines of a metrics.jsonl


def read_lines(path: epath.Path) -> list[dict[str, Any]]:
  """The complete lines of a metrics.jsonl; [] if the file does not exist.

  A last line without a newline was interrupted while it was written, and is
  ignored.

  Raises:
    InputError: The file cannot be read, or a line does not fit
      `run_files.LINE`.
    Unreachable: Object storage does not answer.
  """
  *lines, _ = (run_files.read_text(path) or "").split("\n")
  return [
    run_files.parse(path, line, run_files.LINE, f"line {n:,} ")
    for n, line in enumerate(lines, 1)
  ]


def ranking(history: History, metric: str = "mse") -> list[int]:
  """The validated steps, best first.

  Args:
    history: Lines of a metrics.jsonl.
    metric: A metric, of which lower values are better and the first of equal
      values is best; or 'last', which ranks later steps higher. Steps whose
      metric (for 'last', mse) is not finite are left out.
  """
  is_last = metric == "last"
  scores = {
    line["step"]: line["mse" if is_last else metric]
    for line in history
    if line["split"] == "validation"
  }
  finite = [step for step, score in scores.items() if score is not None]
  if is_last:
    return sorted(finite, reverse=True)
  return sorted(finite, key=lambda step: scores[step])


def best_step(history: History, metric: str = "mse") -> int | None:
  """The first step of `ranking`; None if no step was validated."""
  return next(iter(ranking(history, metric)), None)


def is_validated(history: History, step: int) -> bool:
  """Whether the history has the validation line of a step."""
  return any(
    line["split"] == "validation" and line["step"] == step for line in history
  )


def missing_steps(
  history: History, schedule: Schedule, step: int
) -> dict[str, list[int]]:
  """Steps before a checkpoint whose lines metrics.jsonl lacks.

  The validation line of the checkpoint's own step is not required: it is
  written after the checkpoint.

  Args:
    history: Lines of a metrics.jsonl.
    schedule: The run's schedule.
    step: The step of the checkpoint.

  Returns:
    "train" and "validation" -> ascending steps.
  """
  found = {(line["split"], line["step"]) for line in history}
  missing: dict[str, list[int]] = {"train": [], "validation": []}
  at = 0
  while at < step:
    at = schedule.next_event(at)
    due = {
      "train": at <= step and schedule.is_log(at),
      "validation": at < step and schedule.is_epoch_end(at),
    }
    for split, is_due in due.items():
      if is_due and (split, at) not in found:
        missing[split].append(at)
  return missing


def warn_of_missing(
  path: epath.Path, history: History, schedule: Schedule, step: int
) -> None:
  """Warns of the lines that metrics.jsonl lacks; see `missing_steps`."""
  missing = missing_steps(history, schedule, step)
  words = [
    f"{split} at step {_enumerate(steps)}"
    for split, steps in missing.items()
    if steps
  ]
  if words and processes.is_lead():
    logging.warning(
      "%s lacks lines that existed when the checkpoint of step %s was saved: "
      "%s; they are left out of the curves and of the choice of the best step",
      path,
      f"{step:,}",
      ", ".join(words),
    )


def _enumerate(steps: Sequence[int]) -> str:
  words = [f"{step:,}" for step in steps]
  if len(words) > 8:
    words = [*words[:4], f"... ({len(words)} in all)", words[-1]]
  return " ".join(words)
