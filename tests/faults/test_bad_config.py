"""Random configs: each trains or is refused with one clear line."""

import collections
import functools
import re
import subprocess
import sys
from unittest import mock

import jax
import pytest
from absl import flags
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from ml_collections import config_flags
from short_runs import ROOT

from seqsum import train
from seqsum.runs.session import check
from seqsum.runtime import cli
from seqsum.runtime.errors import Diverged, InputError
from seqsum.runtime.signals import StopRequest
from seqsum.training.metrics import Totals
from seqsum.training.state import init_state
from seqsum.training.step import train_steps

INTEGERS = ["1", "2", "3", "8", "0", "-1", "1.5", "many", "", "None", "True"]
HUGE = ["2147483647", "9999999999999999999999"]
NUMBERS = ["1e-3", "0.5", "1", "0", "-1", "nan", "inf", "1e400", "few", ""]
TUPLES = [
  *("(4,)", "(4,4)", "(8, 3)", "4", "()", "(0,)", "(-1, 2)", "(1.5,)"),
  *("(4,4,4)", "('a',)", "((4,),)", "(4", "[4, 4]", "None", "(99999,)"),
]
TRUTHS = ["True", "False", "true", "0", "2", "maybe", ""]
FIELDS = {
  "seed": INTEGERS + HUGE,
  "epochs": INTEGERS + HUGE,
  "sequences_per_epoch": INTEGERS + HUGE,
  "batch_size": INTEGERS + HUGE[1:],
  "accumulate": INTEGERS + HUGE,
  "log_every": INTEGERS + HUGE,
  "steps_per_call": INTEGERS + HUGE,
  "eval_sequences": INTEGERS + HUGE,
  "eval_batch_size": INTEGERS + HUGE,
  "log_norms": TRUTHS,
  "deterministic": TRUTHS,
  "matmul_precision": ["default", "high", "highest", "float64", "", "3"],
  "loss": ["mse", "mae", "huber", "cross_entropy", "l2", "", "3"],
  "on_nonfinite": ["stop", "skip", "continue", "go", ""],
  "sequence.min_len": INTEGERS + HUGE,
  "sequence.max_len": INTEGERS + HUGE,
  "sequence.packed": TRUTHS,
  "sequence.shift": INTEGERS + HUGE,
  "sequence.curriculum": NUMBERS,
  "task.name": ["sum", "product", "mean", "", "sum product"],
  "task.per_step": TRUTHS,
  "task.target": ["raw", "standard", "log", "odd", ""],
  "model.core": ["gru", "gru_keras1", "lstm", "simple", "bigru", "GRU", ""],
  "model.cell_activation": ["tanh", "relu", "gelu", "softmax", "__class__"],
  "model.recurrence": ["flax", "fused", "keras"],
  "model.remat": INTEGERS + HUGE,
  "model.input_max": NUMBERS,
  "model.activation": ["tanh", "sigmoid", "nothing"],
  "model.conv.features": TUPLES,
  "model.conv.kernels": TUPLES,
  "model.conv.strides": TUPLES,
  "model.conv.pool": TUPLES,
  "model.conv.group_size": INTEGERS + HUGE,
  "model.hidden_sizes": TUPLES,
  "model.dtype": ["float32", "bfloat16", "float64", "int8"],
  "optimizer.name": ["rmsprop", "adam", "sgd", "lion", ""],
  "optimizer.learning_rate": NUMBERS,
  "optimizer.decay": NUMBERS,
  "optimizer.clip_norm": NUMBERS,
  "optimizer.schedule": ["cosine", "constant", "step"],
  "checkpoint.every_steps": INTEGERS + HUGE,
  "checkpoint.keep": INTEGERS + HUGE,
  # Unknown fields, sections and misspelled paths.
  "": ["3"],
  "model": ["3", "None"],
  "model.conv.": ["3"],
  "model.hidden_sizes[0]": ["4", "0", "x"],
  "model.hidden_sizes[7]": ["4"],
  "model.hidden_sizes.0": ["4"],
  "optimizer..name": ["sgd"],
  "sequence.max_lne": ["4"],
  "__class__": ["3"],
  "model.__dict__": ["3"],
}
SMALL = {
  "batch_size": "8",
  "model.hidden_sizes": "(4,)",
  "model.conv.features": "(4, 4)",
  "model.conv.strides": "(4, 2)",
}


def draws(fields, least, most):
  """Lists of (field, value), no field twice."""
  pairs = st.sampled_from(sorted(fields)).flatmap(
    lambda field: st.tuples(st.just(field), st.sampled_from(fields[field]))
  )
  first = lambda pair: pair[0]
  return st.lists(pairs, min_size=least, max_size=most, unique_by=first)


