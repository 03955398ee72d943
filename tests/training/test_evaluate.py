import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.models.encoder import ConvEncoder
from seqsum.models.packed_model import PackedModel
from seqsum.runtime.devices import make_mesh
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import SUM
from seqsum.training import evaluate
from seqsum.training.evaluate import Evaluation, make_evaluator
from seqsum.training.losses import build_objective
from seqsum.training.optimizers import build_optimizer
from seqsum.training.parallel import compile_init
from seqsum.training.state import TEST, VALIDATION, Experiment


@pytest.fixture
def reading():
  """Three sequences whose final errors are 0, 1 and 2."""
  targets = np.array([[2, 5, 5], [3, 3, 3], [1, 2, 5]], np.float32)
  predictions = np.array([[2, 5, 9], [4, 9, 9], [1, 4, 7]], np.float32)
  return Evaluation(
    lengths=np.array([2, 1, 3], np.int32),
    labels=np.array([[2, 3, 0], [3, 0, 0], [1, 1, 3]], np.int32),
    targets=targets,
    predictions=predictions,
    losses=np.abs(predictions - targets),
    places=np.zeros((3, 2), int),
  )


def test_measures_by_hand(reading):
  final = evaluate.measure(reading, per_step=False)
  assert final == {
    "loss": pytest.approx(1),
    "mse": pytest.approx(5 / 3),
    "mae": pytest.approx(1),
    "exact_accuracy": pytest.approx(1 / 3),
  }
  every = evaluate.measure(reading, per_step=True)
  assert every["loss"] == pytest.approx((0 + 0 + 1 + 0 + 2 + 2) / 6)
  assert every["mse"] == final["mse"]


def test_a_distribution_has_a_mean_and_frames_have_digits(reading):
  assert set(evaluate.measure(reading, False)) == {
    "loss",
    "mse",
    "mae",
    "exact_accuracy",
  }
  more = reading._replace(
    means=reading.targets + 0.5,
    digits=np.array([[2, 0, 9], [3, 9, 9], [1, 1, 0]], np.int32),
  )
  found = evaluate.measure(more, per_step=False)
  assert found["mse_of_mean"] == pytest.approx(0.25)
  assert found["digit_accuracy"] == pytest.approx(4 / 6)
  assert found["mse"] == evaluate.measure(reading, False)["mse"]


def test_steps_of_which_nothing_was_said_are_left_out(reading):
  predictions = np.full_like(reading.predictions, np.nan)
  last = np.arange(3), reading.lengths - 1
  predictions[last] = reading.predictions[last]
  parts = evaluate.break_down(reading._replace(predictions=predictions))
  assert [x["count"] for x in parts["by_step"].values()] == [1, 1, 1]
  lost = reading._replace(predictions=np.full_like(predictions, np.nan))
  by_step = evaluate.break_down(lost)["by_step"]
  assert [x["count"] for x in by_step.values()] == [3, 2, 1]


def test_break_down_by_hand(reading):
  parts = evaluate.break_down(reading)
  assert parts["by_length"]["3"] == {
    "mse": 4,
    "mae": 2,
    "exact_accuracy": 0,
    "count": 1,
  }
  assert parts["by_target"]["5"]["mse"] == 2
  assert parts["by_target"]["5"]["count"] == 2
  assert parts["by_step"]["2"] == {
    "mse": 2,
    "mae": 1,
    "exact_accuracy": 0.5,
    "count": 2,
  }
  # Targets that are no whole numbers all differ.
  assert not evaluate.break_down(reading._replace(tolerance=0.3))["by_target"]


def test_guess_the_mean_is_judged_by_the_final_targets(reading):
  assert evaluate.guess_the_mean(reading, 4) == 1  # of 5, 3 and 5
  assert evaluate.guess_the_mean(reading, 5) == pytest.approx(4 / 3)
  pairs = reading._replace(targets=np.stack([reading.targets] * 2, axis=-1))
  assert evaluate.guess_the_mean(pairs, np.array([4, 6])) == pytest.approx(
    7 / 3
  )


def make_recipe(batch_size=16):
  encoder = functools.partial(
    ConvEncoder, features=(2,), kernels=(5,), strides=(4,), pools=(1,)
  )
  return Experiment(
    model=PackedModel(encoder=encoder, widths=(4,)),
    objective=build_objective("mse"),
    optimizer=build_optimizer("sgd", 0.1),
    sampler=Sampler(SUM, batch_size),
  )


def test_held_out_sequences_are_fixed_and_can_be_drawn_again(images):
  """Of the last batch half is read, spread over all lengths."""
  experiment, mesh = make_recipe(), make_mesh(jax.devices()[:1])
  params = compile_init(experiment, mesh, (28, 28, 1))(0).params
  make = functools.partial(
    make_evaluator,
    mesh=mesh,
    feed=lambda n: tuple(map(jnp.asarray, images)),
    sequences=24,
    batch_size=16,
  )
  test = make(experiment, stream=TEST)
  reading = test(params)
  assert reading.predictions.shape == (24, 4)
  np.testing.assert_array_equal(
    np.bincount(reading.lengths, minlength=5), [0, 6, 6, 6, 6]
  )
  again = make(make_recipe(batch_size=8), stream=TEST)(params)
  np.testing.assert_array_equal(reading.labels, again.labels)
  other = make(experiment, stream=VALIDATION)(params)
  assert (reading.labels != other.labels).any()

  which = [20, 3]
  frames = test.frames(reading, which)
  for strip, n in zip(frames, which, strict=True):
    length = reading.lengths[n]
    np.testing.assert_array_equal(
      strip[:length, 0, 0, 0] % 10, reading.labels[n, :length]
    )
    assert not strip[length:].any()


def test_evaluation_can_be_asked_to_leave_off(images):
  evaluator = make_evaluator(
    make_recipe(),
    make_mesh(jax.devices()[:1]),
    TEST,
    lambda n: images,
    sequences=16,
    batch_size=16,
  )
  assert evaluator(None, should_stop=lambda: True) is None
