"""inf and nan in losses, gradients and optimizer states."""

import dataclasses
import functools
import itertools
import json
import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_runs import QUICK, first, lines, state

from seqsum.models.encoder import ConvEncoder
from seqsum.models.packed_model import PackedModel
from seqsum.runtime.devices import make_mesh
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import SUM
from seqsum.training.losses import regression
from seqsum.training.metrics import MOST_SKIPPED, NEVER, Totals
from seqsum.training.optimizers import build_optimizer
from seqsum.training.parallel import compile_init, compile_step
from seqsum.training.state import Experiment
from seqsum.training.step import train_steps
from seqsum.training.updates import is_finite

BATCH, HIGH = 8, 12
# Losses that are not finite where the target is high, each in another way.
BAD = {
  # Its gradient is 0.
  "inf in the loss": lambda p, y: math.inf + 0 * p,
  # The value is 0, its gradient inf * 0; that of the others is 0.
  "nan in the gradient": lambda p, y: jnp.sqrt(jnp.where(y > HIGH, p - p, 1)),
  # Both finite, but RMSProp squares it.
  "inf in the optimizer": lambda p, y: 1e25 * p,
}


def make(bad=None, skip=True, **fields):
  encoder = functools.partial(
    ConvEncoder, features=(4,), kernels=(5,), strides=(4,), pools=(1,)
  )
  loss = lambda p, y: jnp.square(p - y)
  if bad:
    loss = lambda p, y: jnp.where(y > HIGH, BAD[bad](p, y), jnp.square(p - y))
  fields = {"objective": regression(loss)} | fields
  return Experiment(
    model=PackedModel(encoder=encoder, widths=(4,)),
    optimizer=build_optimizer("rmsprop", 1e-3),
    sampler=Sampler(SUM, BATCH, max_len=2),
    skip_nonfinite=skip,
    **fields,
  )


def steps(experiment, data, count, devices=1):
  """[(state, totals of that step), ...], beginning with the initial state."""
  mesh = make_mesh(jax.devices()[:devices])
  step = compile_step(train_steps, mesh, experiment=experiment, donate=False)
  taken = [(compile_init(experiment, mesh, (28, 28, 1))(0), Totals.zero())]
  for _ in range(count):
    taken.append(step(taken[-1][0], Totals.zero(), None, 0, *data))
  return jax.device_get(taken)


@pytest.mark.parametrize(
  ("devices", "bad"), first(itertools.product((1, 4), BAD))
)
def test_a_nonfinite_update_is_skipped(bundled, bad, devices):
  taken = steps(make(bad), bundled.train, 6, devices)
  dropped = [int(totals.skipped) for _, totals in taken]
  assert 0 < sum(dropped) < 6  # some batches have high targets, some have not
  for n in range(1, 7):
    (before, _), (after, totals) = taken[n - 1 : n + 1]
    assert after.step == n
    assert is_finite(after)
    same = jax.tree.map(
      np.array_equal,
      (before.params, before.opt_state),
      (after.params, after.opt_state),
    )
    assert all(jax.tree.leaves(same)) == dropped[n]
    assert totals.sequences == (0 if dropped[n] else BATCH)
    assert math.isfinite(totals.loss)


@pytest.mark.slow
def test_skip_nonfinite_does_not_change_finite_steps(bundled):
  with_it = steps(make(skip=True), bundled.train, 3)[-1][0]
  without = steps(make(skip=False), bundled.train, 3)[-1][0]
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), with_it, without
  )


@pytest.mark.parametrize("bad", first(BAD))
def test_a_nonfinite_step_is_detected_without_skipping(bundled, bad):
  """By the totals or by the state, which a run checks."""
  state, totals = steps(make(bad, skip=False), bundled.train, 6)[-1]
  seen = totals.nonfinite != NEVER or not is_finite(state)
  if bad == "inf in the loss":  # of the last step alone, here
    _, each = zip(*steps(make(bad, skip=False), bundled.train, 6), strict=True)
    seen = any(x.nonfinite != NEVER for x in each)
  assert seen


@pytest.mark.slow
def test_an_overflow_in_bfloat16_is_skipped(bundled):
  """1e38 * 25 exceeds the largest number of bfloat16, as of float32."""
  experiment = make()
  model = dataclasses.replace(experiment.model, dtype=jnp.bfloat16)
  experiment = dataclasses.replace(experiment, model=model)
  step = jax.jit(functools.partial(train_steps, experiment=experiment))
  one = make_mesh(jax.devices()[:1])
  state = compile_init(experiment, one, (28, 28, 1))(0)
  large = jax.tree.map(lambda x: jnp.full_like(x, 1e38), state.params)
  after, totals = step(
    state.replace(params=large), Totals.zero(), None, 0, *bundled.train
  )
  assert totals.skipped == 1
  jax.tree.map(np.testing.assert_array_equal, after.params, large)


def test_consecutive_skips_are_counted_across_lines():
  good = Totals.zero().replace(sequences=np.float32(8))
  bad = Totals.zero().of_skipped()
  totals = Totals.zero()
  for _ in range(MOST_SKIPPED - 1):
    totals = totals.merge(bad)
  assert totals.in_a_row == totals.skipped == MOST_SKIPPED - 1
  assert totals.merge(good).in_a_row == 0
  totals = totals.reset()
  assert totals.skipped == 0
  totals = totals.merge(bad)
  assert totals.skipped == 1
  assert totals.in_a_row == MOST_SKIPPED
  assert totals.merge(good).in_a_row == MOST_SKIPPED  # never reset


def test_a_line_has_the_number_of_skipped_updates():
  bad = Totals.zero().of_skipped()
  means = bad.merge(bad).means()
  assert means["skipped"] == 2
  assert math.isnan(means["mse"])
  assert means["exact_accuracy"] == 0
  assert "skipped" not in Totals.zero().means()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_run_stops_at_the_next_line_or_after_20_skips(run, tmp_path, dtype):
  flags = (
    *QUICK,
    "--config.optimizer.learning_rate=3e38",  # the first update overflows
    f"--config.model.dtype={dtype}",
  )
  ends = {}
  for mode in ("stop", "skip"):
    workdir = tmp_path / mode
    mode_flags = *flags, f"--config.on_nonfinite={mode}"
    done = run(*mode_flags, f"--workdir={workdir}")
    assert done.returncode == 1
    (*_, line) = done.stderr.strip().splitlines()
    ends[mode] = json.loads((workdir / "diverged.json").read_text())
    written = lines(workdir)
    if mode == "stop":
      assert re.search(r"inf or nan at step \d", line)
      # Detected at the next line, four steps at most, and never written.
      assert all(x["step"] < ends[mode]["step"] for x in written)
      assert ends[mode]["step"] - sum(4 for _ in written) <= 4
    else:
      assert re.search(
        r"skipped \d\d updates in a row that were inf or nan", line
      )
      assert ends[mode]["skipped_in_a_row"] >= MOST_SKIPPED
      assert 1 <= ends[mode]["step"] <= 40
      dropped = sum(x.get("skipped", 0) for x in written)
      assert dropped >= MOST_SKIPPED - 4
      if (workdir / "checkpoints").exists():
        _, arrays = state(workdir)
        assert all(np.isfinite(x).all() for x in arrays)
    again = run(*mode_flags, f"--workdir={workdir}")  # same message again
    assert again.returncode == 1
    assert again.stderr.strip().splitlines()[-1] == line
