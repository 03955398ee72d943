"""Which checkpoint to restore: the newest to resume a run, the best to test it.

A checkpoint that cannot be used is reported and skipped.
"""

from collections.abc import Iterable
from typing import Any

from absl import logging

from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.history import History, ranking, read_lines, warn_of_missing
from seqsum.runs.session import Run
from seqsum.runtime import object_storage, processes
from seqsum.runtime.errors import InputError
from seqsum.training.state import TrainState


def restore_first(
  checkpoints: Checkpoints, steps: Iterable[int], abstract_state: Any
) -> tuple[int, Any] | None:
  """Restores the first of some steps that can be used; warns of the others.

  Returns:
    The step and the tree; None if `steps` is empty.

  Raises:
    InputError: No step can be used.
    Unreachable: Object storage does not answer.
  """
  tried = []
  for step in steps:
    try:
      return step, checkpoints.restore(step, abstract_state)
    except InputError as error:
      tried.append(step)
      if processes.is_lead():
        logging.warning("%s", error)
  if not tried:
    return None
  raise InputError(
    f"none of the checkpoints in {checkpoints.folder} can be used, see above; "
    "nothing was deleted: move that folder away to train from the start"
  )


def restore_newest(
  checkpoints: Checkpoints, abstract_state: Any
) -> tuple[int, Any] | None:
  """Restores the newest checkpoint that can be used, to resume from it.

  Newer ones, and older ones of another run or step, are renamed to
  `<step>.unusable`: training reaches their step again, and Orbax would in time
  delete them.

  Returns:
    The step and the tree; None if there is no checkpoint.

  Raises:
    InputError: There are checkpoints, but none can be used.
    Unreachable: Object storage does not answer.
  """
  steps = checkpoints.steps
  restored = restore_first(checkpoints, steps, abstract_state)
  if restored is None:
    return None
  with object_storage.translate_outage(checkpoints.folder):
    unusable = [step for step in steps if step > restored[0]]
    if processes.is_lead():
      older = [step for step in steps if step < restored[0]]
      unusable += [step for step in older if not checkpoints.is_ours(step)]
    checkpoints.set_aside(unusable)
  return restored


def restore_best(
  session: Run, checkpoints: Checkpoints, history: History | None = None
) -> tuple[int, TrainState]:
  """Restores the step with the best validation, else the newest checkpoint.

  Args:
    session: The run.
    checkpoints: Its checkpoints.
    history: Lines of its metrics.jsonl; None to read them, and to warn of
      missing ones.

  Returns:
    The step and the state.

  Raises:
    InputError: There is no checkpoint, none can be used, or metrics.jsonl is
      damaged.
  """
  saved = checkpoints.steps
  if history is None:
    path = session.workdir / "metrics.jsonl"
    history = read_lines(path)
    warn_of_missing(path, history, session.schedule, max(saved, default=0))
  ranked = ranking(history, session.config.checkpoint.best)
  best = ranked[:1]  # tried, and warned of, even if its files are missing
  others = [step for step in ranked[1:] if step in saved]
  steps = dict.fromkeys([*best, *others, *saved])
  restored = restore_first(checkpoints, steps, session.abstract_state())
  if restored is None:
    raise InputError(
      f"--workdir={session.workdir} has no checkpoint yet: train first"
    )
  step, (state, _) = restored
  return step, state
