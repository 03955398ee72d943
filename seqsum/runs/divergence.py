"""What becomes of a run whose numbers are inf or nan.

`config.on_nonfinite` decides: 'stop' ends it at the next line of metrics.jsonl
or checkpoint, before anything lost is saved; 'skip' drops such an update inside
the step and ends the run after `MOST_SKIPPED` in a row; 'continue' looks away.
"""

from collections.abc import Callable
from typing import Any

import jax

from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.results import count_parameters
from seqsum.runs.session import Session
from seqsum.runtime import files, processes
from seqsum.runtime.errors import Diverged
from seqsum.training.metrics import MOST_SKIPPED, NEVER, Totals
from seqsum.training.state import TrainState
from seqsum.training.updates import is_finite


class Watch:
  """Looks at the numbers of a run that is going on.

  Args:
    session: The run's.
    checkpoints: Of its folder.
    seconds: How long it has been going on.
  """

  def __init__(
    self,
    session: Session,
    checkpoints: Checkpoints,
    seconds: Callable[[], float],
  ):
    self._session, self._checkpoints = session, checkpoints
    self._seconds = seconds
    self._is_finite = jax.jit(is_finite)

  def __call__(self, step: int, state: TrainState, totals: Totals) -> None:
    """Looks once.

    Args:
      step: The steps taken so far.
      state: After them.
      totals: Since the last line of metrics.jsonl.

    Raises:
      Diverged: The run ends; diverged.json says when.
    """
    mode, first = self._session.config.on_nonfinite, int(totals.nonfinite)
    if mode == "stop" and (first != NEVER or not self._is_finite(state)):
      self._end(min(first, step + 1), state)
    if mode == "skip" and totals.in_a_row >= MOST_SKIPPED:
      self._end(first, state, skipped_in_a_row=int(totals.in_a_row))

  def _end(self, step: int, state: TrainState, **more: int) -> None:
    self._checkpoints.wait()
    end = {
      "step": step,
      "checkpoint": self._checkpoints.latest_step or 0,
      "parameters": count_parameters(state.params),
      "dataset": self._session.data.name,
      "wall_seconds": self._seconds(),
    } | more
    if processes.is_lead():
      files.write_json(self._session.workdir / "diverged.json", end)
    raise Diverged(divergence_message(end))


def divergence_message(end: dict[str, Any]) -> str:
  """What diverged.json says, for a person."""
  what = f"the loss is inf or nan at step {end['step']:,}"
  if skipped := end.get("skipped_in_a_row"):
    what = (
      f"{skipped} updates in a row were inf or nan and dropped, about step "
      f"{end['step']:,}"
    )
  return (
    f"{what}; the last good checkpoint is that of step "
    f"{end['checkpoint']:,}: try a lower config.optimizer.learning_rate"
  )
