"""Checkpoints of a run, by Orbax: the newest few, and the best.

Nothing is restored that is not what was saved (see `contents`), and nothing is
deleted that cannot be read.
"""

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from orbax.checkpoint import checkpoint_managers

from seqsum import bucket, cluster, contents
from seqsum.errors import InputError, NotSaved, Unreachable, brief
from seqsum.folder import is_remote, resolve

COMMITTED = "commit_success.txt"
ASIDE = ".unusable"  # after the number of a step: no step to Orbax, or to us


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
  behind the next steps. A save that did not end leaves no step behind. One that
  failed, on a full disk say or because a bucket does not answer, is a warning;
  the next one tries again.

  All processes of a run must make the same calls.

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
    self._folder = resolve(folder)
    self._policy = checkpoint_managers.AnyPreservationPolicy(
      [checkpoint_managers.LatestN(keep), _Best(best)]
    )
    self._pending: int | None = None  # the step that is being written
    self._problem: NotSaved | None = None  # of the last save
    self._failed: set[int] = set()
    self._latest: int | None = None  # known, while there is no manager
    bucket.limit_retries()
    with bucket.reached(self._folder):
      self._manager: ocp.CheckpointManager | None = self._open()

  def _open(self, cleanup: bool = False) -> ocp.CheckpointManager:
    together = is_remote(self._folder) and jax.process_count() > 1
    options = ocp.CheckpointManagerOptions(
      preservation_policy=self._policy,
      cleanup_tmp_directories=cleanup,
      async_options=ocp.options.AsyncOptions(timeout_secs=bucket.TOGETHER)
      if together
      else None,
    )
    return ocp.CheckpointManager(self._folder, options=options)

  @property
  def steps(self) -> list[int]:
    """All that the folder has, damaged or not, the newest first."""
    self.wait()
    with bucket.reached(self._folder):
      if not self._folder.exists():  # object storage has no empty folders
        return []
      paths = [p for p in self._folder.iterdir() if p.name.isdecimal()]
      return sorted([int(p.name) for p in paths if _has_ended(p)], reverse=True)

  @property
  def latest_step(self) -> int | None:
    """The newest that was saved, or is being saved."""
    if self._manager is None:
      return self._latest
    return self._manager.latest_step()

  def save(self, step: int, tree: Any) -> None:
    """Begins to save a tree of arrays, unless that step is already there."""
    self.wait()
    if self.latest_step == step:
      return
    args = ocp.args.Composite(
      state=ocp.args.StandardSave(tree),
      contents=ocp.args.JsonSave(contents.describe(tree)),
    )
    self._pending = step
    if is_remote(self._folder):
      # Within Orbax processes wait for each other: none begins unless all can.
      self._settle(self._folder.exists)
    if self._pending is not None:
      self._settle(lambda: self._ready().save(step, args=args, force=True))

  def _ready(self) -> ocp.CheckpointManager:
    """The manager; after a failed save a new one.

    That one knows only what is there, and clears away what of the failed save
    was written.
    """
    if self._manager is None:
      self._manager = self._open(cleanup=True)
    return self._manager

  def poll(self) -> None:
    """Warns at once if the save that was begun has failed meanwhile."""
    if self._pending is None or jax.process_count() > 1:
      return
    if not self._manager.is_saving_in_progress():
      self.wait()

  def wait(self) -> None:
    """Until all that was begun is on disk, or has failed."""
    if self._pending is not None:
      self._settle(self._manager.wait_until_finished, is_end=True)

  def finish(self) -> None:
    """Waits, and clears away what failed saves have left in a bucket.

    Raises:
      NotSaved: The last of all saves has failed.
    """
    self.wait()
    if self._problem is not None:
      raise self._problem
    if is_remote(self._folder) and cluster.is_lead():
      # TensorStore goes on trying for a save that was given up.
      with contextlib.suppress(Exception):  # no checkpoint, and so no harm
        for path in self._folder.iterdir():
          if path.name in map(str, self._failed) and not _has_ended(path):
            path.rmtree()

  def _settle(self, call: Callable[[], Any], is_end: bool = False) -> None:
    """Makes a call that may fail; if it does on any process, on all."""
    reason = "another process could not write it"
    try:
      call()
      failed = False
    except Exception as error:  # Orbax's, TensorStore's, the system's
      failed, reason = True, brief(error)
    failed = cluster.highest(failed)
    if failed or is_end:
      step, self._pending = self._pending, None
      self._problem = None
    if failed:
      self._fail(step, reason)

  def _fail(self, step: int, reason: str) -> None:
    self._problem = NotSaved(
      f"THE CHECKPOINT OF STEP {step:,} COULD NOT BE SAVED: {reason}"
    )
    logging.error("%s; the next save tries again", self._problem)
    self._failed.add(step)
    # Of the rest of the save, which Orbax had begun and lets go.
    warnings.filterwarnings("ignore", r"coroutine .* was never awaited")
    _release_threads()
    if self._manager is not None:
      saved = [x for x in self._manager.all_steps() if x != step]
      self._latest = max(saved, default=None)
      with contextlib.suppress(Exception):  # it says the same once more
        self._manager.close()
    self._manager = None
    if not is_remote(self._folder):  # a full disk needs the room at once
      with contextlib.suppress(Exception):  # else the next save says it
        self._ready()

  def restore(self, step: int, like: Any) -> Any:
    """Loads what was saved at `step`.

    Args:
      step: One of the saved steps.
      like: A tree of the same structure, of arrays or of
        `jax.ShapeDtypeStruct` with shardings.

    Raises:
      InputError: It is damaged, or holds something else.
      Unreachable: The bucket does not answer, so that nobody knows.
    """
    self.wait()
    arrays, reason = None, "another process cannot read it"
    problem = 0
    try:
      arrays = self._read(step, like)
    except InputError as error:
      problem, reason = 1, str(error)
    except Exception as error:  # whatever damage does to Orbax
      problem, reason = 1 + self._is_outage(error), brief(error)
    problem = cluster.highest(problem)
    if problem == 2:
      raise Unreachable(f"{self._folder} cannot be reached: {reason}")
    if problem == 1:
      raise InputError(f"{self._folder / str(step)} cannot be used: {reason}")
    place = lambda array, x: jax.make_array_from_callback(
      array.shape, x.sharding, lambda index: array[index]
    )
    return jax.tree.map(place, arrays, like)

  def restore_first(
    self, steps: Iterable[int], like: Any
  ) -> tuple[int, Any] | None:
    """Loads the first of some steps that can be used; warns of the others.

    Raises:
      InputError: There are some, but none can be used.
    """
    tried = []
    for step in steps:
      try:
        return step, self.restore(step, like)
      except InputError as error:
        tried.append(step)
        if cluster.is_lead():
          logging.warning("%s", error)
    if not tried:
      return None
    raise InputError(
      f"none of the checkpoints in {self._folder} can be used, see above; "
      "nothing was deleted: move that folder away to begin anew"
    )

  def resume(self, like: Any) -> tuple[int, Any] | None:
    """Loads the newest that can be used, to go on from there.

    Newer ones that cannot are left as they are but for their name, which gets
    an ending: the run will come to their step again.

    Returns:
      The step and the tree; None if there is nothing yet.

    Raises:
      InputError: There are checkpoints, but none can be used.
      Unreachable: The bucket does not answer.
    """
    steps = self.steps
    found = self.restore_first(steps, like)
    if found is not None and found[0] < steps[0]:
      with bucket.reached(self._folder):
        if cluster.is_lead():
          for step in steps[: steps.index(found[0])]:
            self._move_aside(step)
        cluster.barrier("aside")
        self._manager.reload()
    return found

  def _move_aside(self, step: int) -> None:
    taken = {path.name for path in self._folder.iterdir()}
    name, n = f"{step}{ASIDE}", 1
    while name in taken:
      n += 1
      name = f"{step}{ASIDE}-{n}"
    (self._folder / str(step)).rename(self._folder / name)
    logging.warning("%s is kept as %s", self._folder / str(step), name)

  def _is_outage(self, error: Exception) -> bool:
    """Whether reading failed for the way to the file, not for the file."""
    if not is_remote(self._folder) or isinstance(error, FileNotFoundError):
      return False
    return isinstance(error, OSError) or bucket.is_outage(error)

  def _read(self, step: int, like: Any) -> Any:
    return contents.read(self._folder / str(step), like)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def close(self) -> None:
    self.wait()
    if self._manager is not None:
      self._manager.close()


def _has_ended(step: epath.Path) -> bool:
  """Whether a save came to its end, well or not.

  In a folder it has its number for a name from then on. Object storage cannot
  rename: a save has its number at once, and Orbax's last file at its end.
  """
  return not is_remote(step) or (step / COMMITTED).exists()


def _release_threads() -> None:
  """Ends the threads of a save that failed.

  They wait, minutes, for folders that nobody makes any more, and Python
  does not exit before they have ended. Orbax has no public way to say so.
  """
  with contextlib.suppress(AttributeError, ImportError):
    from orbax.checkpoint._src.futures import future

    for thread in threading.enumerate():
      if isinstance(thread, future._SignalingThread):
        thread.cancel()
        signals, operation = thread._receive_signals, thread._operation_id
        future.set_signals(signals, operation_id=operation)
