"""TensorBoard's copy of what a run writes down.

Written without the thread of tensorboardX's `SummaryWriter`: on a full disk
that thread ends, and whoever writes next waits for it for ever.
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

EVERY = 10  # seconds from one flush to the next


class _Object:
  """A file in a bucket, kept whole in memory, as tensorboardX wants it.

  Its own holds up a run for minutes when the bucket does not answer, and once
  more, with a traceback, when it is let go.
  """

  def __init__(self, path: str):
    self._path, self._bytes = epath.Path(path), bytearray()

  def write(self, data: bytes) -> None:
    self._bytes += data

  def flush(self) -> None:
    write_atomically(self._path, bytes(self._bytes))

  def close(self) -> None:
    pass  # EventsWriter has flushed


class _Objects:
  open = _Object

  def directory_check(self, path: str) -> None:
    """There are no folders to make."""


record_writer.register_writer_factory("gs", _Objects())


class Board:
  """The folder `tensorboard/`.

  It is a copy: where it cannot be written that is said once, what should have
  been written is left out, and the next line tries a new file. In a bucket
  nothing is left out: the whole file is sent each time.

  Args:
    folder: Made if it is not there.
    step: The step from which the run goes on; TensorBoard hides later ones.
  """

  def __init__(self, folder: epath.PathLike, step: int = 0):
    self._folder, self._step = os.fspath(folder), step
    self._events: EventsWriter | None = None
    self._files = 0  # opened so far
    self._next_flush = 0.0  # when
    self._is_said = False

  def scalars(self, values: Mapping[str, float], step: int) -> None:
    """Adds a point to curves: name -> value."""
    self._write([scalar(name, value) for name, value in values.items()], step)

  def pictures(self, pngs: Mapping[str, bytes], step: int) -> None:
    """Adds pictures: name -> PNG file."""
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
        self._next_flush = now + EVERY
    except Exception as error:  # a disk's, or a bucket's client's
      self._fail(error)

  def _open(self) -> EventsWriter:
    record_writer.directory_check(self._folder)
    self._files += 1
    prefix = os.path.join(self._folder, "events")
    # The file's name has the second in it: two may be opened in one.
    events = EventsWriter(prefix, f".{os.getpid()}.{self._files}")
    start = SessionLog(status=SessionLog.START)
    events.write_event(Event(step=self._step + 1, session_log=start))
    return events

  def _fail(self, error: Exception) -> None:
    if is_remote(self._folder):
      self._next_flush = time.time() + object_storage.RETRY_PAUSE
    else:
      self._events, self._next_flush = None, 0.0
    if not self._is_said:
      logging.error("%s cannot be written: %s", self._folder, error)
    self._is_said = True

  def close(self) -> None:
    events, self._events = self._events, None
    try:
      if events is not None:
        events.close()
    except Exception as error:  # as above
      self._fail(error)