def parse(overrides):
  """Parses a config as `seqsum.main` does from its command line."""
  values = flags.FlagValues()
  config = config_flags.DEFINE_config_file("config", flag_values=values)
  words = ["seqsum", f"--config={ROOT / 'configs' / 'sum_tiny.py'}"]
  words += [f"--config.{field}={value}" for field, value in overrides.items()]
  # ml_collections looks for overrides in sys.argv.
  with mock.patch.object(sys, "argv", words), cli.flag_errors():
    values(words)
  return config.value


def build(overrides):
  """(config, experiment), or the error message."""
  try:
    config = parse(SMALL | dict(overrides))
    experiment, _, _ = check(config)
  except InputError as error:
    return str(error)
  return config, experiment


def check_words(words):
  assert "\n" not in words
  assert len(words) < 600
  assert re.search(r"[a-z]{3}", words)


def is_affordable(config):
  sizes = (
    config.batch_size,
    config.sequence.max_len,
    config.accumulate,
    *config.model.hidden_sizes,
    *config.model.conv.features,
  )
  return max(sizes) <= 4096 and config.sequence.shift < 100


def traced(experiment, bundled):
  """Traces two steps without compiling them."""
  init = functools.partial(init_state, experiment, image_shape=(28, 28, 1))
  state = jax.eval_shape(init, 0)
  step = functools.partial(train_steps, experiment=experiment)
  for _ in range(2):
    state, totals = jax.eval_shape(
      step, state, Totals.zero(), None, 0, *bundled
    )
  return state, totals


LEAN = settings(
  deadline=None,
  database=None,
  derandomize=True,
  suppress_health_check=[HealthCheck.too_slow],
)


def test_a_config_traces_or_is_refused_in_one_line(bundled):
  seen = collections.Counter()

  @settings(LEAN, max_examples=150)
  @given(overrides=draws(FIELDS, 1, 4))
  @example(overrides=[("seed", HUGE[1])])
  @example(overrides=[("epochs", HUGE[0])])
  @example(overrides=[("sequence.max_len", HUGE[0])])
  @example(overrides=[("model.hidden_sizes[0]", "x")])
  @example(overrides=[("model", "3")])
  @example(overrides=[("", "3")])
  def check_one(overrides):
    built = build(overrides)
    if isinstance(built, str):
      check_words(built)
      seen["one clear line"] += 1
    elif is_affordable(built[0]):
      state, totals = traced(built[1], bundled.train)
      assert state.step.shape == totals.loss.shape == ()
      seen["traced for two steps"] += 1
    else:
      seen["too large to try"] += 1

  check_one()
  assert min(seen["one clear line"], seen["traced for two steps"]) > 10
  print(dict(seen))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_valid_configs_train_two_steps(tmp_path_factory):
  """Whole runs, without their reports."""
  ends = {"epochs": "1", "sequences_per_epoch": "16", "batch_size": "8"}
  few = {"eval_sequences": "8", "eval_batch_size": "8", "accumulate": "1"}
  fixed = ends | few
  good = {
    field: [x for x in values if not isinstance(build({field: x}), str)]
    for field, values in FIELDS.items()
    if field not in fixed
  }
  good = {field: values for field, values in good.items() if values}
  seen = collections.Counter()

  @settings(LEAN, max_examples=5)
  @given(overrides=draws(good, 3, 6))
  def check_one(overrides):
    built = build(dict(overrides) | fixed)
    if isinstance(built, str):
      check_words(built)
      seen["one clear line"] += 1
    elif is_affordable(built[0]):
      workdir = tmp_path_factory.mktemp("run")
      try:
        with StopRequest() as stop:
          summary = train.train_and_evaluate(
            built[0], workdir, stop, report=False
          )
        assert summary["sequences"] == 16
        seen["trained"] += 1
      except Diverged as end:
        check_words(str(end))
        seen["diverged"] += 1

  check_one()
  assert seen["trained"] > 0
  print(dict(seen))


@pytest.mark.slow
@pytest.mark.parametrize(
  "overrides",
  [
    ["--config.seed=9999999999999999999999"],
    ["--config.model=3"],
    ["--config.model.hidden_sizes[0]=3"],
    ["--config.=3"],
    ["--config.model.conv.features=(4"],
  ],
)
def test_a_command_refuses_overrides_in_one_line(run, tmp_path, overrides):
  done = run(
    "--config=configs/sum_tiny.py", f"--workdir={tmp_path}", *overrides
  )
  assert done.returncode == 1
  assert "Traceback" not in done.stderr
  assert done.stderr.strip().splitlines()[-1].startswith("seqsum: ")


TOO_LARGE = """
import jax.numpy as jnp
from seqsum.runtime import cli
cli.run(lambda: int(jnp.zeros((1 << 45,), jnp.uint8).sum()))
"""


@pytest.mark.slow
def test_out_of_memory_is_one_line(environment):
  done = subprocess.run(
    [sys.executable, "-c", TOO_LARGE],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
    timeout=280,
  )
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  assert line.startswith("seqsum: out of memory: lower config.batch_size")
