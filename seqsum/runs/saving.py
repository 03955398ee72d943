"""Saving of checkpoints, by Orbax, behind the training."""

import asyncio
import contextlib
import os
import stat
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Self

import jax
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from orbax.checkpoint import checkpoint_managers

from seqsum.runs import manifest
from seqsum.runtime import object_storage, processes
from seqsum.runtime.errors import RETRY_HINT, InputError, NotSaved, one_line
from seqsum.runtime.files import absolute_path, sync_folder, sync_tree
from seqsum.runtime.object_storage import is_remote

COMMITTED = "commit_success.txt"


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


class _Durable(ocp.path.atomicity.AtomicRenameTemporaryPath):
  """A checkpoint in a local folder that a power cut does not leave in part.

  TensorStore syncs the arrays; Orbax renames a checkpoint whose other files the
  disk may not have yet. This runs in Orbax's thread, behind the training.
  """

  async def finalize(self) -> None:
    await asyncio.to_thread(sync_tree, self.get())
    await super().finalize()
    # Orbax writes two notes last, which nothing needs.
    await asyncio.to_thread(sync_tree, self.get_final(), deep=False)
    await asyncio.to_thread(sync_folder, self.get_final().parent)


class Saver:
  """Saves checkpoints to a folder, and keeps the newest few and the best.

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
    run: Digest of the run, see `folder.digest`; saved with each checkpoint.

  Raises:
    InputError: A file in the folder is a FIFO or a device.
  """

  def __init__(
    self,
    folder: epath.PathLike,
    keep: int = 2,
    best: Callable[[], int | None] = lambda: None,
    run: str = "",
  ):
    self._folder, self._run = absolute_path(folder), run
    self._policy = checkpoint_managers.AnyPreservationPolicy(
      [checkpoint_managers.LatestN(keep), _Best(best)]
    )
    self._pending: int | None = None  # the step that is being written
    self._problem: NotSaved | None = None  # of the last save
    self._failed: set[int] = set()
    self._latest: int | None = None  # known, while there is no manager
    _refuse_special_files(self._folder)
    object_storage.limit_retries()
    with object_storage.translate_outage(self._folder):
      self._manager: ocp.CheckpointManager | None = self._open()

  def _open(self, cleanup: bool = False) -> ocp.CheckpointManager:
    together = is_remote(self._folder) and jax.process_count() > 1
    options = ocp.CheckpointManagerOptions(
      preservation_policy=self._policy,
      cleanup_tmp_directories=cleanup,
      temporary_path_class=None if is_remote(self._folder) else _Durable,
      async_options=ocp.options.AsyncOptions(
        timeout_secs=object_storage.BARRIER_TIMEOUT
      )
      if together
      else None,
    )
    return ocp.CheckpointManager(self._folder, options=options)

  @property
  def steps(self) -> list[int]:
    """All that the folder has, damaged or not, the newest first."""
    self.wait()
    with object_storage.translate_outage(self._folder):
      if not self._folder.exists():  # object storage has no empty folders
        return []
      paths = [p for p in self._folder.iterdir() if _is_step(p.name)]
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
      contents=ocp.args.JsonSave(
        {"step": step, "run": self._run, "arrays": manifest.describe(tree)}
      ),
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
      raise NotSaved(f"{self._problem}; {RETRY_HINT}")
    if is_remote(self._folder) and processes.is_lead():
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
      failed, reason = True, one_line(error)
    failed = processes.max_over_processes(failed)
    if failed or is_end:
      step, self._pending = self._pending, None
      self._problem = None
    if failed:
      self._fail(step, reason)

  def _fail(self, step: int, reason: str) -> None:
    self._problem = NotSaved(
      f"THE CHECKPOINT OF STEP {step:,} COULD NOT BE SAVED: {self._folder}: "
      f"{reason}"
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

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def close(self) -> None:
    self.wait()
    if self._manager is not None:
      self._manager.close()


def _refuse_special_files(folder: epath.Path) -> None:
  """Raises `InputError` for a FIFO, whose writer Orbax would wait for."""
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
  """Whether a name is a step as Orbax writes it: '10', and not '010'."""
  return name.isdecimal() and name == str(int(name))


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
