"""Scores of frames -> the frames of a summary, and its F-scores.

SumMe and TVSum keep whole shots: the sum of their mean scores is maximized,
while their total length stays within 15% of the video (Song et al. 2015,
"TVSum: summarizing web videos using titles"; Zhang et al. 2016, "Video
summarization with long short-term memory"). This favors short shots.
"""

import math

import numpy as np

from seqsum.data.targets import check_shots
from seqsum.runtime.errors import InputError

SHARE = 0.15  # of a video's frames in its summary
MAX_CELLS = 1 << 30  # of the knapsack's table, a byte each


def budget(frames: int, share: float = SHARE) -> int:
  """The largest number of frames in a summary: rounded down, at least 1.

  Raises:
    InputError: The share is not in 0..1.
  """
  if not 0 < share <= 1:
    raise InputError(f"share={share}: must be above 0 and at most 1")
  # 0.29 * 100 is 28.999999999999996
  return max(1, math.floor(round(frames * share, 9)))


def keep(
  scores: np.ndarray,
  shots: np.ndarray | None = None,
  share: float = SHARE,
) -> np.ndarray:
  """Chooses the frames of a summary.

  Args:
    scores: [n_frames] float, finite. If some are negative, the least is
      subtracted from all: the sum of values keeps no negative shot.
    shots: [n_shots, 2] int, the first and the last frame of each shot, see
      `check_shots`. None: keeps the single frames with the highest scores, the
      earlier of equal ones.
    share: Fraction of the frames, in 0..1.

  Returns:
    [n_frames] bool. Shots longer than the budget, and those whose scores are
    all 0 or the least of negative ones, are never kept.

  Raises:
    InputError: Scores are nan or inf, or the shots do not cover the video.
  """
  scores = np.asarray(scores, np.float64)
  check_finite(scores)
  limit = budget(len(scores), share)
  if shots is None:
    kept = np.zeros(len(scores), bool)
    kept[np.argsort(-scores, kind="stable")[:limit]] = True
    return kept
  shots = np.asarray(shots)
  check_shots(shots, len(scores))
  scores = scores - min(0.0, scores.min())
  lengths = shots[:, 1] - shots[:, 0] + 1
  values = np.add.reduceat(scores, shots[:, 0]) / lengths
  return np.repeat(knapsack(values, lengths, limit), lengths)


def check_finite(scores: np.ndarray) -> None:
  """Raises `InputError` if a frame's score, of [n_frames], is nan or inf."""
  if not np.isfinite(scores).all():
    bad = int(np.argmin(np.isfinite(scores)))
    raise InputError(f"the score of frame {bad} is {scores[bad]}")


def knapsack(
  values: np.ndarray, lengths: np.ndarray, capacity: int
) -> np.ndarray:
  """Solves the 0/1 knapsack exactly, by dynamic programming.

  `scipy.optimize.milp` finds the same sums and takes 2 to 200 times as long.

  Args:
    values: [n] float, finite.
    lengths: [n] int, at least 1.
    capacity: Upper limit of the chosen items' total length.

  Returns:
    [n] bool: the chosen items, whose sum of values is largest. Items of value
    0 or less are not chosen.

  Raises:
    InputError: The table would need more than 1 GiB.
  """
  capacity = min(int(capacity), int(lengths.sum()))
  if len(values) * (capacity + 1) > MAX_CELLS:
    raise InputError(
      f"{len(values)} shots and {capacity} frames to choose are too many: cut "
      "the video, or use fewer shots"
    )
  best = np.zeros(capacity + 1)  # the largest sum for each capacity
  takes = np.zeros((len(values), capacity + 1), bool)
  for i, (value, length) in enumerate(zip(values, lengths, strict=True)):
    if length <= capacity:
      with_it = best[: capacity + 1 - length] + value
      takes[i, length:] = with_it > best[length:]
      best[length:] = np.maximum(best[length:], with_it)
  taken = np.zeros(len(values), bool)
  room = capacity
  for i in range(len(values) - 1, -1, -1):
    taken[i] = takes[i, room]
    room -= lengths[i] * taken[i]
  return taken


def f_scores(kept: np.ndarray, users: np.ndarray) -> np.ndarray:
  """F-scores of a summary against each user's.

  SumMe reports their maximum over users, TVSum their mean (Zhang et al. 2016).

  Args:
    kept: [n_frames] bool.
    users: [U, n_frames] bool.

  Returns:
    [U] float64 in 0..1, the harmonic mean of precision and recall; 0 without a
    common frame, also for two empty summaries.
  """
  kept, users = np.asarray(kept, bool), np.asarray(users, bool)
  shared = (users & kept).sum(axis=1)
  return 2 * shared / np.maximum(users.sum(axis=1) + kept.sum(), 1)
