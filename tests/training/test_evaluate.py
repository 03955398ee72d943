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
from seqsum.training import scores
from seqsum.training.evaluate import Predictions, make_evaluator
from seqsum.training.experiment import build_objective
from seqsum.training.optimizers import build_optimizer
from seqsum.training.parallel import compile_init
from seqsum.training.state import TEST, VALIDATION, Experiment


@pytest.fixture
def predictions():
  """Three sequences whose final errors are 0, 1 and 2."""
  targets = np.array([[2, 5, 5], [3, 3, 3], [1, 2, 5]], np.float32)
  predicted = np.array([[2, 5, 9], [4, 9, 9], [1, 4, 7]], np.float32)
  return Predictions(
    lengths=np.array([2, 1, 3], np.int32),
    labels=np.array([[2, 3, 0], [3, 0, 0], [1, 1, 3]], np.int32),
    targets=targets,
    predictions=predicted,
    losses=np.abs(predicted - targets),
    places=np.zeros((3, 2), int),
  )


def test_measures_by_hand(predictions):
  final = scores.measure(predictions, per_step=False)
  assert final == {
    "loss": pytest.approx(1),
    "mse": pytest.approx(5 / 3),
    "mae": pytest.approx(1),
    "exact_accuracy": pytest.approx(1 / 3),
  }
  every = scores.measure(predictions, per_step=True)
  assert every["loss"] == pytest.approx((0 + 0 + 1 + 0 + 2 + 2) / 6)
  assert every["mse"] == final["mse"]


def test_means_and_digits_add_metrics(predictions):
  assert set(scores.measure(predictions, False)) == {
    "loss",
    "mse",
    "mae",
    "exact_accuracy",
  }
  more = predictions.replace(
    means=predictions.targets + 0.5,
    digits=np.array([[2, 0, 9], [3, 9, 9], [1, 1, 0]], np.int32),
  )
  found = scores.measure(more, per_step=False)
  assert found["mse_of_mean"] == pytest.approx(0.25)
  assert found["digit_accuracy"] == pytest.approx(4 / 6)
  assert found["mse"] == scores.measure(predictions, False)["mse"]


def test_by_step_omits_steps_without_a_prediction(predictions):
  some = np.full_like(predictions.predictions, np.nan)
  last = np.arange(3), predictions.lengths - 1
  some[last] = predictions.predictions[last]
  parts = scores.break_down(predictions.replace(predictions=some))
  assert [x["count"] for x in parts["by_step"].values()] == [1, 1, 1]
  lost = predictions.replace(predictions=np.full_like(some, np.nan))
  by_step = scores.break_down(lost)["by_step"]
  assert [x["count"] for x in by_step.values()] == [3, 2, 1]


def test_break_down_by_hand(predictions):
  parts = scores.break_down(predictions)
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
  # No groups by target unless targets are whole numbers.
  assert not scores.break_down(predictions.replace(tolerance=0.3))["by_target"]


def test_guess_the_mean_uses_final_targets(predictions):
  assert scores.guess_the_mean(predictions, 4) == 1  # of 5, 3 and 5
  assert scores.guess_the_mean(predictions, 5) == pytest.approx(4 / 3)
  pairs = predictions.replace(
    targets=np.stack([predictions.targets] * 2, axis=-1)
  )
  assert scores.guess_the_mean(pairs, np.array([4, 6])) == pytest.approx(7 / 3)


def make_experiment(batch_size=16):
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
  """Half of the last batch counts, evenly spread over all lengths."""
  experiment, mesh = make_experiment(), make_mesh(jax.devices()[:1])
  params = compile_init(experiment, mesh, (28, 28, 1))(0).params
  make = functools.partial(
    make_evaluator,
    mesh=mesh,
    feed=lambda n: tuple(map(jnp.asarray, images)),
    sequences=24,
    batch_size=16,
  )
  test = make(experiment, stream=TEST)
  predictions = test(params)
  assert predictions.predictions.shape == (24, 4)
  np.testing.assert_array_equal(
    np.bincount(predictions.lengths, minlength=5), [0, 6, 6, 6, 6]
  )
  again = make(make_experiment(batch_size=8), stream=TEST)(params)
  np.testing.assert_array_equal(predictions.labels, again.labels)
  other = make(experiment, stream=VALIDATION)(params)
  assert (predictions.labels != other.labels).any()

  which = [20, 3]
  frames = test.frames(predictions, which)
  for strip, n in zip(frames, which, strict=True):
    length = predictions.lengths[n]
    np.testing.assert_array_equal(
      strip[:length, 0, 0, 0] % 10, predictions.labels[n, :length]
    )
    assert not strip[length:].any()


@pytest.mark.parametrize("in_one_call", [False, True])
def test_evaluation_stops_when_asked(images, in_one_call):
  evaluator = make_evaluator(
    make_experiment(),
    make_mesh(jax.devices()[:1]),
    TEST,
    lambda n: images,
    sequences=16,
    batch_size=16,
    in_one_call=in_one_call,
  )
  assert evaluator.start(None, lambda: True) is None


@pytest.mark.parametrize("devices", [1, 2])
def test_one_call_predicts_what_a_call_per_batch_predicts(images, devices):
  experiment, mesh = make_experiment(), make_mesh(jax.devices()[:devices])
  params = compile_init(experiment, mesh, (28, 28, 1))(0).params
  calls = []

  def feed(n):
    calls.append(n)
    return tuple(map(jnp.asarray, images))

  one_by_one, at_once = (
    make_evaluator(
      experiment,
      mesh,
      TEST,
      feed,
      sequences=40,  # two batches and a half
      batch_size=16,
      in_one_call=in_one_call,
    )(params)
    for in_one_call in (False, True)
  )
  assert calls == [0, 1, 2, 0]
  for name in ("lengths", "labels", "targets", "places"):
    np.testing.assert_array_equal(
      getattr(one_by_one, name), getattr(at_once, name)
    )
  np.testing.assert_allclose(
    one_by_one.predictions, at_once.predictions, rtol=1e-5, atol=1e-5
  )
