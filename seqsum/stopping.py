"""Being asked to stop: Ctrl-C on a terminal, SIGTERM from a scheduler."""

import signal
import types
from collections.abc import Callable
from typing import Self


class StopRequest:
  """A context in which SIGINT and SIGTERM ask instead of killing.

  The loop looks at `signal` between steps and leaves in good order. A second
  Ctrl-C does not wait: it raises `KeyboardInterrupt` there and then.

  Args:
    agree: Number of this process's signal, 0 for none -> that of all processes
      of the run, so that all of them stop at the same step. Called whenever the
      request is looked at.
  """

  def __init__(self, agree: Callable[[int], int] = lambda number: number):
    self.signal: signal.Signals | None = None
    self._agree = agree
    self._before = {}

  def __bool__(self) -> bool:
    if number := self._agree(self.signal or 0):
      self.signal = signal.Signals(number)
    return number > 0

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
