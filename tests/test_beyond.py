"""Whole runs with all that configs/beyond asks for, in this process."""

import dataclasses
import json
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_runs import assert_same_run, lines, summary

from configs import fold as base
from seqsum import train
from seqsum.runs.restore import restore_best
from seqsum.runs.session import open_session
from seqsum.runtime.devices import make_mesh
from seqsum.sequences.augment import Augmentation
from seqsum.sequences.batch import SequenceBatch
from seqsum.studies import probes
from seqsum.training import step
from seqsum.training.experiment import build_experiment
from seqsum.training.metrics import Totals
from seqsum.training.parallel import compile_init, compile_step
from seqsum.training.state import update_ema
from seqsum.training.step import train_steps


def config(**changes):
  config = base.get_config()
  config.update_from_flattened_dict(
    {
      "epochs": 2,
      "sequences_per_epoch": 160,
      "batch_size": 16,
      "log_every": 5,
      "eval_sequences": 64,
      "eval_batch_size": 32,
      "data.name": "digits",
      "sequence.num_sequences": 100,
      "model.conv.features": (4, 8, 8),
      "model.dense": (16,),
    }
    | changes
  )
  return config


class Never:
  """Nobody asks to stop."""

  signal = None

  def __bool__(self):
    return False


class Soon(Never):
  """Somebody does, at the twelfth look."""

  signal = signal.SIGTERM
  looks = 0

  def __bool__(self):
    self.looks += 1
    return self.looks >= 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("beyond") / "whole"
  assert train.train_and_evaluate(config(), workdir, Never())
  return workdir


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(whole, tmp_path):
  """With fixed sequences, warped frames, warm-up and averaged parameters."""
  workdir = tmp_path / "stopped"
  once = train.train_and_evaluate(config(), workdir, Soon(), report=False)
  assert once is None
  assert train.train_and_evaluate(config(), workdir, Never(), report=False)
  assert_same_run(whole, workdir)


@pytest.mark.slow
def test_the_test_line_has_digits_and_the_report_their_flow(whole):
  test = summary(whole)["test"]
  assert 0 < test["digit_accuracy"] < 1
  assert test["mse_of_mean"] < test["mse"]
  assert set(test["by_step"]) == {"1", "2", "3", "4"}
  assert any("digit_accuracy" in x for x in lines(whole))
  assert (whole / "report" / "flow.png").read_bytes().startswith(b"\x89PNG")
  assert "How the distribution flows" in (
    whole / "report" / "index.html"
  ).read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_reads_sequences_longer_than_it_knew(whole):
  session = open_session(config(), whole)
  with session.checkpoints() as checkpoints:
    _, state = restore_best(session, checkpoints)
  found = probes.by_length(session, state.evaluated, (4, 40), 16)
  assert [x["length"] for x in found] == [4, 40]
  assert all(np.isfinite(x["mse"]) for x in found)
  # The average is what was tested, and is not the parameters.
  differ = jax.tree.map(
    lambda a, b: (a != b).any(), state.params, state.evaluated
  )
  assert all(jax.tree.leaves(differ))
  assert json.loads((whole / "summary.json").read_text())


def test_the_average_by_hand():
  """At step 1 the decay is 2/11, at step 89 it is 90/99; then 0.95."""
  average = {"w": np.float32(1.0)}
  params = {"w": np.float32(12.0)}
  for n, decay in ((1, 2 / 11), (89, 90 / 99), (10_000, 0.95)):
    found = update_ema(average, params, 0.95, np.int32(n))
    expected = decay * 1.0 + (1 - decay) * 12.0
    np.testing.assert_allclose(found["w"], expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_the_step_keeps_the_average(bundled, devices):
  experiment = build_experiment(config(**{"optimizer.ema_decay": 0.5}))
  mesh = make_mesh(jax.devices()[:devices])
  state = compile_init(experiment, mesh, (28, 28, 1))(0)
  jax.tree.map(np.testing.assert_array_equal, state.params, state.ema_params)
  average = jax.device_get(state.ema_params)
  advance = compile_step(train_steps, mesh, experiment=experiment, donate=True)
  for n in (1, 2):
    state, _ = advance(state, Totals.zero(), None, 0, *bundled.train)
    average = update_ema(average, state.params, 0.5, np.int32(n))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6),
    state.evaluated,
    average,
  )
  off = dataclasses.replace(experiment, ema_decay=0.0)
  assert (
    jax.eval_shape(compile_init(off, mesh, (28, 28, 1)), 0).ema_params == ()
  )


