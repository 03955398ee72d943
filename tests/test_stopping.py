import os
import signal

import pytest

from seqsum.stopping import StopRequest


@pytest.mark.parametrize(
  "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
)
def test_a_signal_asks(number):
  before = signal.getsignal(number)
  own = signal.default_int_handler  # the tests' own may ignore it, under nohup
  signal.signal(number, own)
  try:
    with StopRequest() as stop:
      assert not stop
      os.kill(os.getpid(), number)
      assert stop
      assert stop.signal == number
    assert signal.getsignal(number) is own
  finally:
    signal.signal(number, before)


def test_a_second_ctrl_c_does_not_wait():
  with StopRequest():
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
      os.kill(os.getpid(), signal.SIGINT)


def test_a_hang_up_that_is_ignored_stays_ignored():
  """As under nohup."""
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with StopRequest() as stop:
      os.kill(os.getpid(), signal.SIGHUP)
      assert not stop
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
  finally:
    signal.signal(signal.SIGHUP, before)
