"""The steps of .ci/run."""

import re
import subprocess

from short_runs import ROOT


def test_readme_has_two_commands_of_one_line():
  """`.ci/run` extracts them with the same pattern."""
  text = (ROOT / "README.md").read_text()
  first, second = re.findall(r"^ *(python3 -m venv \.venv && .*)$", text, re.M)
  assert first.endswith("-m seqsum.main --config=configs/sum_tiny.py")
  assert second.endswith('-m pytest -n 2 --dist loadfile -m "not slow"')


def test_unknown_step_is_refused_before_any_step_runs():
  done = subprocess.run(
    ["bash", ".ci/run", "lint", "tets"],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2
  assert done.stderr == (
    "unknown step tets: choose from readme install lint train tests unrun\n"
  )
  assert done.stdout == ""
