"""Results of a run: its summary text, and the mean training target."""

import numpy as np
import pytest

from configs import importance, own, sum_tiny
from seqsum.runs.console import summary_text
from seqsum.runs.results import mean_target
from seqsum.runs.session import open_session


def text_lines(mse, sequences, references=None):
  summary = {
    "test": {"mse": mse, "mae": 0.5, "exact_accuracy": 0.5},
    "best_step": 40,
    "dataset": "mnist",
    "sequences": sequences,
    "wall_seconds": 9.0,
    "guess_the_mean_mse": 46.2,
    "references": {"the post, 2016": 0.61} if references is None else {},
  }
  return summary_text(summary, "/nowhere").splitlines()


@pytest.mark.parametrize(
  ("mse", "sequences", "expected"),
  [
    # Two of the post's 20 epochs.
    (6.0, 120_000, "this run was trained on 120,000 (10.0% of them)"),
    (None, 120_000, "this run was trained on 120,000 (10.0% of them)"),
    (0.5, 120_000, "this run is better, after 120,000 (10.0% of them)"),
    (0.5, 1_200_000, "this run is better"),
    (0.0, 1_200_000, "this run is better"),
    (0.7, 1_200_000, "this run is not better"),
    (None, 1_200_000, "this run is not better"),
    (
      0.7,
      2_400_000,
      "this run is not better, after 2,400,000 (200.0% of them)",
    ),
  ],
)
def test_comparison_with_the_post_depends_on_sequences(
  mse, sequences, expected
):
  *_, guess, post = text_lines(mse, sequences)
  assert guess == "guess the mean: mse 46.2"
  assert (
    post == f"the post, 2016: mse 0.61 after 1,200,000 sequences; {expected}"
  )


def test_no_comparison_on_other_tasks():
  assert len(text_lines(0.1, 8_000, references={})) == 2


def means(config, workdir):
  found = []
  for per_step in (False, True):
    config.task.per_step = per_step
    with open_session(config, workdir / str(per_step)) as session:
      found.append(mean_target(session))
      data = session.data
  return data, *found


def test_mean_target_of_digits_uses_training_labels(tmp_path):
  data, final, every = means(sum_tiny.get_config(), tmp_path)
  digit = data.train.labels.mean()
  np.testing.assert_allclose(final, digit * 2.5)
  np.testing.assert_allclose(every, digit * 2)
  assert digit != data.test.labels.mean()


def test_mean_target_of_videos_has_both_values(tmp_path):
  config = importance.get_config()
  config.eval_batch_size = 48
  config.data.name = "digits"
  _, final, every = means(config, tmp_path)
  # A digit appears in each of four windows with odds of 0.8; the sum of those
  # that are distinct: a digit of n windows is missing with odds of 0.92^4.
  total = 45 * (1 - 0.92**4)
  np.testing.assert_allclose(final[0], total, rtol=0.02)
  assert every[0] < final[0]
  # All frames' importance together is the sum, over 24 frames.
  np.testing.assert_allclose(every[1], total / 24, rtol=0.02)


def test_mean_target_of_ten_sequences_uses_the_training_split(tmp_path):
  lengths = np.array([3, 2] * 5)
  targets = np.zeros((10, 3), np.float32)
  targets[:, 0], targets[:, 1] = 1.0, np.arange(10)
  targets[:, 2] = targets[:, 1] + 10.0 * (lengths == 3)
  frames = np.zeros((10, 3, 24, 24, 1), np.uint8)
  path = tmp_path / "ten.npz"
  np.savez(path, frames=frames, lengths=lengths, targets=targets)
  config = own.get_config()
  config.data.name = f"npz:{path}"
  data, final, every = means(config, tmp_path)
  assert [len(data.train), len(data.test)] == [8, 1]
  ends = [targets[n, lengths[n] - 1] for n in data.train]
  np.testing.assert_allclose(final, np.mean(ends))
  steps = np.concatenate([targets[n, : lengths[n]] for n in data.train])
  np.testing.assert_allclose(every, steps.mean())
