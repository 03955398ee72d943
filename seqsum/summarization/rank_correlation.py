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
    equal. nan if none is left, or if a number is nan; 0 if all `scores` are
    equal, which is what a random order of them has on average.
  """
  return _mean(scores, truth, scipy.stats.kendalltau)


def spearman(scores: np.ndarray, truth: np.ndarray) -> float:
  """Spearman's rho: Pearson's correlation of ranks; see `kendall`.

  Equal scores have their mean rank.
  """
  return _mean(scores, truth, scipy.stats.spearmanr)


def _mean(
  scores: np.ndarray, truth: np.ndarray, correlate: Callable[..., Any]
) -> float:
  scores, truth = np.asarray(scores), np.atleast_2d(truth)
  ranked = [row for row in truth if _has_order(row)]
  if not ranked:
    return float("nan")
  if not _has_order(scores):
    return 0.0 * float(scores[0])  # nan of a nan
  return float(np.mean([correlate(scores, row).statistic for row in ranked]))


def _has_order(scores: np.ndarray) -> bool:
  return bool((scores != scores[0]).any())


def middle(frames: int) -> np.ndarray:
  """Scores that fall linearly from the middle of a video to both ends.

  Returns:
    [frames] float64 in 0..1.
  """
  away = np.abs(2 * np.arange(frames) - (frames - 1))  # in half frames
  return 1 - away / max(frames, 1)
