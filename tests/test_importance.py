"""`seqsum.importance`: rankings of frames compared with the truth."""

import json

import jax
import numpy as np
import pytest
from short_runs import QUICK_VIDEOS, first

import seqsum
from seqsum.data import video_files
from seqsum.runs.session import open_trained
from seqsum.runtime.errors import InputError
from seqsum.sequences.scenes import distinct_sum
from seqsum.summarization import judge
from seqsum.summarization.judge import Example

h5py = pytest.importorskip("h5py", reason="pip install -e '.[video]'")


def test_rank_correlations_by_hand():
  truth = np.array([0.0, 1.0, 3.0, 2.0])
  frames = np.zeros((4, 2, 2, 1), np.uint8)
  found = [
    Example(frames, truth),
    Example(frames, -truth),
    Example(frames, 0 * truth),  # constant, left out
  ]
  results = judge.judge(found, {"truth": lambda frames, n: truth})
  assert results["truth"] == {
    "kendall": 0.0,
    "kendall_deviation": 1.0,
    "spearman": 0.0,
    "spearman_deviation": pytest.approx(1.0),
  }
  assert set(results) == {"truth", "the middle of the video", "chance"}
  head, row, *_ = judge.table(results).splitlines()
  assert head.split() == ["kendall", "spearman"]
  assert row.split() == ["truth", *("0.000 ± 1.00 " * 2).split()]


@pytest.fixture(
  scope="module", params=[True, False], ids=["supervised", "unsupervised"]
)
def trained(run, tmp_path_factory, request):
  workdir = tmp_path_factory.mktemp("importance") / "run"
  done = run(
    *QUICK_VIDEOS,
    f"--config.video.importance={request.param}",
    f"--config.task.per_step={request.param}",
    f"--workdir={workdir}",
  )
  assert done.returncode == 0, done.stderr
  return workdir


@pytest.mark.slow
def test_the_fold_of_distinct_digits_ranks_frames(run, tmp_path):
  """It predicts the importance of frames from labels of sums."""
  done = run(
    *QUICK_VIDEOS,
    "--config.model.core=fold",
    "--config.loss=cross_entropy",
    "--config.task.target=raw",
    f"--workdir={tmp_path}",
  )
  assert done.returncode == 0, done.stderr
  model = seqsum.load(tmp_path)
  (example,) = judge.read_examples(open_trained(tmp_path), 1)
  predicted = model.predict_distribution(example.frames)
  assert predicted.predictions.shape == (6, 2)
  assert predicted.probabilities.shape == (6, len(predicted.values))
  digits = predicted.predictions[:, 1] > 0
  longer = np.concatenate([example.frames, example.frames[digits]])
  if digits.any():  # a digit that is seen again adds nothing
    twice = model.predict(longer)
    assert twice[-1, 0] == twice[5, 0]
  scores = judge.make_scores(model)
  for name in ("predicted importance", "Shapley values"):
    assert scores[name](example.frames, 0).shape == (6,)


@pytest.mark.slow
def test_command_writes_correlations_and_a_summary(run, trained):
  done = run(
    *(f"--workdir={trained}", "--videos=3", "--share=0.5"),
    program="seqsum.importance",
  )
  assert done.returncode == 0, done.stderr
  results = json.loads((trained / "report" / "importance.json").read_text())
  video = json.loads((trained / "config.json").read_text())["config"]["video"]
  assert ("predicted importance" in results) == video["importance"]
  assert {"Shapley values", "integrated gradients", "chance"} < set(results)
  for name, means in results.items():
    assert name in done.stdout
    assert -1 <= means["kendall"] <= 1
  assert len(video_files.read(trained / "report" / "summary.mp4")) == 3
  assert (trained / "report" / "summary.png").stat().st_size > 10_000


@pytest.mark.slow
def test_attributions_add_up_to_the_prediction(trained):
  """To the difference from the prediction for a blank video."""
  model = seqsum.load(trained)
  session = open_trained(trained)
  scores = judge.make_scores(model)
  for n, example in enumerate(judge.read_examples(session, 2)):
    assert example.frames.shape == (6, 32, 32, 1)
    last = lambda frames: model.predict(frames)[-1].ravel()[0]
    answer = last(example.frames) - last(np.zeros_like(example.frames))
    for name in ("Shapley values", "integrated gradients"):
      found = scores[name](example.frames, n).sum()
      np.testing.assert_allclose(found, answer, atol=0.02)
  again = judge.read_examples(session, 1)[0]
  first = judge.read_examples(session, 20)[0]
  np.testing.assert_array_equal(again.frames, first.frames)


