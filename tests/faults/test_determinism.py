"""What the README promises of numbers.

One device and eight, over 50 steps: tests/training/test_step.py. Killed and
not: test_killed.py.
"""

import pytest
from short_runs import QUICK, assert_same_run, summary


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits_twice(finished, run, tmp_path):
  """Another process, another folder: every number of every line, and state."""
  done = run(*QUICK, f"--workdir={tmp_path / 'again'}")
  assert done.returncode == 0, done.stderr
  assert_same_run(tmp_path / "again", finished[0])
  ours, theirs = summary(tmp_path / "again"), summary(finished[0])
  assert ours["test"]["by_target"] == theirs["test"]["by_target"]


@pytest.mark.slow
def test_another_seed_does_not(finished, run, tmp_path):
  done = run(*QUICK, "--config.seed=1", f"--workdir={tmp_path / 'other'}")
  assert done.returncode == 0, done.stderr
  with pytest.raises(AssertionError):
    assert_same_run(tmp_path / "other", finished[0])
