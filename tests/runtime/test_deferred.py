import threading

import pytest

from seqsum.runtime.deferred import Deferred


def test_off_a_call_is_made_at_once():
  made = []
  with Deferred(False, in_thread=True) as later:
    later.add(lambda: made.append(threading.current_thread()))
    assert made == [threading.main_thread()]


def test_without_a_thread_calls_are_made_when_waited_for():
  made = []
  with Deferred(True, in_thread=False) as later:
    for n in range(3):
      later.add(lambda n=n: made.append(n))
    assert made == []
    later.wait(2)
    assert made == [0, 1, 2]


def test_a_thread_makes_calls_in_order():
  made, start = [], threading.Event()
  with Deferred(True, in_thread=True) as later:
    later.add(lambda: start.wait(60))
    for n in range(9):
      later.add(lambda n=n: made.append(n))
    assert made == []
    start.set()
    later.wait(3)  # six of ten are made
    assert made[:6] == [0, 1, 2, 3, 4, 5]
    later.wait()
    assert made == list(range(9))


def test_after_a_failure_no_call_is_made():
  made, start = [], threading.Event()

  def fail():
    start.wait(60)
    raise OSError("no space left")

  with Deferred(True, in_thread=True) as later:
    later.add(fail)
    later.add(lambda: made.append(1))
    start.set()
    with pytest.raises(OSError, match="no space left"):
      later.wait()
    later.wait()
  assert made == []


def test_an_error_of_the_caller_ends_the_thread():
  made, start = [], threading.Event()

  def call():
    with Deferred(True, in_thread=True) as later:
      later.add(lambda: start.wait(60))
      later.add(lambda: made.append(1))
      threading.Timer(0.1, start.set).start()
      raise KeyError

  with pytest.raises(KeyError):
    call()
  assert start.is_set()
  assert made == []
