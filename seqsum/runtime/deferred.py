"""Host work that must not keep the device waiting."""

import collections
import concurrent.futures
from collections.abc import Callable
from typing import Self

AHEAD = 4  # calls that may be left; a checkpoint's holds a copy of the state


class Deferred:
  """Makes calls in order, in a thread if possible.

  JAX returns from a compiled function before the device has computed it. Host
  work that needs the result, such as a line of metrics or a checkpoint, waits
  for the device, and then the device would wait for the host. So it is left to
  a thread, and the caller dispatches the next call.

  After a call that failed no other is made.

  Args:
    is_on: Whether to defer; otherwise `add` makes the call.
    in_thread: Whether to use a thread. Otherwise `wait` makes the calls, for
      which the caller has dispatched its next call first: several processes
      must make their calls in the same order.
  """

  def __init__(self, is_on: bool, in_thread: bool):
    self._is_on = is_on
    self._pool = concurrent.futures.ThreadPoolExecutor(1) if in_thread else None
    self._calls: collections.deque[Callable[[], None]] = collections.deque()
    self._futures: collections.deque[concurrent.futures.Future[None]]
    self._futures = collections.deque()
    self._has_failed = False

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    if self._pool:
      self._pool.shutdown(wait=True, cancel_futures=True)

  def add(self, call: Callable[[], None]) -> None:
    if not self._is_on:
      call()
    elif self._pool:
      self._futures.append(self._pool.submit(self._make, call))
    else:
      self._calls.append(call)

  def wait(self, ahead: int = 0) -> None:
    """Waits until at most `ahead` calls are left in the thread.

    Raises what a call raised.
    """
    while self._calls:
      self._calls.popleft()()
    while self._futures and (
      len(self._futures) > ahead or self._futures[0].done()
    ):
      self._futures.popleft().result()

  def _make(self, call: Callable[[], None]) -> None:
    if self._has_failed:
      return
    self._has_failed = True
    call()
    self._has_failed = False
