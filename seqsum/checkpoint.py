"""Checkpoints of a run, by Orbax: the newest few, and the best."""

from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers


class _Best(checkpoint_managers.PreservationPolicy):
  """Keeps the step that is the best so far."""

  def __init__(self, best: Callable[[], int | None]):
    self._best = best

  def should_preserve(
    self,
    checkpoints: Sequence[checkpoint_managers.PolicyCheckpointInfo],
    *,
    context: checkpoint_managers.PreservationContext,
  ) -> Sequence[bool]:
    best = self._best()
    return [checkpoint.step == best for checkpoint in checkpoints]


class Checkpoints:
  """The folder `checkpoints/` of a run.

  Saving is asynchronous: the state is copied to the host at once and written
  behind the next steps. A save that did not end leaves no step behind.

  Args:
    folder: Local or remote path; made if it is not there.
    keep: How many of the newest are kept.
    best: Says which step is the best so far; that one is kept too. Asked
      whenever a new one is saved.
  """

  def __init__(
    self,
    folder: epath.PathLike,
    keep: int = 2,
    best: Callable[[], int | None] = lambda: None,
  ):
    policy = checkpoint_managers.AnyPreservationPolicy(
      [checkpoint_managers.LatestN(keep), _Best(best)]
    )
    self._manager = ocp.CheckpointManager(
      epath.Path(folder).absolute(),
      options=ocp.CheckpointManagerOptions(preservation_policy=policy),
    )

  @property
  def latest_step(self) -> int | None:
    return self._manager.latest_step()

  def save(self, step: int, tree: Any) -> None:
    """Begins to save a tree of arrays, unless that step is already there."""
    if self._manager.latest_step() != step:
      args = ocp.args.Composite(state=ocp.args.StandardSave(tree))
      self._manager.save(step, args=args, force=True)

  def restore(self, step: int, like: Any) -> Any:
    """Loads what was saved at `step`.

    Args:
      step: One of the saved steps.
      like: A tree of the same structure, of arrays or of
        `jax.ShapeDtypeStruct` with shardings.
    """
    self.wait()
    target = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
    args = ocp.args.Composite(state=ocp.args.StandardRestore(target))
    return self._manager.restore(step, args=args).state

  def wait(self) -> None:
    """Until all that was begun is on disk."""
    self._manager.wait_until_finished()

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def close(self) -> None:
    self._manager.close()
