"""Rank correlations of importance scores with those of annotators.

F-scores of summaries depend mostly on how a video was cut into shots, so the
scores of frames are compared by rank instead (Otani et al. 2019, "Rethinking
the evaluation of video summaries").
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy  # imports scipy.stats at its first use


def kendall(scores: np.ndarray, truth: np.ndarray) -> float:
  """Kendall's tau-b: 1 for the same order, -1 for the reverse.

  A pair that is tied in one of the two rankings lowers the coefficient (Kendall
  1945).

  Args:
    scores: [T] float or int, higher is more important.
    truth: [T] of one annotator, or [U, T] of several.

  Returns:
    In -1..1, averaged over annotators, without those whose scores are all
    equal. nan if none is left, if all `scores` are equal, or if a number is
    nan.
  """
  return _mean(scores, truth, scipy.stats.kendalltau)


def spearman(scores: np.ndarray, truth: np.ndarray) -> float:
  """Spearman's rho: Pearson's correlation of ranks; see `kendall`.

  Equal scores have their mean rank.
  """
  return _mean(scores, truth, scipy.stats.spearmanr)


def correlate(scores: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
  """Kendall's tau and Spearman's rho of predicted scores; see `kendall`.

  A prediction that is the same for all frames has 0, as a random order of the
  frames has on average. nan would leave its video out of means over videos.
  """
  scores, truth = np.asarray(scores), np.atleast_2d(truth)
  is_constant = np.isfinite(scores).all() and not _has_order(scores)
  if is_constant and any(map(_has_order, truth)):
    return 0.0, 0.0
  return kendall(scores, truth), spearman(scores, truth)


def _mean(
  scores: np.ndarray, truth: np.ndarray, coefficient: Callable[..., Any]
) -> float:
  scores, truth = np.asarray(scores), np.atleast_2d(truth)
  ranked = [row for row in truth if _has_order(row)]
  if not ranked or not _has_order(scores):
    return float("nan")
  return float(np.mean([coefficient(scores, row).statistic for row in ranked]))


def _has_order(scores: np.ndarray) -> bool:
  return bool((scores != scores[0]).any())


def middle(frames: int) -> np.ndarray:
  """Scores that fall linearly from the middle of a video to both ends.

  Returns:
    [frames] float64 in 0..1.
  """
  away = np.abs(2 * np.arange(frames) - (frames - 1))  # in half frames
  return 1 - away / max(frames, 1)
