"""Requests to stop: Ctrl-C, SIGTERM of a scheduler, SIGHUP of a terminal."""

import signal
import types
from collections.abc import Callable
from typing import Any, Self


def end_on_interrupt() -> None:
  """Makes Ctrl-C end this process at once and silently.

  During imports, Python's `KeyboardInterrupt` can be lost in a C library, which
  then continues, or become another error. Call it before anything is written;
  `StopRequest` takes over later. A process that ignores SIGINT keeps ignoring
  it.
  """
  if signal.getsignal(signal.SIGINT) == signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class StopRequest:
  """A context in which SIGINT, SIGTERM and SIGHUP ask the program to stop.

  The training loop calls `agreed` between steps, saves and returns. A second
  Ctrl-C raises `KeyboardInterrupt` at once. SIGHUP, which a terminal sends when
  it is closed, stays ignored if it was, as under `nohup`.

  Args:
    agree: Maps the number of this process's signal, 0 for none, to one number
      for all processes of the run, so that all stop at the same step.

  Attributes:
    signal: The signal that was received, after `agreed` by any process; or
      None.
  """

  def __init__(self, agree: Callable[[int], int] = lambda number: number):
    self.signal: signal.Signals | None = None
    self._agree = agree
    self._before: dict[signal.Signals, Any] = {}

  def agreed(self) -> bool:
    """Whether any process was asked to stop; all processes must call it."""
    if number := self._agree(self.signal or 0):
      self.signal = signal.Signals(number)
    return number > 0

  def report(self) -> int:
    """Prints which signal stopped the program; returns the exit code."""
    if self.signal is None:
      return 0
    print(f"stopped by {self.signal.name}; run the same command to resume")
    return 128 + self.signal  # the shell's convention: 130, 143

  def __enter__(self) -> Self:
    for number in _signals():
      try:
        self._before[number] = signal.signal(number, self._handle)
      except ValueError:  # not the main thread, as in some notebooks
        break
    return self

  def __exit__(self, *exception) -> None:
    for number, handler in self._before.items():
      signal.signal(number, handler)

  def _handle(self, number: int, frame: types.FrameType | None) -> None:
    if self.signal == signal.SIGINT == number:
      raise KeyboardInterrupt
    self.signal = signal.Signals(number)


def _signals() -> list[signal.Signals]:
  """The signals that request a stop."""
  signals = [signal.SIGINT, signal.SIGTERM]
  hang_up = getattr(signal, "SIGHUP", None)  # not on Windows
  if hang_up and signal.getsignal(hang_up) != signal.SIG_IGN:
    signals.append(hang_up)
  return signals
