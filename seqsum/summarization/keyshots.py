"""Scores of frames -> which frames a summary keeps, and how good that is.

SumMe and TVSum keep whole shots: those whose mean scores sum to most while
their lengths stay within 15% of the video (Song et al. 2015, "TVSum:
summarizing web videos using titles"; Zhang et al. 2016, "Video summarization
with long short-term memory"). Short shots are favoured by that, which is how
the field does it.
"""

import math

import numpy as np

from seqsum.data.tvsum import check_shots
from seqsum.runtime.errors import InputError

SHARE = 0.15  # of a video's frames that a summary may have
MOST_CELLS = 1 << 30  # of the knapsack's table, a byte each


def budget(frames: int, share: float = SHARE) -> int:
  """How many of so many frames may be kept: rounded down, but at least 1.

  Raises:
    InputError: The share is not in 0..1.
  """
  if not 0 < share <= 1:
    raise InputError(f"share={share}: must be above 0 and at most 1")
  # 0.29 * 100 is 28.999999999999996.
  return max(1, math.floor(round(frames * share, 9)))


def keep(
  scores: np.ndarray,
  shots: np.ndarray | None = None,
  share: float = SHARE,
) -> np.ndarray:
  """Chooses a summary.

  Args:
    scores: [n_frames] float, finite.
    shots: [n_shots, 2] int, the first and the last frame of each, as
      `check_shots` wants them; or None: single frames are kept then, those of
      the highest scores, of equals the earlier.
    share: How much may be kept, of 1.

  Returns:
    [n_frames] bool. Of shots that are all longer than the budget, and of those
    with a mean score of 0 or less, none is kept.

  Raises:
    InputError: Scores are nan or inf, or the shots are not the video's.
  """
  scores = np.asarray(scores, np.float64)
  if scores.ndim != 1 or not scores.size:
    raise ValueError(f"scores {scores.shape}, expected [n_frames]")
  if not np.isfinite(scores).all():
    bad = int(np.argmin(np.isfinite(scores)))
    raise InputError(f"the score of frame {bad} is {scores[bad]}: not a number")
  limit = budget(len(scores), share)
  if shots is None:
    kept = np.zeros(len(scores), bool)
    kept[np.argsort(-scores, kind="stable")[:limit]] = True
    return kept
  shots = np.asarray(shots)
  check_shots(shots, len(scores))
  lengths = shots[:, 1] - shots[:, 0] + 1
  values = np.add.reduceat(scores, shots[:, 0]) / lengths
  return np.repeat(knapsack(values, lengths, limit), lengths)


def knapsack(
  values: np.ndarray, lengths: np.ndarray, capacity: int
) -> np.ndarray:
  """0/1 knapsack, exact, by dynamic programming over the capacity.

  Args:
    values: [n] float, finite.
    lengths: [n] int, at least 1.
    capacity: What the lengths that are taken may sum to.

  Returns:
    [n] bool: what to take so that the values sum to most. Nothing is taken
    that adds nothing.

  Raises:
    InputError: It would need more than a GiB.
  """
  values, lengths = np.asarray(values, np.float64), np.asarray(lengths)
  if values.shape != lengths.shape or values.ndim != 1:
    raise ValueError(f"values {values.shape} and lengths {lengths.shape}")
  if len(lengths) and lengths.min() < 1:
    raise ValueError(f"a length of {lengths.min()}, expected 1 at least")
  capacity = min(int(capacity), int(lengths.sum()))
  if len(values) * (capacity + 1) > MOST_CELLS:
    raise InputError(
      f"{len(values)} shots to choose {capacity} frames from are too many: cut "
      "the video, or use fewer shots"
    )
  best = np.zeros(capacity + 1)  # by how much room there is
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
  """How much a summary shares with each user's.

  For a video, SumMe takes the best of them and TVSum their mean (Zhang et al.
  2016).

  Args:
    kept: [n_frames] bool.
    users: [U, n_frames] bool.

  Returns:
    [U] float64 in 0..1, the harmonic mean of precision and recall; 0 if nothing
    is shared, also between two that are empty.
  """
  kept, users = np.asarray(kept, bool), np.asarray(users, bool)
  if kept.ndim != 1 or users.shape[1:] != kept.shape:
    raise ValueError(
      f"kept {kept.shape} and users {users.shape}, expected [T] and [U, T]"
    )
  shared = (users & kept).sum(axis=1)
  return 2 * shared / np.maximum(users.sum(axis=1) + kept.sum(), 1)
