"""Runs with the options of configs/beyond, in this process."""

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
from seqsum.training.evaluate import make_evaluator
from seqsum.training.experiment import build_experiment
from seqsum.training.metrics import Totals
from seqsum.training.parallel import compile_init, compile_step
from seqsum.training.state import TEST, TRAIN
from seqsum.training.step import train_steps
from seqsum.training.updates import center_targets, update_ema


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
  """A request that never stops the run."""

  signal = None

  def agreed(self):
    return False


class Soon(Never):
  """A request that stops the run when it is read for the twelfth time."""

  signal = signal.SIGTERM
  looks = 0

  def agreed(self):
    self.looks += 1
    return self.looks >= 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("beyond") / "whole"
  assert train.train_and_evaluate(config(), workdir, Never())
  return workdir


@pytest.mark.slow
def test_a_stopped_run_resumes_bit_for_bit(whole, tmp_path):
  """With fixed sequences, warped frames, warm-up and averaged parameters."""
  workdir = tmp_path / "stopped"
  once = train.train_and_evaluate(config(), workdir, Soon(), report=False)
  assert once is None
  assert train.train_and_evaluate(config(), workdir, Never(), report=False)
  assert_same_run(whole, workdir)


@pytest.mark.slow
def test_a_known_fold_adds_digit_accuracy_and_a_flow_figure(whole):
  test = summary(whole)["test"]
  assert 0 < test["digit_accuracy"] < 1
  assert test["mse_of_mean"] < test["mse"]
  assert set(test["by_step"]) == {"1", "2", "3", "4"}
  assert any("digit_accuracy" in x for x in lines(whole))
  assert (whole / "report" / "flow.png").read_bytes().startswith(b"\x89PNG")
  assert "How the distribution evolves" in (
    whole / "report" / "index.html"
  ).read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_run_predicts_longer_sequences_than_in_training(whole):
  session = open_session(config(), whole)
  with session.checkpoints() as checkpoints:
    _, state = restore_best(session, checkpoints)
  found = probes.by_length(session, state.evaluated, (4, 40), 16, deformed=[4])
  assert [x["length"] for x in found] == [4, 40]
  assert all(np.isfinite(x["mse"]) for x in found)
  assert ["deformed" in x for x in found] == [True, False]
  # Other images than those of the test, and not as they are.
  sampler = dataclasses.replace(session.experiment.sampler, min_len=4)
  plain = make_evaluator(
    dataclasses.replace(session.experiment, sampler=sampler),
    session.mesh,
    TEST,
    session.feed(TRAIN),
    sequences=16,
    batch_size=session.mesh.size * 100,
  )(state.evaluated)
  error = plain.final(plain.predictions) - plain.final(plain.targets)
  others = found[0]["mse"], (error**2).mean()
  assert all(abs(x - found[0]["deformed"]["mse"]) > 1e-3 for x in others)
  # The moving average was tested; it differs from the parameters.
  differ = jax.tree.map(
    lambda a, b: (a != b).any(), state.params, state.evaluated
  )
  assert all(jax.tree.leaves(differ))
  assert json.loads((whole / "summary.json").read_text())


@pytest.mark.slow
def test_digits_of_all_test_images_are_counted(whole):
  with open_session(config(), whole, is_new=False) as session:
    with session.checkpoints() as checkpoints:
      _, state = restore_best(session, checkpoints)
    counts = np.array(probes.confusion(session, state.evaluated))
    misread = probes.misread(session, state.evaluated)
    images, labels = session.data.feed("test", None, 1)(0)
  images, labels = np.asarray(images), np.asarray(labels)
  np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(labels))
  outputs = session.experiment.model.apply(state.evaluated, images[:, None])
  digits = np.asarray(outputs)[:, 0, :10].argmax(-1)  # sums of one digit
  assert np.trace(counts) == (digits == labels).sum()
  wrong = len(labels) - np.trace(counts)
  assert (
    misread["test"].items() >= {"misread": wrong, "of": len(labels)}.items()
  )
  assert 0 < misread["validation"]["misread"] <= misread["validation"]["of"]


