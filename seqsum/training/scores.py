"""Metrics of the predictions of a split, on the host."""

import math
from typing import Any

import numpy as np

from seqsum.sequences.tasks import ROUNDING
from seqsum.training.evaluate import Predictions
from seqsum.training.metrics import is_exact


def measure(predictions: Predictions, per_step: bool) -> dict[str, float]:
  """The metrics of a validation line: loss, mse, mae, exact_accuracy.

  All but the loss are of final predictions; with `per_step` the loss is the
  mean over all real steps. A predicted distribution, whose prediction is its
  mode, adds `mse_of_mean`; a core with the reduction built in adds
  `digit_accuracy` of the digits, for which it has no labels.
  """
  steps = np.arange(predictions.losses.shape[1])
  real = steps < predictions.lengths[:, None]
  losses = (
    predictions.losses[real]
    if per_step
    else predictions.final(predictions.losses)
  )
  target = predictions.final(predictions.targets)
  metrics = {"loss": float(losses.mean(dtype=np.float64))} | _errors(
    predictions.final(predictions.predictions), target, predictions.tolerance
  )
  if predictions.means is not None:
    mean = predictions.final(predictions.means)
    metrics["mse_of_mean"] = _errors(mean, target)["mse"]
  if predictions.digits is not None:
    digits, labels = map(np.asarray, (predictions.digits, predictions.labels))
    right = np.equal(digits, labels)[real]
    metrics["digit_accuracy"] = float(right.mean())
  return metrics


def break_down(predictions: Predictions) -> dict[str, dict[str, Any]]:
  """The metrics by length, by target and by step that a test line adds.

  `by_step` compares predictions at each real step, whether or not the loss
  covers them; it omits steps without a prediction, as of long sums whose fold
  is computed at the last step only. `by_target` is empty unless targets are
  whole numbers.
  """
  prediction = predictions.final(predictions.predictions)
  target = predictions.final(predictions.targets)
  tolerance = predictions.tolerance

  def errors(prediction: Any, target: Any) -> dict[str, Any]:
    counted = {"count": len(target)}
    return _errors(prediction, target, tolerance) | counted

  def group(by: Any) -> dict[str, Any]:
    return {
      f"{value:g}": errors(prediction[by == value], target[by == value])
      for value in np.unique(by)
    }

  by_step = {}
  missing = np.isnan(predictions.predictions) & ~np.isnan(prediction)[:, None]
  missing = missing.reshape(*missing.shape[:2], -1).any(axis=-1)
  for t in range(predictions.targets.shape[1]):
    real = (predictions.lengths > t) & ~missing[:, t]
    if real.any():
      by_step[str(t + 1)] = errors(
        predictions.predictions[real, t], predictions.targets[real, t]
      )
  is_whole = target.ndim == 1 and tolerance == ROUNDING
  return {
    "by_length": group(predictions.lengths),
    "by_target": group(target) if is_whole else {},
    "by_step": by_step,
  }


def guess_the_mean(predictions: Predictions, mean: np.ndarray | float) -> float:
  """The mse of predicting the mean training target, [] or [D], every time."""
  target = predictions.final(predictions.targets).astype(np.float64)
  return float(np.square(target - np.asarray(mean)).mean())


def _errors(
  prediction: np.ndarray, target: np.ndarray, tolerance: float = ROUNDING
) -> dict[str, float]:
  error = prediction.astype(np.float64) - target
  return {
    "mse": float(np.square(error).mean()),
    "mae": float(np.abs(error).mean()),
    "exact_accuracy": float(is_exact(prediction, target, tolerance).mean()),
  }


def number(value: float | None, digits: int = 3) -> str:
  """Formats a metric for people; None, inf and nan are "not finite"."""
  if value is None or not math.isfinite(value):
    return "not finite"
  if min(1e3, 10.0**digits) <= abs(value) < 1e9:
    return f"{value:,.0f}"
  return f"{value:.{digits}g}"
