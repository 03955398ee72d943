import numpy as np
import pytest

from seqsum import evaluate
from seqsum.evaluate import Evaluation


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


def test_guess_the_mean_is_the_variance_of_the_targets(reading):
  assert evaluate.guess_the_mean(reading) == pytest.approx(np.var([5, 3, 5]))
