"""Metrics of SumMe and TVSum, against formulas of their own.

The protocols are those of evaluation_metrics.py of e-apostolidis/CA-SUM and
thswodnjs3/CSTA, vsum_tools.py of KaiyangZhou/pytorch-vsumm-reinforce (F-scores)
and "rank order statistics.ipynb" of mayu-ot/rethinking-evs (people).
"""

import itertools

import numpy as np
import pytest

from seqsum.data.tvsum import Video
from seqsum.runtime.errors import InputError
from seqsum.summarization import annotations, benchmark, judge

STEPS, FRAMES = 9, 15 * 8 + 7


def tau_b(x, y):
  """Kendall's tau-b over all pairs: scipy is not used."""
  a, b = (np.sign(np.subtract.outer(1.0 * v, 1.0 * v)) for v in (x, y))
  return (a * b).sum() / np.sqrt((a != 0).sum() * (b != 0).sum())


def rho(x, y):
  """Pearson's correlation of ranks; equal values share their mean rank."""
  ranks = [
    [(v < e).sum() + ((v == e).sum() + 1) / 2 for e in v] for v in (x, y)
  ]
  return np.corrcoef(ranks)[0, 1]


def f_score(kept, user):
  precision = (kept & user).sum() / kept.sum()
  recall = (kept & user).sum() / user.sum()
  return 2 * precision * recall / max(precision + recall, 1e-9)


@pytest.fixture
def video():
  rng = np.random.default_rng(1)
  cuts = [0, 8, 20, 27, 45, 60, 66, 90, 97, 110, FRAMES]
  users = np.zeros((3, FRAMES), bool)
  for row, starts in zip(users, ([8, 57], [28, 60], [8, 59, 100]), strict=True):
    for start in starts:
      row[start : start + 7] = True
  return Video(
    name="video_2",
    title=None,
    n_frames=FRAMES,
    picks=15 * np.arange(STEPS),
    features=None,
    width=4,
    gtscore=rng.random(STEPS).astype(np.float32),
    shots=np.array([[a, b - 1] for a, b in itertools.pairwise(cuts)]),
    user_summary=users,
    user_scores=rng.integers(1, 6, (3, FRAMES)).astype(np.float32),
  )


def test_metrics_equal_those_of_the_published_protocols(video):
  scores = np.random.default_rng(0).random(STEPS)
  found = benchmark.score(video, scores)
  assert found.keys() == benchmark.METRICS.keys()
  for name, formula in (("kendall", tau_b), ("spearman", rho)):
    # CA-SUM, CSTA: the annotators' scores [::15], averaged over annotators.
    users = [formula(scores, user[::15]) for user in video.user_scores]
    masks = [formula(scores, user[::15]) for user in video.user_summary]
    assert found[name] == pytest.approx(formula(scores, video.gtscore))
    assert found[f"{name}_users"] == pytest.approx(np.mean(users))
    assert found[f"{name}_masks"] == pytest.approx(np.mean(masks))
  # The best of all sets of shots within int(0.15 * n_frames).
  held = scores.repeat(15)[:FRAMES]
  first, last = video.shots.T
  means = [held[a : b + 1].mean() for a, b in video.shots]
  choices = [
    chosen
    for n in range(1 << len(means))
    if (chosen := [i for i in range(len(means)) if n >> i & 1]) is not None
    and sum(last[i] - first[i] + 1 for i in chosen) <= int(0.15 * FRAMES)
  ]
  best = max(choices, key=lambda chosen: sum(means[i] for i in chosen))
  kept = np.zeros(FRAMES, bool)
  for i in best:
    kept[first[i] : last[i] + 1] = True
  assert kept.any()
  mean = video.user_summary.mean(axis=0)
  assert found["kendall_summary"] == pytest.approx(tau_b(kept, mean))
  assert found["spearman_summary"] == pytest.approx(rho(kept, mean))
  f_scores = [f_score(kept, user) for user in video.user_summary]
  assert found["f_score_mean"] == pytest.approx(np.mean(f_scores))
  assert found["f_score_max"] == pytest.approx(max(f_scores))


def test_people_are_compared_with_the_others(video):
  found = benchmark.score_people(video)
  scores, masks = video.user_scores[:, ::15], video.user_summary
  pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
  assert found["kendall_users"] == pytest.approx(
    np.mean([tau_b(scores[i], scores[j]) for i, j in pairs])
  )
  others = [np.delete(scores, i, axis=0).mean(axis=0) for i in range(3)]
  assert found["spearman"] == pytest.approx(
    np.mean([rho(scores[i], others[i]) for i in range(3)])
  )
  f_scores = np.array([[f_score(masks[i], x) for x in masks] for i in range(3)])
  f_scores = f_scores[~np.eye(3, dtype=bool)].reshape(3, 2)
  assert found["f_score_mean"] == pytest.approx(f_scores.mean())
  assert found["f_score_max"] == pytest.approx(f_scores.max(axis=1).mean())
  assert found.keys() == benchmark.METRICS.keys()
  # SumMe: masks only.
  found = benchmark.score_people(video._replace(user_scores=None))
  assert "kendall_users" not in found
  masks = masks[:, ::15]
  assert found["kendall_masks"] == pytest.approx(
    np.mean([tau_b(masks[i], masks[j]) for i, j in pairs])
  )
  # MR.HiSum: one summary, of nobody.
  alone = video._replace(user_scores=None, user_summary=masks[:1])
  assert benchmark.score_people(alone) == {}


