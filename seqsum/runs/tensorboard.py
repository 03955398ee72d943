"""TensorBoard event files of a run.

Written without the thread of tensorboardX's `SummaryWriter`: on a full disk
that thread ends, and the next write blocks forever.
"""

import io
import os
import time
from collections.abc import Mapping

import numpy as np
from absl import logging
from etils import epath
from PIL import Image
from tensorboardX import record_writer
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import Summary, image, scalar

from seqsum.runtime import object_storage
from seqsum.runtime.files import write_atomically
from seqsum.runtime.object_storage import is_remote

FLUSH_SECONDS = 10


class _RemoteFile:
  """An event file in object storage, as tensorboardX's writers want it.

  The whole content is kept in memory and uploaded at each flush. The file of
  tensorboardX blocks for minutes when object storage does not answer, and again
  when it is deleted.
  """

  def __init__(self, path: str):
    self._path, self._bytes = epath.Path(path), bytearray()

  def write(self, data: bytes) -> None:
    self._bytes += data

  def flush(self) -> None:
    write_atomically(self._path, bytes(self._bytes))

  def close(self) -> None:
    pass  # EventsWriter flushes before


class _RemoteFiles:
  """Factory of `_RemoteFile` for tensorboardX."""

  open = _RemoteFile

  def directory_check(self, path: str) -> None:
    """Do nothing: object storage has no folders."""


record_writer.register_writer_factory("gs", _RemoteFiles())


class TensorBoardWriter:
  """Writes the folder `tensorboard/`, a copy of what metrics.jsonl has.

  The first failed write is logged. On a local disk, events that cannot be
  written are lost, and the next write opens a new file. In object storage
  nothing is lost, since each flush uploads the whole file.

  Args:
    folder: The folder; made if it does not exist.
    step: The step from which the run resumes; TensorBoard hides the events of
      later steps in older files.
  """

  def __init__(self, folder: epath.PathLike, step: int = 0):
    self._folder, self._step = os.fspath(folder), step
    self._events: EventsWriter | None = None
    self._num_files = 0  # opened so far
    self._next_flush = 0.0  # seconds of time.time()
    self._has_logged = False

  def scalars(self, values: Mapping[str, float], step: int) -> None:
    """Adds a point to each curve: name -> value."""
    self._write([scalar(name, value) for name, value in values.items()], step)

  def images(self, pngs: Mapping[str, bytes], step: int) -> None:
    """Adds images: name -> content of a PNG file."""
    summaries = []
    for name, png in pngs.items():
      pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
      summaries.append(image(name, pixels, dataformats="HWC"))
    self._write(summaries, step)

  def _write(self, summaries: list[Summary], step: int) -> None:
    now = time.time()
    try:
      self._events = self._events or self._open()
      for summary in summaries:
        event = Event(wall_time=now, step=step, summary=summary)
        self._events.write_event(event)
      if now >= self._next_flush:
        self._events.flush()
        self._next_flush = now + FLUSH_SECONDS
    except Exception as error:  # of the system or of a storage client
      self._fail(error)

  def _open(self) -> EventsWriter:
    record_writer.directory_check(self._folder)
    self._num_files += 1
    prefix = os.path.join(self._folder, "events")
    # EventsWriter names files by the second, so two may get the same name.
    events = EventsWriter(prefix, f".{os.getpid()}.{self._num_files}")
    start = SessionLog(status=SessionLog.START)
    events.write_event(Event(step=self._step + 1, session_log=start))
    return events

  def _fail(self, error: Exception) -> None:
    if is_remote(self._folder):
      self._next_flush = time.time() + object_storage.RETRY_PAUSE
    else:
      self._events, self._next_flush = None, 0.0
    if not self._has_logged:
      logging.error("could not write %s: %s", self._folder, error)
    self._has_logged = True

  def close(self) -> None:
    events, self._events = self._events, None
    try:
      if events is not None:
        events.close()
    except Exception as error:  # as above
      self._fail(error)
