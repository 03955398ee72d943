"""What a run writes down while it goes on: metrics.jsonl and tensorboard/."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

from absl import logging
from etils import epath

from seqsum.runs.run_files import read_lines
from seqsum.runtime import object_storage, processes
from seqsum.runtime.errors import RETRY_HINT, NotSaved
from seqsum.runtime.files import to_json, write_atomically
from seqsum.runtime.object_storage import is_remote

History = Sequence[dict[str, Any]]  # lines of a metrics.jsonl


def ranking(history: History, metric: str = "mse") -> list[int]:
  """The validated steps, the best first.

  Args:
    history: Lines of a metrics.jsonl.
    metric: A metric; the lower the better, and the first of equals. Or 'last':
      the later the better. Steps where it (or the mse) is not finite are out.
  """
  is_last = metric == "last"
  scores = {
    line["step"]: line["mse" if is_last else metric]
    for line in history
    if line["split"] == "validation"
  }
  finite = [step for step, score in scores.items() if score is not None]
  return sorted(finite, key=None if is_last else scores.get, reverse=is_last)


def best_step(history: History, metric: str = "mse") -> int | None:
  """The first of the `ranking`; None if there is none."""
  return next(iter(ranking(history, metric)), None)


def is_validated(history: History, step: int) -> bool:
  """Whether the validation of a step has been written down."""
  return any(
    line["split"] == "validation" and line["step"] == step for line in history
  )


def missing_steps(
  history: History, schedule: Any, step: int
) -> dict[str, list[int]]:
  """Steps whose lines metrics.jsonl must have before a checkpoint, and has not.

  The validation of the checkpoint's own step may be still to come.

  Args:
    history: Lines of a metrics.jsonl.
    schedule: The run's `Schedule`.
    step: The checkpoint's.

  Returns:
    "train" and "validation" -> ascending steps.
  """
  there = {(line["split"], line["step"]) for line in history}
  missing = {"train": [], "validation": []}
  at = 0
  while at < step:
    at = schedule.next_event(at)
    due = {
      "train": at <= step and schedule.is_log(at),
      "validation": at < step and schedule.is_epoch_end(at),
    }
    for split, is_due in due.items():
      if is_due and (split, at) not in there:
        missing[split].append(at)
  return missing


def warn_of_missing(
  path: epath.Path, history: History, schedule: Any, step: int
) -> None:
  """Warns of the lines that a metrics.jsonl lacks; see `missing_steps`."""
  missing = missing_steps(history, schedule, step)
  words = [
    f"of {split} at step {_enumerate(steps)}"
    for split, steps in missing.items()
    if steps
  ]
  if words and processes.is_lead():
    logging.warning(
      "%s lacks lines that were there when the checkpoint of step %s was "
      "saved: %s; the best step and the curves leave them out",
      path,
      f"{step:,}",
      ", ".join(words),
    )


def _enumerate(steps: Sequence[int]) -> str:
  words = [f"{step:,}" for step in steps]
  if len(words) > 8:
    words = [*words[:4], f"... ({len(words)} in all)", words[-1]]
  return " ".join(words)


class MetricsWriter:
  """metrics.jsonl and tensorboard/ of a run.

  Lines that cannot be written, because a disk is full or gone, are kept and
  tried again with the next one; the file has whole lines at all times. Of
  several processes only the lead writes; the others remember. A bucket that did
  not answer is left alone for a while, since each try takes half a minute in
  which no step is taken; `flush` and `finish` try at any time.

  Args:
    folder: The run's.
    step: The step from which the run goes on. Lines of later steps, and of a
      test, which will be made again, are dropped.
    tracker: Told what TensorBoard is told; see `trackers`.

  Attributes:
    history: All lines so far, inf and nan as None.
  """

  def __init__(self, folder: epath.Path, step: int = 0, tracker: Any = None):
    self._path = folder / "metrics.jsonl"
    self.history = [
      line
      for line in read_lines(self._path)
      if line["step"] <= step and line["split"] != "test"
    ]
    processes.barrier("history")  # all have read it
    self._unwritten = b""
    self._is_synced = True  # whether the disk has all that the file has
    self._rests_until = 0.0
    self._writes = processes.is_lead()
    self._tracker = tracker
    if not self._writes:
      return
    from seqsum.runs.tensorboard import Board  # 0.2 s that only a run needs

    content = "".join(map(_line, self.history))
    write_atomically(self._path, content)
    self._size = len(content.encode())  # bytes of whole lines in the file
    self._board = Board(folder / "tensorboard", step)

  def write(self, metrics: dict[str, Any]) -> None:
    """Adds a line; it must have `step` and `split`."""
    metrics = to_json(metrics)
    self.history.append(metrics)
    if not self._writes:
      return
    self._unwritten += _line(metrics).encode()
    if time.monotonic() >= self._rests_until:
      self._try()
    scalars = {
      f"{metrics['split']}/{name}": value
      for name, value in metrics.items()
      if isinstance(value, float)
    }
    self._board.scalars(scalars, metrics["step"])
    if self._tracker:
      self._tracker.scalars(scalars, metrics["step"])

  def flush(self) -> bool:
    """Whether all lines are on the disk; tries to write those that are not.

    All processes must ask.
    """
    return not processes.max_over_processes(not (self._try() and self._sync()))

  def _sync(self) -> bool:
    """Whether the disk has what the file has, should the power fail."""
    if self._is_synced or is_remote(self._path):
      return True
    try:
      with open(self._open(), "r+b", buffering=0) as file:
        os.fsync(file.fileno())
    except OSError as error:
      logging.error("%s COULD NOT BE WRITTEN: %s", self._path, error)
      return False
    self._is_synced = True
    return True

  def _open(self) -> int:
    """Opens the file for writing, unless it has become a link."""
    path, follow = os.fspath(self._path), getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, os.O_RDWR | follow | getattr(os, "O_BINARY", 0))

  def _try(self) -> bool:
    try:
      if self._unwritten and is_remote(self._path):
        write_atomically(self._path, "".join(map(_line, self.history)))
      elif self._unwritten:
        self._append(self._unwritten)
    except OSError as error:
      logging.error(
        "METRICS COULD NOT BE WRITTEN: %s: %s; they are kept and tried again, "
        "and no checkpoint is saved before",
        self._path,
        error,
      )
      if is_remote(self._path):
        self._rests_until = time.monotonic() + object_storage.RETRY_PAUSE
      return False
    self._unwritten, self._rests_until = b"", 0.0
    return True

  def _append(self, data: bytes) -> None:
    # Opened each time: a file that stays open hides that its disk is gone.
    with open(self._open(), "r+b", buffering=0) as file:
      self._is_synced = False
      size = file.seek(0, os.SEEK_END)
      if size < self._size:
        raise OSError(f"{self._path} lost {self._size - size} bytes")
      file.truncate(self._size)  # of a line that did not fit
      file.seek(self._size)
      try:
        left = memoryview(data)
        while left:  # a disk that becomes full takes a part
          left = left[file.write(left) :]
      except OSError:
        file.truncate(self._size)
        raise
    self._size += len(data)

  def finish(self) -> None:
    """Writes what is left.

    Raises:
      NotSaved: It cannot be written.
    """
    if not self.flush():
      raise NotSaved(
        f"{self._path} lacks the last lines of this run; {RETRY_HINT}"
      )

  def pictures(self, pngs: Mapping[str, bytes], step: int) -> None:
    """Adds pictures, PNG files by name."""
    self._board.pictures(pngs, step)
    if self._tracker:
      self._tracker.pictures(pngs, step)

  def model(self, checkpoint: epath.Path, summary: Mapping[str, Any]) -> None:
    """Gives the final model to the tracker."""
    if self._tracker:
      self._tracker.model(checkpoint, summary)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def close(self) -> None:
    if self._writes:
      self._board.close()
    if self._tracker:
      self._tracker.close()


def _line(metrics: dict[str, Any]) -> str:
  return json.dumps(metrics) + "\n"
