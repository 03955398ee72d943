"""Being asked to stop: Ctrl-C on a terminal, SIGTERM from a scheduler."""

import signal
import types
from typing import Self


class StopRequest:
  """A context in which SIGINT and SIGTERM ask instead of killing.

  The loop looks at `signal` between steps and leaves in good order. A second
  Ctrl-C does not wait: it raises `KeyboardInterrupt` there and then.
  """

  def __init__(self):
    self.signal: signal.Signals | None = None
    self._before = {}

  def __bool__(self) -> bool:
    return self.signal is not None

  def __enter__(self) -> Self:
    for number in (signal.SIGINT, signal.SIGTERM):
      try:
        self._before[number] = signal.signal(number, self._handle)
      except ValueError:  # not the main thread: a notebook's executor, say
        break
    return self

  def __exit__(self, *exception) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _handle(self, number: int, frame: types.FrameType | None) -> None:
    if self.signal == signal.SIGINT == number:
      raise KeyboardInterrupt
    self.signal = signal.Signals(number)
