"""Writer of a run's metrics: metrics.jsonl, tensorboard/ and a tracker."""

import json
import os
import time
from collections.abc import Mapping
from typing import Any, Self

from absl import logging
from etils import epath

from seqsum.runs.history import read_lines
from seqsum.runtime import object_storage, processes
from seqsum.runtime.errors import RETRY_HINT, NotSaved
from seqsum.runtime.files import to_json, write_atomically
from seqsum.runtime.object_storage import is_remote
from seqsum.training.experiment import Schedule


class MetricsWriter:
  """Writes metrics.jsonl and tensorboard/ of a run.

  Lines that cannot be written, because the disk is full or unmounted, stay in
  memory and written with the next line; at all times the file consists of
  complete lines. Of several processes only the lead writes. After a failed
  write to object storage, which takes half a minute, `write` does not try again
  for `object_storage.RETRY_PAUSE` seconds; `flush` and `finish` always try.

  Args:
    folder: The run's folder.
    step: The step from which the run resumes. Later lines, and the test line,
      are dropped, since the run writes them again.
    tracker: A `trackers.Tracker` that also gets what TensorBoard gets.

  Attributes:
    history: All lines so far, with None for inf and nan.
  """

  def __init__(self, folder: epath.Path, step: int = 0, tracker: Any = None):
    self._path = folder / "metrics.jsonl"
    self.history = [
      line
      for line in read_lines(self._path)
      if line["step"] <= step and line["split"] != "test"
    ]
    processes.barrier("history")  # the lead overwrites the file below
    self._unwritten = b""
    self._is_synced = True  # whether the disk has the whole file
    self._paused_until = 0.0
    self._writes = processes.is_lead()
    self._tracker = tracker
    if not self._writes:
      return
    from seqsum.runs.tensorboard import TensorBoardWriter  # takes 0.2 s

    content = "".join(map(_encode, self.history))
    write_atomically(self._path, content)
    self._size = len(content.encode())  # bytes of complete lines in the file
    self._tensorboard = TensorBoardWriter(folder / "tensorboard", step)

  def write(self, metrics: dict[str, Any]) -> None:
    """Writes a line; it must have `step` and `split`."""
    metrics = to_json(metrics)
    self.history.append(metrics)
    if not self._writes:
      return
    self._unwritten += _encode(metrics).encode()
    if time.monotonic() >= self._paused_until:
      self._try_to_write()
    scalars = {
      f"{metrics['split']}/{name}": value
      for name, value in metrics.items()
      if isinstance(value, float)
    }
    self._tensorboard.scalars(scalars, metrics["step"])
    if self._tracker:
      self._tracker.scalars(scalars, metrics["step"])

  def flush(self) -> bool:
    """Writes what is unwritten; returns whether all lines are on the disk.

    All processes must call it.
    """
    return not processes.max_over_processes(
      not (self._try_to_write() and self._sync())
    )

  def _sync(self) -> bool:
    """Syncs the file to the disk; returns whether that succeeded."""
    if self._is_synced or is_remote(self._path):
      return True
    try:
      with open(self._open(), "r+b", buffering=0) as file:
        os.fsync(file.fileno())
    except OSError as error:
      logging.error("could not write %s: %s", self._path, error)
      return False
    self._is_synced = True
    return True

  def _open(self) -> int:
    """Opens the file for writing; raises `OSError` if it is now a link."""
    path, follow = os.fspath(self._path), getattr(os, "O_NOFOLLOW", 0)
    return os.open(path, os.O_RDWR | follow | getattr(os, "O_BINARY", 0))

  def _try_to_write(self) -> bool:
    try:
      if self._unwritten and is_remote(self._path):
        write_atomically(self._path, "".join(map(_encode, self.history)))
      elif self._unwritten:
        self._append(self._unwritten)
    except OSError as error:
      logging.error(
        "could not write metrics: %s: %s; the run tries again, and saves no "
        "checkpoint until they are written",
        self._path,
        error,
      )
      if is_remote(self._path):
        self._paused_until = time.monotonic() + object_storage.RETRY_PAUSE
      return False
    self._unwritten, self._paused_until = b"", 0.0
    return True

  def _append(self, data: bytes) -> None:
    # Opened for each line: an open file hides that its disk was unmounted.
    with open(self._open(), "r+b", buffering=0) as file:
      self._is_synced = False
      size = file.seek(0, os.SEEK_END)
      if size < self._size:
        raise OSError(f"{self._path} lost {self._size - size} bytes")
      file.truncate(self._size)  # removes part of a line that did not fit
      file.seek(self._size)
      try:
        left = memoryview(data)
        while left:  # a write to a nearly full disk may be partial
          left = left[file.write(left) :]
      except OSError:
        file.truncate(self._size)
        raise
    self._size += len(data)

  def finish(self) -> None:
    """Writes what is unwritten.

    Raises:
      NotSaved: It cannot be written.
    """
    if not self.flush():
      raise NotSaved(
        f"{self._path} lacks the last lines of this run; {RETRY_HINT}"
      )

  def images(self, pngs: Mapping[str, bytes], step: int) -> None:
    """Writes images, PNG files by name, to TensorBoard and the tracker."""
    if self._writes:
      self._tensorboard.images(pngs, step)
    if self._tracker:
      self._tracker.images(pngs, step)

  def model(self, checkpoint: epath.Path, summary: Mapping[str, Any]) -> None:
    """Uploads the final checkpoint and summary.json to the tracker."""
    if self._tracker:
      self._tracker.model(checkpoint, summary)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    if self._writes:
      self._tensorboard.close()
    if self._tracker:
      self._tracker.close()


class Lines:
  """Lines of metrics.jsonl: metrics with their step, epoch, rate and seconds.

  Args:
    writer: Writes them.
    schedule: The run's schedule.
    start: When this process began to work on the run, by `time.perf_counter`.
  """

  def __init__(self, writer: MetricsWriter, schedule: Schedule, start: float):
    self._writer, self._schedule = writer, schedule
    before = writer.history[-1]["seconds"] if writer.history else 0.0
    self._zero = start - before
    self._last = start  # when the last line was written
    self.start_clock(0)

  def seconds(self) -> float:
    """Seconds that the run has taken, in all its processes."""
    return time.perf_counter() - self._zero

  def since(self, start: float) -> float:
    """Seconds since `start`, or since the last line if that was later."""
    return time.perf_counter() - max(start, self._last)

  def start_clock(self, step: int) -> None:
    """Measures the rate of the next training line from this step on."""
    self._clock = time.perf_counter(), step

  def train(self, step: int, means: dict[str, Any]) -> dict[str, Any]:
    """Writes and returns a training line, with the rate since `start_clock`."""
    start, before = self._clock
    sequences = (step - before) * self._schedule.batch_size
    rate = sequences / (time.perf_counter() - start)
    return self.write(step, "train", means, rate)

  def write(
    self, step: int, split: str, metrics: dict[str, Any], rate: float
  ) -> dict[str, Any]:
    """Writes and returns a line of `metrics`; `rate` is sequences a second."""
    line = {"step": step, "epoch": self._schedule.epoch(step), "split": split}
    rates = {"sequences_per_second": rate, "seconds": self.seconds()}
    self._writer.write(line | metrics | rates)
    self._last = time.perf_counter()
    return self._writer.history[-1]


def _encode(metrics: dict[str, Any]) -> str:
  return json.dumps(metrics) + "\n"
