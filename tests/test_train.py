"""The loop with several steps in a call, as on a GPU or TPU.

There a line of metrics, a checkpoint and a validation must not stop the device:
the next call is dispatched before the host waits for their numbers.
"""

import collections
import json
import logging
import re
import threading

import jax
import numpy as np
import pytest
from short_runs import assert_same_run, assert_same_summary, first, lines

from configs import sum_tiny
from seqsum import train
from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.writer import MetricsWriter
from seqsum.runtime.deferred import Deferred
from seqsum.runtime.errors import Diverged
from seqsum.runtime.signals import StopRequest


def configure(**fields):
  config = sum_tiny.get_config()
  fields = {
    "data.name": "digits",
    "epochs": 2,
    "sequences_per_epoch": 80,
    "batch_size": 8,
    "log_every": 4,
    "eval_sequences": 48,
    "eval_batch_size": 32,
    "checkpoint.every_steps": 6,
    "steps_per_call": 4,
    # On a CPU, XLA's convolutions are slow in loops.
    "model.conv.features": (2,),
    "model.conv.kernels": (5,),
    "model.conv.strides": (4,),
    "model.conv.pool": (1,),
    "model.dense": (),
    "model.hidden_sizes": (4,),
  } | fields
  config.update_from_flattened_dict(fields)
  return config


def train_in(folder, stop=None, **fields):
  stop = stop or StopRequest()
  return train.train_and_evaluate(
    configure(**fields), folder, stop, report=False
  )


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  """A run of four steps a call that is never stopped."""
  folder = tmp_path_factory.mktemp("whole") / "run"
  train_in(folder)
  return folder


def test_lines_are_those_of_one_step_a_call(whole, tmp_path):
  train_in(tmp_path / "run", steps_per_call=1)
  one, several = lines(tmp_path / "run"), lines(whole)
  for ours, theirs in zip(one, several, strict=True):
    for name in ("step", "epoch", "split"):
      assert ours[name] == theirs[name]
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-4)
  found = [(x["step"], x["split"]) for x in several if x["step"] % 10 == 0]
  assert found == [
    *((step, split) for step in (10, 20) for split in ("train", "validation")),
    (20, "test"),
  ]


def test_every_program_is_compiled_once(tmp_path, caplog):
  """In a thread of `compile_all`, of which nothing is logged here."""
  with jax.log_compiles(), caplog.at_level(logging.WARNING):
    train_in(tmp_path / "run", epochs=1)
  lowered, compiled = (
    collections.Counter(re.findall(rf"{words} jit\((\w+)\)", caplog.text))
    for words in ("Compiling", "Finished XLA compilation of")
  )
  programs = {"train_steps": 1, "init_state": 1, "all_batches": 2}
  assert {name: lowered[name] for name in programs} == programs
  assert not compiled.keys() & programs


class Events(list):
  """Calls of the compiled step, lines and saves of a run, in order."""

  def __init__(self, monkeypatch):
    events, write, save = self, MetricsWriter.write, Checkpoints.save
    compile_step = train.compile_step
    self.called = threading.Condition()

    class Recorded:
      def __init__(self, *args, **options):
        self.step = compile_step(*args, **options)
        self.lower = self.step.lower

      def __call__(self, state, totals, count, *rest):
        with events.called:
          events.append(("call", count))
          events.called.notify_all()
        return self.step(state, totals, count, *rest)

    def record_write(self, line):
      events.append((line["split"], line["step"]))
      write(self, line)

    def record_save(self, step, tree, best=None):
      if self.latest_step != step:
        events.append(("save", step, int(tree[0].step)))
      save(self, step, tree, best)

    monkeypatch.setattr(train, "compile_step", Recorded)
    monkeypatch.setattr(MetricsWriter, "write", record_write)
    monkeypatch.setattr(Checkpoints, "save", record_save)


LINES = [
  ("train", 4),
  ("save", 6, 6),
  ("train", 8),
  ("train", 10),
  ("save", 10, 10),
  ("validation", 10),
  ("test", 10),
]


def test_calls_do_not_wait_for_lines(tmp_path, monkeypatch):
  """The first line is not written before the last call."""
  events = Events(monkeypatch)
  check = train.check_finite

  def wait_for_calls(*args):
    with events.called:
      assert events.called.wait_for(
        lambda: len([x for x in events if x[0] == "call"]) == 4, timeout=60
      )
    check(*args)

  monkeypatch.setattr(train, "check_finite", wait_for_calls)
  train_in(tmp_path / "run", epochs=1)
  calls = [("call", 4), ("call", 2), ("call", 2), ("call", 2)]
  assert events == calls + LINES


@pytest.mark.slow
def test_with_processes_the_next_call_is_dispatched_before_a_line_is_read(
  tmp_path, monkeypatch
):
  """Several processes must save in the same order: in the main thread."""
  events = Events(monkeypatch)
  monkeypatch.setattr(
    train, "Deferred", lambda is_on, _: Deferred(is_on, in_thread=False)
  )
  train_in(tmp_path / "run", epochs=1)
  assert [x for x in events if x[0] != "call"] == LINES
  assert events[:6] == [
    ("call", 4),
    ("call", 2),
    ("train", 4),
    ("call", 2),
    ("save", 6, 6),
    ("call", 2),
  ]


@pytest.mark.parametrize("calls", first([2, 6]))
def test_a_stopped_run_continues_bit_for_bit(whole, tmp_path, calls):
  class Stop(StopRequest):
    left = calls

    def agreed(self):
      self.left -= 1
      return self.left < 0

  assert train_in(tmp_path / "run", Stop()) is None
  assert lines(tmp_path / "run") != lines(whole)
  train_in(tmp_path / "run")
  assert_same_run(tmp_path / "run", whole)
  assert_same_summary(tmp_path / "run", whole)


@pytest.mark.slow
def test_divergence_is_that_of_one_step_a_call(tmp_path):
  ends = []
  for steps_per_call in (1, 4):
    folder = tmp_path / str(steps_per_call)
    with pytest.raises(Diverged):
      train_in(
        folder,
        steps_per_call=steps_per_call,
        **{"optimizer.learning_rate": 1e30, "loss": "mse"},
      )
    ends.append(json.loads((folder / "diverged.json").read_text()))
    ends[-1].pop("wall_seconds")
    assert not (folder / "metrics.jsonl").read_text()
  assert ends[0] == ends[1]


def test_validation_is_one_call(tmp_path, monkeypatch):
  calls = []
  jit = jax.lax.map

  def record(function, xs, **options):
    calls.append(len(xs))
    return jit(function, xs, **options)

  monkeypatch.setattr(jax.lax, "map", record)
  train_in(tmp_path / "run", epochs=1, sequences_per_epoch=32)
  assert calls == [2, 2]  # traced for validation and for test
