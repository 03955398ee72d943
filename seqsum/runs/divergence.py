"""Divergence: what a run does when its numbers become inf or nan.

`config.on_nonfinite` decides: 'stop' ends the run at the next line of
metrics.jsonl or the next checkpoint, before the state is saved; 'skip' drops
such an update inside the step, and ends the run after `MOST_SKIPPED` in a row;
'continue' does nothing.
"""

from typing import Any

import jax
from etils import epath

from seqsum.runs import run_files
from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.results import count_parameters
from seqsum.runs.run_files import read_json
from seqsum.runs.session import Session
from seqsum.runtime import files, processes
from seqsum.runtime.errors import Diverged
from seqsum.training.metrics import MOST_SKIPPED, NEVER, Totals
from seqsum.training.state import TrainState
from seqsum.training.updates import is_finite

_is_finite = jax.jit(is_finite)


def start_check(session: Session, state: TrainState) -> jax.Array | bool:
  """Starts to compute whether the numbers that `config.on_nonfinite` names are
  finite, before the next training step reuses the state's buffers.
  """
  return session.config.on_nonfinite != "stop" or _is_finite(state)


def check_finite(
  session: Session,
  checkpoints: Checkpoints,
  step: int,
  finite: jax.Array | bool,
  totals: Totals,
  seconds: float,
) -> None:
  """Ends a run that has diverged; writes diverged.json.

  Args:
    session: The run.
    checkpoints: Its checkpoints.
    step: Number of steps taken.
    finite: Of `start_check`, for the state after them.
    totals: Totals since the last training line.
    seconds: How long the run has taken.

  Raises:
    Diverged: `config.on_nonfinite` ends the run.
  """
  mode, first = session.config.on_nonfinite, int(totals.nonfinite)
  end: dict[str, Any] = {}
  if mode == "stop" and (first != NEVER or not finite):
    end = {"step": min(first, step + 1)}
  if mode == "skip" and totals.in_a_row >= MOST_SKIPPED:
    skipped = int(totals.in_a_row)
    end = {"step": step + 1 - skipped, "skipped_in_a_row": skipped}
  if not end:
    return
  checkpoints.wait()
  end |= {
    "checkpoint": checkpoints.latest_step or 0,
    "parameters": count_parameters(session.abstract_state()[0].params),
    "dataset": session.data.name,
    "wall_seconds": seconds,
  }
  if processes.is_lead():
    files.write_json(session.workdir / "diverged.json", end)
  raise Diverged(_message(end))


def find_end(folder: epath.Path) -> dict[str, Any] | None:
  """The content of summary.json; None if the run has not ended.

  Raises:
    Diverged: The run has diverged before.
  """
  if summary := read_json(folder / "summary.json", run_files.SUMMARY):
    return summary
  if end := read_json(folder / "diverged.json", run_files.DIVERGED):
    raise Diverged(_message(end))
  return None


def _message(end: dict[str, Any]) -> str:
  """The error message for the content of diverged.json."""
  problem = f"the loss is inf or nan at step {end['step']:,}"
  if skipped := end.get("skipped_in_a_row"):
    problem = (
      f"skipped {skipped} updates in a row that were inf or nan, from about "
      f"step {end['step']:,} on"
    )
  return (
    f"{problem}; the last good checkpoint is of step {end['checkpoint']:,}: "
    "try a lower config.optimizer.learning_rate"
  )
