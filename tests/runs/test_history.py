from short_runs import line

from seqsum.runs.history import best_step, is_validated


def test_best_step_has_the_lowest_validation_metric_or_is_the_last():
  history = [
    line(1, "validation", mse=3.0, loss=0.1),
    line(2, "validation", mse=2.0),
    line(3, "validation", mse=2.0),
    line(4, "validation", mse=None),
    line(5, "train", mse=0.1),
  ]
  assert best_step(history) == 2
  assert best_step(history[:1] + history[4:], "loss") == 1
  assert best_step(history, "last") == 3  # the mse of step 4 is not finite
  assert best_step(history[:2], "last") == 2
  assert best_step(history[3:]) is None
  assert best_step(history[3:], "last") is None
  assert is_validated(history, 3)
  assert not is_validated(history, 5)
