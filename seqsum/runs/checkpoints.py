"""Checkpoints of a run: the newest few and the best, saved by Orbax.

A checkpoint is restored only if it is exactly what was saved, see `manifest`.
Checkpoints that cannot be used are never deleted.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Collection, Sequence
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from orbax.checkpoint import checkpoint_managers

from seqsum.runs import manifest, orbax_faults
from seqsum.runtime import object_storage, processes
from seqsum.runtime.errors import (
  RETRY_HINT,
  InputError,
  NotSaved,
  Unreachable,
  one_line,
)
from seqsum.runtime.files import absolute_path
from seqsum.runtime.object_storage import is_remote

COMMITTED = "commit_success.txt"  # Orbax's last file in object storage


class _KeepStep(checkpoint_managers.PreservationPolicy):
  """Preservation policy of Orbax that keeps one step."""

  step: int | None = None

  def should_preserve(
    self,
    checkpoints: Sequence[checkpoint_managers.PolicyCheckpointInfo],
    *,
    context: checkpoint_managers.PreservationContext,
  ) -> Sequence[bool]:
    return [checkpoint.step == self.step for checkpoint in checkpoints]


class Checkpoints:
  """The folder `checkpoints/` of a run.

  Saving is asynchronous: the state is copied to the host at once and written
  during the next training steps. A save that is interrupted leaves no step. A
  save that fails, because the disk is full or a bucket cannot be reached, logs
  an error, and the next save tries again.

  All processes of a run must make the same calls.

  Args:
    folder: Local or remote path; it need not exist yet.
    keep: Number of newest steps to keep.
    run: Digest of the run, see `folder.digest`; saved with each checkpoint.

  Raises:
    InputError: A file in the folder is a FIFO or a device.
  """

  def __init__(self, folder: epath.PathLike, keep: int = 2, run: str = ""):
    self.folder, self._run = absolute_path(folder), run
    self._best = _KeepStep()
    self._policy = checkpoint_managers.AnyPreservationPolicy(
      [checkpoint_managers.LatestN(keep), self._best]
    )
    self._pending: int | None = None  # the step that is being written
    self._problem: NotSaved | None = None  # of the last save
    self._failed: set[int] = set()
    self._latest: int | None = None  # `latest_step` while there is no manager
    _refuse_special_files(self.folder)
    orbax_faults.limit_retries()
    with object_storage.translate_outage(self.folder):
      self._manager: ocp.CheckpointManager | None = self._open()

  def _open(self, cleanup: bool = False) -> ocp.CheckpointManager:
    remote = is_remote(self.folder)
    options = ocp.CheckpointManagerOptions(
      preservation_policy=self._policy,
      cleanup_tmp_directories=cleanup,
      temporary_path_class=None if remote else orbax_faults.DurableRename,
      async_options=ocp.options.AsyncOptions(
        timeout_secs=object_storage.BARRIER_TIMEOUT
      )
      if remote and jax.process_count() > 1
      else None,
    )
    return ocp.CheckpointManager(self.folder, options=options)

  @property
  def steps(self) -> list[int]:
    """All saved steps, damaged or not, newest first."""
    self.wait()
    with object_storage.translate_outage(self.folder):
      if not self.folder.exists():  # object storage has no empty folders
        return []
      paths = [p for p in self.folder.iterdir() if _is_step(p.name)]
      return sorted([int(p.name) for p in paths if _is_over(p)], reverse=True)

  @property
  def latest_step(self) -> int | None:
    """The newest step that was saved or is being saved."""
    if self._manager is None:
      return self._latest
    return self._manager.latest_step()

  def save(self, step: int, tree: Any, best: int | None = None) -> None:
    """Starts to save a tree of arrays, unless `step` is the latest step.

    Args:
      step: The number of the checkpoint.
      tree: The arrays, each replicated on all devices.
      best: The best step so far; it is kept beside the newest ones.
    """
    self.wait()
    if self.latest_step == step:
      return
    args = ocp.args.Composite(
      state=ocp.args.StandardSave(tree),
      manifest=ocp.args.JsonSave(
        {"step": step, "run": self._run, "arrays": manifest.describe(tree)}
      ),
    )
    self._pending, self._best.step = step, best
    if is_remote(self.folder):
      # Processes wait for each other within Orbax: start only if all can.
      self._attempt(self.folder.exists)
    if self._pending is not None:
      self._attempt(lambda: self._ready().save(step, args=args, force=True))

  def _ready(self) -> ocp.CheckpointManager:
    """The manager, or a new one after a failed save.

    The new one deletes the files of the failed save.
    """
    if self._manager is None:
      self._manager = self._open(cleanup=True)
    return self._manager

  def poll(self) -> None:
    """Logs an error at once if the current save has failed."""
    if self._pending is None or jax.process_count() > 1:
      return
    if not self._ready().is_saving_in_progress():
      self.wait()

  def wait(self) -> None:
    """Blocks until the current save is on disk or has failed."""
    if self._pending is not None:
      self._attempt(self._ready().wait_until_finished, is_last=True)

  def finish(self) -> None:
    """Waits, and deletes what failed saves have left in object storage.

    Raises:
      NotSaved: The last save has failed.
    """
    self.wait()
    if self._problem is not None:
      raise NotSaved(f"{self._problem}; {RETRY_HINT}")
    if is_remote(self.folder) and processes.is_lead():
      # TensorStore may still have written for a save that was given up.
      with contextlib.suppress(Exception):  # not a checkpoint, so harmless
        for path in self.folder.iterdir():
          if path.name in map(str, self._failed) and not _is_over(path):
            path.rmtree()

  def _attempt(self, call: Callable[[], Any], is_last: bool = False) -> None:
    """Makes a call of a save; if it fails on any process, fails on all.

    Args:
      call: The call.
      is_last: Whether the save is complete if the call succeeds.
    """
    reason, failed = "another process could not write it", False
    try:
      call()
    except Exception as error:  # of Orbax, TensorStore or the system
      failed, reason = True, one_line(error)
    failed = bool(processes.max_over_processes(failed))
    step = self._pending
    if failed or is_last:
      self._pending = self._problem = None
    if failed and step is not None:
      self._fail(step, reason)

  def _fail(self, step: int, reason: str) -> None:
    self._problem = NotSaved(
      f"could not save the checkpoint of step {step:,}: {self.folder}: {reason}"
    )
    logging.error("%s; the next save tries again", self._problem)
    self._failed.add(step)
    orbax_faults.clean_up_failed_save()
    if self._manager is not None:
      saved = [x for x in self._manager.all_steps() if x != step]
      self._latest = max(saved, default=None)
      with contextlib.suppress(Exception):  # raises the same error again
        self._manager.close()
    self._manager = None
    if not is_remote(self.folder):  # frees the space of the failed save
      with contextlib.suppress(Exception):  # the next save raises it again
        self._ready()

  def restore(self, step: int, abstract_state: Any) -> Any:
    """Restores what this run saved at a step.

    Args:
      step: One of `steps`.
      abstract_state: A tree of the same structure, of arrays or of
        `jax.ShapeDtypeStruct` with shardings.

    Raises:
      InputError: The checkpoint is damaged, or of another run or model.
      Unreachable: Object storage does not answer.
    """
    self.wait()
    arrays, reason, problem = None, "another process cannot read it", 0
    try:
      arrays = self._read(step, abstract_state)
    except InputError as error:
      problem, reason = 1, str(error)
    except Exception as error:  # Orbax raises many types for damaged files
      problem, reason = 1 + self._is_outage(error), one_line(error)
    problem = processes.max_over_processes(problem)
    if problem == 2:
      raise Unreachable(f"{self.folder} cannot be reached: {reason}")
    if problem == 1:
      raise InputError(f"{self.folder / str(step)} cannot be used: {reason}")
    place = lambda array, x: jax.make_array_from_callback(
      array.shape, x.sharding, lambda index: array[index]
    )
    return jax.tree.map(place, arrays, abstract_state)

  def set_aside(self, steps: Collection[int]) -> None:
    """Renames steps to `<step>.unusable`, or `<step>.unusable-2` and so on.

    Args:
      steps: On the lead process; on others the steps are not used.
    """
    if not processes.max_over_processes(bool(steps)):
      return
    if processes.is_lead():
      for step in steps:
        taken = {path.name for path in self.folder.iterdir()}
        name, n = f"{step}.unusable", 1
        while name in taken:
          n += 1
          name = f"{step}.unusable-{n}"
        (self.folder / str(step)).rename(self.folder / name)
        logging.warning("%s is renamed to %s", self.folder / str(step), name)
    processes.barrier("set aside")
    self._ready().reload()

  def _is_outage(self, error: Exception) -> bool:
    """Whether object storage failed, and not the file that was read."""
    if not is_remote(self.folder) or isinstance(error, FileNotFoundError):
      return False
    return isinstance(error, OSError) or object_storage.is_outage(error)

  def _read(self, step: int, abstract_state: Any) -> Any:
    folder = self.folder / str(step)
    return manifest.read(folder, abstract_state, step, self._run)

  def is_ours(self, step: int) -> bool:
    """Whether the manifest of a step names that step and this run."""
    try:
      manifest.check(self.folder / str(step), step, self._run)
    except InputError as error:
      logging.warning("%s cannot be used: %s", self.folder / str(step), error)
      return False
    return True

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self.wait()
    if self._manager is not None:
      self._manager.close()


def _refuse_special_files(folder: epath.Path) -> None:
  """Raises `InputError` for a FIFO or a device, which would block Orbax."""
  if is_remote(folder):
    return
  for path, _, names in os.walk(folder):
    for name in names:
      file = os.path.join(path, name)
      if os.path.exists(file) and not stat.S_ISREG(os.stat(file).st_mode):
        raise InputError(
          f"{file} is not a regular file (a FIFO or a device): move it away"
        )


def _is_step(name: str) -> bool:
  """Whether Orbax writes a step under this name: '10', but not '010'."""
  return name.isdecimal() and name == str(int(name))


def _is_over(step: epath.Path) -> bool:
  """Whether the save of a step is over, successful or not.

  A local folder is renamed to its step at the end. Object storage cannot
  rename: there the folder has its name from the start, and Orbax writes
  `COMMITTED` last.
  """
  return not is_remote(step) or (step / COMMITTED).exists()
