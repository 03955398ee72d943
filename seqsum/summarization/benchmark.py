"""Metrics of frame scores on SumMe and TVSum."""

import numpy as np

from seqsum.data.tvsum import Video
from seqsum.summarization import keyshots
from seqsum.summarization.rank_correlation import kendall, spearman


def upsample(scores: np.ndarray, picks: np.ndarray, frames: int) -> np.ndarray:
  """Scores of some frames -> scores of all; each holds until the next.

  Args:
    scores: [n_steps].
    picks: [n_steps] int, ascending.
    frames: Number of all frames.

  Returns:
    [frames]; frames before the first pick have the first score.
  """
  last = np.searchsorted(picks, np.arange(frames), side="right") - 1
  return np.asarray(scores)[np.maximum(last, 0)]


def score(video: Video, scores: np.ndarray) -> dict[str, float]:
  """Compares predicted scores with the annotations of a video.

  Args:
    scores: [n_steps] float, finite, of the frames in `picks`.

  Returns:
    "kendall" and "spearman" against gtscore; "kendall_users" and
    "spearman_users", means over the users' scores of all frames, if the file
    has them; "f_score_mean", TVSum's metric, and "f_score_max", SumMe's. See
    `rank_correlation` for when a coefficient is nan.

  Raises:
    InputError: A score is nan or inf.
    ValueError: There is not one score per step.
  """
  scores = np.asarray(scores, np.float64)
  if scores.shape != video.picks.shape:
    raise ValueError(f"scores {scores.shape}, expected {video.picks.shape}")
  everywhere = upsample(scores, video.picks, video.n_frames)
  kept = keyshots.keep(everywhere, video.shots)
  f_scores = keyshots.f_scores(kept, video.user_summary)
  metrics = {
    "kendall": kendall(scores, video.gtscore),
    "spearman": spearman(scores, video.gtscore),
    "f_score_mean": float(f_scores.mean()),
    "f_score_max": float(f_scores.max()),
  }
  if video.user_scores is not None:
    metrics["kendall_users"] = kendall(everywhere, video.user_scores)
    metrics["spearman_users"] = spearman(everywhere, video.user_scores)
  return metrics