@pytest.mark.slow
@pytest.mark.parametrize(
  ("name", "changes"),
  [
    ("sorted", {"sequence.min_len": 2}),
    ("subtraction", {"model.core": "carry", "sequence.min_len": 4}),
    ("subtraction", {"model.core": "gru", "sequence.min_len": 4}),
    ("max", {"model.core": "gru", "loss": "mse", "task.target": "standard"}),
  ],
)
def test_other_folds_train(name, changes, tmp_path):
  changed = config(**{"task.name": name, "sequences_per_epoch": 64} | changes)
  assert train.train_and_evaluate(changed, tmp_path / "run", Never())
  test = summary(tmp_path / "run")["test"]
  assert np.isfinite(test["loss"])
  assert set(test["by_target"]) <= set(map(str, range(10)))
  pictures = {x.stem for x in (tmp_path / "run" / "report").glob("*.png")}
  assert ("flow" in pictures) == (name == "sorted")
  assert "agreement" in pictures


def test_the_moving_average_by_hand():
  """At step 1 the decay is 2/11, at step 89 it is 90/99; then 0.95."""
  average = {"w": np.float32(1.0)}
  params = {"w": np.float32(12.0)}
  for n, decay in ((1, 2 / 11), (89, 90 / 99), (10_000, 0.95)):
    found = update_ema(average, params, 0.95, np.int32(n))
    expected = decay * 1.0 + (1 - decay) * 12.0
    np.testing.assert_allclose(found["w"], expected, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_a_step_updates_the_moving_average(bundled, devices):
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


def test_augmentation_and_fixed_sequences_are_those_of_the_config():
  sampler = build_experiment(config()).sampler
  assert sampler.augmentation == Augmentation(2, 12.0, 0.12, 1.5)
  assert sampler.num_sequences == 100
  assert sampler.held_out(4).augmentation == Augmentation()
  moved = probes.MovedSampler(**vars(sampler)).held_out(4)
  assert moved.augmentation == sampler.augmentation
  assert (moved.batch_size, moved.num_sequences) == (4, 0)


LONG = {
  "sequence.num_sequences": 0,
  "sequence.min_len": 40,
  "sequence.max_len": 40,
  "task.center_targets": 0.8,
}

centered = jax.jit(center_targets, static_argnums=(2, 3))


def test_centered_targets_of_a_distribution_by_hand():
  """Uniform digits have a mean of 180; the targets' mean is 30 higher.

  That is 0.75 a digit, of which four fifths are 24 for a sequence of 40.
  """
  experiment = build_experiment(config(**LONG, batch_size=2))
  batch = SequenceBatch(
    frames=jnp.zeros((2, 40, 28, 28, 1), jnp.uint8),
    lengths=jnp.array([40, 40]),
    labels=None,
    targets=jnp.tile(jnp.array([[200.0], [220.0]]), (1, 40)),
  )
  uniform = jnp.full((2, 40, 10), -jnp.log(10.0))
  found = centered(uniform, batch, experiment, None)
  np.testing.assert_array_equal(found[:, -1], [176, 196])
  # The corrected target is clipped to the largest sum, 360.
  sure = jnp.log(jax.nn.one_hot(jnp.full((2, 40), 9), 10) + 1e-9)
  highest = batch.replace(
    targets=jnp.tile(jnp.array([[0.0], [360.0]]), (1, 40))
  )
  found = centered(sure, highest, experiment, None)
  np.testing.assert_array_equal(found[:, -1], [144, 360])


def test_centered_targets_of_a_number_by_hand():
  """The correction of a number is proportional to the length, unrounded."""
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
  # The errors are 1 and 6, 7 in 4 digits; four fifths of it are 1.4 a digit.
  found = centered(said, batch, experiment, None)
  np.testing.assert_allclose(found[:, 0], [5 - 1.4, 9 - 4.2], rtol=1e-6)


@pytest.mark.slow
def test_the_mean_error_is_that_of_all_devices(bundled):
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
def test_long_sums_teach_digits_if_targets_are_centered(bundled):
  """After 300 steps, with and without; guessing has an accuracy of 0.1."""
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
