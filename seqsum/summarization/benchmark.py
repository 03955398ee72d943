"""Metrics of frame scores on SumMe, TVSum and MR.HiSum, as published.

Each metric is computed for the predicted scores, for random scores, and for
people: every annotator is compared with the others.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from seqsum.data.tvsum import Video
from seqsum.summarization import keyshots
from seqsum.summarization.rank_correlation import correlate

DRAWS = 10  # random scores of a video, whose metrics are averaged
# Metric -> what is compared. Each has a kendall_ and a spearman_ form.
COMPARED = {
  "": "scores, gtscore",
  "_users": "scores, each annotator's scores (TVSum)",
  "_masks": "scores, each annotator's summary (SumMe)",
  "_summary": "summary, mean of the annotators' (SumMe)",
}
F_SCORES = {
  "f_score_mean": "F-score of the summary, mean (TVSum)",
  "f_score_max": "F-score of the summary, maximum (SumMe)",
}
METRICS = {
  **{
    f"{name}{suffix}": f"{symbol}: {compared}"
    for suffix, compared in COMPARED.items()
    for name, symbol in (("kendall", "tau"), ("spearman", "rho"))
  },
  **F_SCORES,
}


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
    A value for each of `METRICS` whose annotations the video has:

    kendall, spearman: With gtscore.
    kendall_users, ...: With each user's scores of the frames in `picks`; the
      mean over users (TVSum: Otani et al. 2019, CA-SUM, CSTA).
    kendall_masks, ...: The same with each row of user_summary.
    kendall_summary, ...: Of the summary, 0 or 1 for each frame of the video,
      with the mean of user_summary (SumMe: CSTA, SummDiff). Random scores have
      a value above 0, since both favor short shots.
    f_score_mean, f_score_max: Of the summary, over the rows of user_summary.

    See `rank_correlation.correlate` for when a coefficient is 0 or nan.

  Raises:
    InputError: A score is nan or inf.
    ValueError: There is not one score per step.
  """
  scores = np.asarray(scores, np.float64)
  if scores.shape != video.picks.shape:
    raise ValueError(f"scores {scores.shape}, expected {video.picks.shape}")
  everywhere = upsample(scores, video.picks, video.n_frames)
  keyshots.check_finite(everywhere)
  metrics: dict[str, float] = {}
  if video.gtscore is not None:
    metrics |= _correlate(scores, video.gtscore, "")
  if video.user_scores is not None:
    metrics |= _correlate(scores, video.user_scores[:, video.picks], "_users")
  if video.user_summary is None:
    return metrics
  metrics |= _correlate(scores, video.user_summary[:, video.picks], "_masks")
  if video.shots is None:
    return metrics
  kept = keyshots.keep(everywhere, video.shots)
  mean = video.user_summary.mean(axis=0)
  f_scores = keyshots.f_scores(kept, video.user_summary)
  return metrics | _correlate(kept, mean, "_summary") | _summarize(f_scores)


def score_random(video: Video, seed: int) -> dict[str, float]:
  """The means of `score` over `DRAWS` rankings drawn at random."""
  rng = np.random.default_rng(seed)
  return _mean(
    [score(video, rng.random(len(video.picks))) for _ in range(DRAWS)]
  )


def score_people(video: Video) -> dict[str, float]:
  """Scores each annotator against the other annotators.

  Returns:
    The metrics of `score`, means over annotators; {} for fewer than two. An
    annotator's scores and summary take the place of the predicted ones. That of
    gtscore is taken by the mean of the other annotators' scores, or summaries
    if there are no scores.
  """
  found: list[dict[str, float]] = []
  users, masks = video.user_scores, video.user_summary
  for suffix, rows in (("_users", users), ("_masks", masks)):
    if rows is not None and len(rows) > 1:
      for scores, others in _leave_one_out(rows[:, video.picks]):
        found.append(_correlate(scores, others, suffix))
        if suffix == "_users" or users is None:
          found.append(_correlate(scores, others.mean(axis=0), ""))
  if masks is not None and len(masks) > 1 and video.shots is not None:
    for kept, others in _leave_one_out(masks):
      found.append(_correlate(kept, others.mean(axis=0), "_summary"))
      found.append(_summarize(keyshots.f_scores(kept, others)))
  return _mean(found)


def _leave_one_out(rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  for n, row in enumerate(rows):
    yield row, np.delete(rows, n, axis=0)


def _correlate(
  scores: np.ndarray, truth: np.ndarray, suffix: str
) -> dict[str, float]:
  tau, rho = correlate(scores, truth)
  return {f"kendall{suffix}": tau, f"spearman{suffix}": rho}


def _summarize(f_scores: np.ndarray) -> dict[str, float]:
  return {
    "f_score_mean": float(f_scores.mean()),
    "f_score_max": float(f_scores.max()),
  }


def _mean(found: list[dict[str, float]]) -> dict[str, float]:
  """Means of each metric, without nan."""
  means = {}
  for name in METRICS:
    values = np.array([x[name] for x in found if name in x])
    values = values[np.isfinite(values)]
    if values.size:
      means[name] = float(values.mean())
  return means


def table(columns: Mapping[str, Mapping[str, float]]) -> str:
  """A table of metrics, a line for each, as Markdown.

  Args:
    columns: Heading -> the values of `METRICS`, and maybe their standard
      deviations, "kendall_deviation"; "-" stands for an absent value.
  """
  lines = [
    "| metric: what is compared | " + " | ".join(columns) + " |",
    "|---" * (len(columns) + 1) + "|",
  ]
  for name, label in METRICS.items():
    if any(name in values for values in columns.values()):
      cells = [_cell(values, name) for values in columns.values()]
      lines.append(f"| {label} | " + " | ".join(cells) + " |")
  return "\n".join(lines)


def _cell(values: Mapping[str, float], name: str) -> str:
  if name not in values:
    return "-"
  deviation = values.get(f"{name}_deviation")
  text = f"{values[name]:.3f}"
  return text if deviation is None else f"{text} ± {deviation:.3f}"


def compare_splits(lines: Sequence[Mapping[str, Any]]) -> str:
  """The results of several splits as Markdown, for `Study.conclude`.

  Args:
    lines: Of results.jsonl; "variant" is a split, and "measured" the results of
      `judge.measure`.

  Returns:
    A table of means and sample standard deviations over the splits, then one of
    the predictions for each split. Runs with several seeds of a split are
    averaged first.
  """
  splits: dict[str, list[Mapping[str, Any]]] = {}
  for line in lines:
    if line["measured"]:
      splits.setdefault(line["variant"], []).append(line["measured"])
  if not splits:
    return ""
  rankings = dict.fromkeys(
    x for runs in splits.values() for y in runs for x in y
  )
  columns: dict[str, dict[str, float]] = {}
  for ranking in rankings:
    columns[ranking] = {}
    each = [
      _mean([x[ranking] for x in runs if ranking in x])
      for runs in splits.values()
    ]
    for name, mean in _mean(each).items():
      values = [x[name] for x in each if name in x]
      columns[ranking][name] = mean
      if len(values) > 1:
        columns[ranking][f"{name}_deviation"] = float(np.std(values, ddof=1))
  first = next(iter(rankings))
  runs = {
    variant: _mean([x[first] for x in found if first in x])
    for variant, found in splits.items()
  }
  return "\n".join(
    [
      f"Test videos of {len(splits)} splits, mean ± standard deviation over "
      "the splits:",
      "",
      table(columns),
      "",
      f"Each split, {first}:",
      "",
      table(runs),
      "",
    ]
  )