def test_evaluation_sees_frames_as_they_are():
  experiment = build_experiment(config())
  assert experiment.sampler.augmentation == Augmentation(2, 12.0, 0.12, 1.5)
  assert experiment.sampler.num_sequences == 100


LONG = {
  "sequence.num_sequences": 0,
  "sequence.min_len": 40,
  "sequence.max_len": 40,
  "task.center_targets": 0.8,
}

recentred = jax.jit(step._recentred, static_argnums=(2, 3))


def test_recentred_targets_by_hand():
  """Uniform digits say 180 in the mean; these targets are 30 above in theirs.

  That is 0.75 a digit; four fifths of it are 24 a sequence of 40.
  """
  experiment = build_experiment(config(**LONG, batch_size=2))
  batch = SequenceBatch(
    frames=jnp.zeros((2, 40, 28, 28, 1), jnp.uint8),
    lengths=jnp.array([40, 40]),
    labels=None,
    targets=jnp.tile(jnp.array([[200.0], [220.0]]), (1, 40)),
  )
  uniform = jnp.full((2, 40, 10), -jnp.log(10.0))
  found = recentred(uniform, batch, experiment, None)
  np.testing.assert_array_equal(found[:, -1], [176, 196])
  # A target that was the largest there is cannot be moved beyond it.
  sure = jnp.log(jax.nn.one_hot(jnp.full((2, 40), 9), 10) + 1e-9)
  highest = batch.replace(
    targets=jnp.tile(jnp.array([[0.0], [360.0]]), (1, 40))
  )
  found = recentred(sure, highest, experiment, None)
  np.testing.assert_array_equal(found[:, -1], [144, 360])


def test_recentred_numbers_by_hand():
  """A number may be any; lengths have their share of the common error."""
  experiment = build_experiment(
    config(**LONG, **{"model.core": "additive", "loss": "mse"})
  )
  batch = SequenceBatch(
    frames=jnp.zeros((2, 3, 28, 28, 1), jnp.uint8),
    lengths=jnp.array([1, 3]),
    labels=None,
    targets=jnp.array([[5.0, 5.0, 5.0], [4.0, 9.0, 9.0]]),
  )
  said = jnp.array([[4.0, 0, 0], [1.0, 2.0, 3.0]])[..., None]
  # Wrong by 1 and 6, that is 7 in 4 digits; four fifths are 1.4 a digit.
  found = recentred(said, batch, experiment, None)
  np.testing.assert_allclose(found[:, 0], [5 - 1.4, 9 - 4.2], rtol=1e-6)


@pytest.mark.slow
def test_recentring_sees_the_batch_of_all_devices(bundled):
  experiment = build_experiment(config(**LONG))
  params = []
  for devices in (1, 8):
    mesh = make_mesh(jax.devices()[:devices])
    state = compile_init(experiment, mesh, (28, 28, 1))(0)
    advance = compile_step(
      train_steps, mesh, experiment=experiment, donate=True
    )
    state, totals = advance(state, Totals.zero(), None, 0, *bundled.train)
    params.append((jax.device_get(state.params), float(totals.loss)))
  (one, loss), (eight, other) = params
  assert other == pytest.approx(loss, rel=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), one, eight
  )


@pytest.mark.slow
def test_long_sums_teach_digits_if_they_are_recentred(bundled):
  """After the same 300 steps; a tenth is what guessing gets."""
  said = {}
  for share in (0.0, 0.9):
    long = config(
      **{
        "epochs": 1,
        "sequences_per_epoch": 300 * 8,
        "batch_size": 8,
        "sequence.num_sequences": 0,
        "sequence.min_len": 128,
        "sequence.max_len": 128,
        "sequence.rotate": 0.0,
        "sequence.scale": 0.0,
        "sequence.elastic": 0.0,
        "sequence.shift": 0,
        "task.center_targets": share,
        "optimizer.ema_decay": 0.0,
        "model.conv.features": (8, 16, 32),
        "model.conv.strides": (2, 2, 1),
        "model.conv.pool": (1, 1, 1),
        "model.dense": (32,),
      }
    )
    experiment = build_experiment(long)
    mesh = make_mesh(jax.devices()[:1])
    state = compile_init(experiment, mesh, (28, 28, 1))(0)
    advance = compile_step(
      train_steps, mesh, experiment=experiment, donate=True
    )
    for _ in range(300):
      state, _ = advance(state, Totals.zero(), None, 0, *bundled.train)
    images, labels = (x[:256] for x in bundled.validation)
    inputs = experiment.model.apply(state.params, images[None])
    said[share] = (
      experiment.model.known_fold.digits(inputs)[0] == labels
    ).mean()
  print(said)
  assert said[0.0] < 0.2
  assert said[0.9] > 0.3
