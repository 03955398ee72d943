"""Tests that passed in one environment are not repeated in the next."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

TESTS = """
import os
import pytest

def test_everywhere():
  pass

@pytest.mark.parametrize("x", ["a b", "c::d"])
def test_case(x):
  pass

def test_needs_more():
  if "MORE" not in os.environ:
    pytest.skip("MORE is not set")

def test_fails_at_first():
  assert "MORE" in os.environ

@pytest.fixture
def leaky():
  yield
  assert "MORE" in os.environ

def test_whose_end_fails_at_first(leaky):
  pass
"""
MODULE = """
import os
import pytest

if "MORE" not in os.environ:
  pytest.skip("MORE is not set", allow_module_level=True)

def test_in_a_module_that_is_skipped():
  pass
"""


def session(folder, *flags, **env):
  """Runs pytest; returns the names of the tests it ran and the process."""
  # An independent session, even if this one is a worker of pytest-xdist.
  outside = {k: v for k, v in os.environ.items() if "XDIST" not in k}
  done = subprocess.run(
    [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *flags],
    cwd=folder,
    env=outside | {"SEQSUM_TESTS_PASSED": str(folder / "passed.txt")} | env,
    capture_output=True,
    text=True,
  )
  lines = [x for x in done.stdout.splitlines() if "%]" in x]
  names = {x.partition("::")[2].split(" PASSED")[0].strip() for x in lines}
  return names, done


@pytest.mark.slow
def test_each_test_passes_once_over_several_sessions(tmp_path):
  shutil.copy(pathlib.Path(__file__).with_name("passed.py"), tmp_path)
  (tmp_path / "conftest.py").write_text(
    "from passed import pytest_configure  # noqa: F401\n"
  )
  (tmp_path / "test_one.py").write_text(TESTS)
  (tmp_path / "test_two.py").write_text(MODULE)

  # Two workers, as in README's command.
  _, done = session(tmp_path, "-n", "2", "--dist", "loadfile")
  assert done.returncode == 1
  assert (tmp_path / "passed.txt").read_text().splitlines() == [
    "test_one.py::test_everywhere",
    "test_one.py::test_case[a b]",
    "test_one.py::test_case[c::d]",
  ]
  left, done = session(tmp_path, MORE="1")
  assert done.returncode == 0
  assert left == {
    "test_needs_more",
    "test_fails_at_first",
    "test_whose_end_fails_at_first",
    "test_in_a_module_that_is_skipped",
  }
  left, done = session(tmp_path, MORE="1")
  assert done.returncode == 5, "no tests were collected"
  assert left == set()