def test_shapley_values_of_a_perfect_model_are_d_over_n():
  """A frame [1, 1, 1] of brightness d / 10 shows d; blank shows nothing."""
  from seqsum.summarization.attribution import shapley

  def answer(frames):
    digits = (frames[..., 0, 0, 0] * 10).round().astype(int) - 1
    return distinct_sum(digits)[:, -1]

  digits = np.array([3, 3, -1, 5, 9, 5, 5])
  frames = ((digits + 1) / 10).astype(np.float32).reshape(-1, 1, 1, 1)
  found = shapley(answer, frames, jax.random.key(0), 300)
  expected = np.where(digits < 0, 0, [1.5, 1.5, 0, 5 / 3, 9, 5 / 3, 5 / 3])
  np.testing.assert_allclose(found, expected, atol=0.25)


@pytest.mark.slow  # it needs a run
def test_a_run_on_digits_is_refused(run, finished):
  done = run(f"--workdir={finished[0]}", program="seqsum.importance")
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  assert "train configs/importance.py" in line


@pytest.mark.parametrize(
  ("flags", "words"),
  first(
    [
      ((), "--workdir is missing"),
      (("--workdir=nowhere",), "no run is there"),
      (("--workdir=x", "--videos=0"), "--videos=0: must be at least 1"),
      (("--workdir=x", "--share=1.5"), "share=1.5: must be above 0"),
    ],
  ),
)
def test_user_errors_print_one_line(run, flags, words):
  done = run(*flags, program="seqsum.importance")
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  assert words in line


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
  """A file in the layout of SumMe and TVSum; feature 0 is the importance."""
  path = tmp_path_factory.mktemp("eccv16") / "set.h5"
  rng = np.random.default_rng(0)
  with h5py.File(path, "w") as file:
    for n in range(12):
      steps = int(rng.integers(6, 10))
      frames = 15 * steps
      features = rng.uniform(size=(steps, 16)).astype(np.float32)
      kept = rng.uniform(size=(3, frames)) < 0.2
      for name, value in {
        "features": features,
        "gtscore": features[:, 0],
        "user_summary": kept.astype(np.float32),
        "change_points": [[0, 29], [30, frames - 1]],
        "n_frame_per_seg": [30, frames - 30],
        "n_frames": frames,
        "n_steps": steps,
        "picks": 15 * np.arange(steps),
      }.items():
        file[f"video_{n + 1}/{name}"] = value
  return path


@pytest.mark.slow
def test_a_run_on_features_is_judged(run, layout, tmp_path):
  workdir = tmp_path / "run"
  done = run(
    "--config=configs/summarize.py",
    f"--config.data.name=eccv16:{layout}",
    "--config.epochs=4",
    "--config.optimizer.learning_rate=5e-3",
    f"--workdir={workdir}",
  )
  assert done.returncode == 0, done.stderr
  said = json.loads((workdir / "config.json").read_text())["dataset"]
  assert said["recorded"]["shape"] == [1, 1, 16]
  assert not (workdir / "report" / "sequences.png").exists()
  done = run(f"--workdir={workdir}", program="seqsum.importance")
  assert done.returncode == 0, done.stderr
  results = json.loads((workdir / "report" / "importance.json").read_text())
  said = results["predicted importance"]
  assert said["kendall"] > results["chance"]["kendall"] + 0.3
  assert 0 <= said["f_score_mean"] <= said["f_score_max"] <= 1
  assert not (workdir / "report" / "summary.png").exists()


def test_features_of_different_sizes_are_refused(layout, tmp_path):
  import shutil

  from seqsum.data.video_benchmark import FeatureSource

  other = tmp_path / "other.h5"
  shutil.copy(layout, other)
  with h5py.File(other, "a") as file:
    steps = len(file["video_2/features"])
    del file["video_2/features"]
    file["video_2/features"] = np.ones((steps, 3), np.float32)
  with pytest.raises(InputError, match="features of 3 to 16 numbers"):
    FeatureSource(other)
