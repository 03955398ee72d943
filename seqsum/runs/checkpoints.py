"""Checkpoints of a run: the newest few, and the best.

Nothing is restored that is not what was saved (see `manifest`), and nothing is
deleted that cannot be read.
"""

from collections.abc import Iterable
from typing import Any

import jax
from absl import logging

from seqsum.runs import manifest
from seqsum.runs.saving import Saver
from seqsum.runtime import object_storage, processes
from seqsum.runtime.errors import InputError, Unreachable, one_line
from seqsum.runtime.object_storage import is_remote

ASIDE = ".unusable"  # after the number of a step: no step to Orbax, or to us


class Checkpoints(Saver):
  """The folder `checkpoints/` of a run, to save to and to load from.

  All processes of a run must make the same calls.
  """

  def restore(self, step: int, abstract_state: Any) -> Any:
    """Loads what this run saved at `step`.

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
      arrays = self._read(step, abstract_state)
    except InputError as error:
      problem, reason = 1, str(error)
    except Exception as error:  # whatever damage does to Orbax
      problem, reason = 1 + self._is_outage(error), one_line(error)
    problem = processes.max_over_processes(problem)
    if problem == 2:
      raise Unreachable(f"{self._folder} cannot be reached: {reason}")
    if problem == 1:
      raise InputError(f"{self._folder / str(step)} cannot be used: {reason}")
    place = lambda array, x: jax.make_array_from_callback(
      array.shape, x.sharding, lambda index: array[index]
    )
    return jax.tree.map(place, arrays, abstract_state)

  def restore_first(
    self, steps: Iterable[int], abstract_state: Any
  ) -> tuple[int, Any] | None:
    """Loads the first of some steps that can be used; warns of the others.

    Raises:
      InputError: There are some, but none can be used.
    """
    tried = []
    for step in steps:
      try:
        return step, self.restore(step, abstract_state)
      except InputError as error:
        tried.append(step)
        if processes.is_lead():
          logging.warning("%s", error)
    if not tried:
      return None
    raise InputError(
      f"none of the checkpoints in {self._folder} can be used, see above; "
      "nothing was deleted: move that folder away to begin anew"
    )

  def resume(self, abstract_state: Any) -> tuple[int, Any] | None:
    """Loads the newest that can be used, to go on from there.

    Newer ones that cannot be used, and those of another run or step, keep their
    files and get another name: the run comes to their step again, and would
    delete them one day.

    Returns:
      The step and the tree; None if there is nothing yet.

    Raises:
      InputError: There are checkpoints, but none can be used.
      Unreachable: The bucket does not answer.
    """
    steps = self.steps
    found = self.restore_first(steps, abstract_state)
    if found is None:
      return None
    with object_storage.translate_outage(self._folder):
      aside = [step for step in steps if step > found[0]]
      if processes.is_lead():
        older = [step for step in steps if step < found[0]]
        aside += [step for step in older if not self._is_ours(step)]
      if processes.max_over_processes(bool(aside)):
        if processes.is_lead():
          for step in aside:
            self._move_aside(step)
        processes.barrier("aside")
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
    return isinstance(error, OSError) or object_storage.is_outage(error)

  def _read(self, step: int, abstract_state: Any) -> Any:
    return manifest.read(
      self._folder / str(step), abstract_state, step, self._run
    )

  def _is_ours(self, step: int) -> bool:
    """Whether the manifest of a step names that step and this run."""
    try:
      manifest.check(self._folder / str(step), step, self._run)
    except InputError as error:
      logging.warning("%s cannot be used: %s", self._folder / str(step), error)
      return False
    return True
