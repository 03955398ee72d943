"""Equal seeds give equal runs, bit for bit.

One and eight devices are compared in tests/training/test_step.py, killed and
uninterrupted runs in test_killed.py.
"""

import pytest
from short_runs import QUICK, assert_same_run, summary


@pytest.mark.slow
def test_equal_seeds_give_equal_runs_bit_for_bit(finished, run, tmp_path):
  done = run(*QUICK, f"--workdir={tmp_path / 'again'}")
  assert done.returncode == 0, done.stderr
  assert_same_run(tmp_path / "again", finished[0])
  ours, theirs = summary(tmp_path / "again"), summary(finished[0])
  assert ours["test"]["by_target"] == theirs["test"]["by_target"]


@pytest.mark.slow
def test_different_seeds_give_different_runs(finished, run, tmp_path):
  done = run(*QUICK, "--config.seed=1", f"--workdir={tmp_path / 'other'}")
  assert done.returncode == 0, done.stderr
  with pytest.raises(AssertionError):
    assert_same_run(tmp_path / "other", finished[0])