def test_metrics_without_their_annotations_are_left_out(video):
  scores = np.arange(STEPS)
  names = lambda **changes: set(
    benchmark.score(video._replace(**changes), scores)
  )
  everything = set(benchmark.METRICS)
  summary = {"kendall_summary", "spearman_summary", *benchmark.F_SCORES}
  masks = {"kendall_masks", "spearman_masks"}
  assert names(gtscore=None) == everything - {"kendall", "spearman"}
  assert names(shots=None) == everything - summary
  assert names(user_summary=None) == everything - summary - masks
  assert names(user_scores=None, user_summary=None) == {"kendall", "spearman"}


def test_random_scores_are_averaged_over_draws(video):
  found = benchmark.score_random(video, 5)
  rng = np.random.default_rng(5)
  draws = [
    benchmark.score(video, rng.random(STEPS)) for _ in range(benchmark.DRAWS)
  ]
  for name in ("kendall_users", "f_score_max"):
    assert found[name] == pytest.approx(np.mean([x[name] for x in draws]))
  assert found == benchmark.score_random(video, 5)


def test_annotations_are_those_of_the_number_or_title(tmp_path, video):
  path = tmp_path / "ydata-tvsum50-anno.tsv"
  scores = np.random.default_rng(0).integers(1, 6, (2, 20, FRAMES))
  path.write_text(
    "".join(
      f"{title}\tVT\t{','.join(map(str, row))}\n"
      for title, rows in zip(
        ["AwmHb44_ouw", "98MoyGZKHXc"], scores, strict=True
      )
      for row in rows
    )
  )
  second, titled = annotations.add(
    [video, video._replace(title="AwmHb44_ouw")], path
  )
  np.testing.assert_array_equal(second.user_scores, scores[1])
  np.testing.assert_array_equal(titled.user_scores, scores[0])
  assert second.user_scores.dtype == np.float32
  for name in ("video_3", "video_0", "mine"):
    with pytest.raises(InputError, match=f"no annotations of '{name}'"):
      annotations.add([video._replace(name=name)], path)
  with pytest.raises(InputError, match="'video_2' has 99 frames: not the"):
    annotations.add([video._replace(n_frames=99)], path)


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("", "has no annotations"),
    ("a,b\n", "line 1: expected title, category and scores"),
    ("x\tVT\t1,2\nx\tVT\t1,nan\n", "line 2: expected title"),
    ("x\tVT\t1,2\nx\tVT\t1,2,3\n", "line 2: 3 scores of 'x', .* before has 2"),
  ],
)
def test_invalid_annotations_are_refused(tmp_path, text, words):
  path = tmp_path / "x.tsv"
  path.write_text(text)
  with pytest.raises(InputError, match=words) as caught:
    annotations.read(path)
  assert "\n" not in str(caught.value)


def test_videos_are_judged_beside_chance_and_people(video):
  example = judge.Example(np.zeros((STEPS, 1, 1, 4)), video.gtscore, video)
  results = judge.judge([example], {"truth": lambda frames, n: video.gtscore})
  assert list(results) == [
    "truth",
    "the middle of the video",
    "chance",
    "people",
  ]
  assert results["truth"]["kendall"] == pytest.approx(1)
  chance = benchmark.score_random(video, 0)
  assert results["chance"]["f_score_max"] == chance["f_score_max"]
  assert results["people"]["kendall_users"] == pytest.approx(
    benchmark.score_people(video)["kendall_users"]
  )
  head, _, row, *rows = judge.table(results).splitlines()
  assert head.split(" | ")[1:] == [*list(results)[:3], "people |"]
  assert row.startswith("| tau: scores, gtscore | 1.000 ± 0.000 |")
  assert len(rows) == len(benchmark.METRICS) - 1


def test_splits_are_compared():
  lines = [
    {
      "variant": f"split_{n}",
      "measured": {
        "predicted importance": {"kendall": value, "kendall_deviation": 9.0},
        "chance": {"kendall": 0.0, "f_score_max": 0.5},
      },
    }
    for n, value in ((0, 0.1), (0, 0.3), (1, 0.4))
  ]
  lines.append({"variant": "split_2", "measured": None})  # diverged
  text = benchmark.compare_splits(lines)
  # Split 0 has the mean 0.2; (0.2 + 0.4) / 2, deviation 0.2 / sqrt(2).
  assert "Test videos of 2 splits" in text
  assert "| tau: scores, gtscore | 0.300 ± 0.141 | 0.000 ± 0.000 |" in text
  assert (
    "| F-score of the summary, maximum (SumMe) | - | 0.500 ± 0.000 |" in text
  )
  assert "| metric: what is compared | split_0 | split_1 |" in text
  assert "| tau: scores, gtscore | 0.200 | 0.400 |" in text
  assert benchmark.compare_splits(lines[3:]) == ""
