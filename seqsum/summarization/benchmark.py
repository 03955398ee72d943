"""Scores of a benchmark's videos, judged as the field does."""

import numpy as np

from seqsum.data.tvsum import Video
from seqsum.summarization import keyshots
from seqsum.summarization.rank_correlation import kendall, spearman


def upsample(scores: np.ndarray, picks: np.ndarray, frames: int) -> np.ndarray:
  """Scores of some frames -> of all, by holding each until the next.

  Args:
    scores: [n_steps].
    picks: [n_steps] int, ascending.
    frames: How many there are.

  Returns:
    [frames]; those before the first pick have the first score.
  """
  last = np.searchsorted(picks, np.arange(frames), side="right") - 1
  return np.asarray(scores)[np.maximum(last, 0)]


def score(video: Video, scores: np.ndarray) -> dict[str, float]:
  """Judges scores as the field does.

  Args:
    video: Whose.
    scores: [n_steps] float, finite, of the frames in `picks`.

  Returns:
    "kendall" and "spearman" against gtscore; "kendall_users" and
    "spearman_users" against each user's scores of all frames, averaged, if the
    file has them; "f_score_mean", TVSum's measure, and "f_score_max", SumMe's.
    See `rank_correlation` for when a coefficient is nan.

  Raises:
    InputError: A score is nan or inf.
  """
  scores = np.asarray(scores, np.float64)
  if scores.shape != video.picks.shape:
    raise ValueError(f"scores {scores.shape}, expected {video.picks.shape}")
  everywhere = upsample(scores, video.picks, video.n_frames)
  kept = keyshots.keep(everywhere, video.shots)
  shared = keyshots.f_scores(kept, video.user_summary)
  judged = {
    "kendall": kendall(scores, video.gtscore),
    "spearman": spearman(scores, video.gtscore),
    "f_score_mean": float(shared.mean()),
    "f_score_max": float(shared.max()),
  }
  if video.user_scores is not None:
    judged["kendall_users"] = kendall(everywhere, video.user_scores)
    judged["spearman_users"] = spearman(everywhere, video.user_scores)
  return judged
