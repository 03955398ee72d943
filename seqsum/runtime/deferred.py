"""Host work that waits until the device has its next work."""

from collections.abc import Callable


class Deferred:
  """A queue of calls, in order.

  JAX returns from a compiled function before the device has computed it. Host
  work that needs its result, such as a line of metrics, waits for the device,
  and the device would then wait for the host. So the caller dispatches the next
  call first, and runs the queue while the device computes.

  Args:
    is_on: Whether to queue; otherwise each call is made at once.
  """

  def __init__(self, is_on: bool):
    self._is_on = is_on
    self._calls: list[Callable[[], None]] = []

  def add(self, call: Callable[[], None]) -> None:
    if self._is_on:
      self._calls.append(call)
    else:
      call()

  def run(self) -> None:
    """Makes the queued calls."""
    calls, self._calls = self._calls, []
    for call in calls:
      call()
