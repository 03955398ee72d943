"""How well importance scores put frames in people's order, and by chance.

Otani et al. 2019, "Rethinking the evaluation of video summaries": an F-score of
summaries is mostly decided by how a video was cut into shots, so what a model
says of frames is judged by the order that it puts them in, against every
annotator's, and beside what random scores and people themselves reach.
"""

from collections.abc import Callable

import numpy as np
import scipy  # its parts are imported when they are used

Coefficient = Callable[[np.ndarray, np.ndarray], float]


def kendall(scores: np.ndarray, truth: np.ndarray) -> float:
  """Kendall's tau-b: 1 is the same order, -1 the reverse.

  Ties count as tau-b has them (Kendall 1945): a pair that is tied on one side
  lowers the coefficient, whichever way the other side has it.

  Args:
    scores: [T] float or int, higher is more important.
    truth: [T] of one annotator, or [U, T] of many.

  Returns:
    In -1..1, averaged over annotators. Scores that are all equal are no order,
    so such an annotator is left out; nan if none is left, if `scores` are so,
    or if any number is nan.

  Raises:
    ValueError: The shapes do not go together.
  """
  return _mean(
    scores, truth, lambda a, b: scipy.stats.kendalltau(a, b).statistic
  )


def spearman(scores: np.ndarray, truth: np.ndarray) -> float:
  """Spearman's rho: Pearson's correlation of ranks, of equals their mean rank.

  See `kendall`.
  """
  return _mean(
    scores, truth, lambda a, b: scipy.stats.spearmanr(a, b).statistic
  )


def _mean(
  scores: np.ndarray, truth: np.ndarray, coefficient: Coefficient
) -> float:
  scores, truth = np.asarray(scores), np.atleast_2d(truth)
  if scores.ndim != 1 or truth.shape[1:] != scores.shape or not truth.size:
    raise ValueError(
      f"scores {scores.shape} and truth {truth.shape}, expected [T] and [U, T]"
    )
  people = [row for row in truth if _has_order(row)]
  if not people or not _has_order(scores):
    return float("nan")
  return float(np.mean([coefficient(scores, row) for row in people]))


def _has_order(scores: np.ndarray) -> bool:
  return bool((scores != scores[0]).any())


def chance(
  truth: np.ndarray,
  coefficient: Coefficient = kendall,
  draws: int = 100,
  seed: int = 0,
) -> float:
  """What uniformly random scores reach, in the mean of some draws.

  Args:
    truth: [T] or [U, T].
    coefficient: `kendall` or `spearman`.
    draws: How many scores are drawn, 1 at least. A mean of 100 is off by about
      0.07 / sqrt(T) (of tau, one annotator).
    seed: Of the draws.
  """
  shape = (draws, np.shape(truth)[-1])
  drawn = np.random.default_rng(seed).random(shape)
  return float(np.mean([coefficient(scores, truth) for scores in drawn]))


def human(truth: np.ndarray, coefficient: Coefficient = kendall) -> float:
  """What an annotator reaches, judged by all others, in the mean.

  Args:
    truth: [U, T], U at least 2. Annotators that give no order do not count.
    coefficient: `kendall` or `spearman`.
  """
  truth = np.asarray(truth)
  if truth.ndim != 2 or len(truth) < 2:
    raise ValueError(f"truth {truth.shape}, expected [U, T], U at least 2")
  judged = [
    coefficient(row, np.delete(truth, i, axis=0))
    for i, row in enumerate(truth)
    if _has_order(row)
  ]
  return float(np.mean(judged)) if judged else float("nan")


def middle(frames: int) -> np.ndarray:
  """Scores of one who points the camera well: the middle matters most.

  Returns:
    [frames] float64 in 0..1, falling evenly from the middle to both ends.
  """
  away = np.abs(2 * np.arange(frames) - (frames - 1))  # in half frames
  return 1 - away / max(frames, 1)
