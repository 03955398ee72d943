"""Eight CPU devices, strict numbers, strict warnings."""

import logging
import os
import pathlib
import subprocess
import sys

# Before JAX starts: eight devices, of which most tests use one.
os.environ["XLA_FLAGS"] = (
  os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import numpy as np
import pytest
from passed import pytest_configure  # noqa: F401
from runs import QUICK, ROOT

import seqsum
from seqsum import digits

jax.config.update("jax_numpy_rank_promotion", "raise")
CACHE = os.path.join(os.path.dirname(__file__), ".jax_cache")
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)


@pytest.fixture(scope="session")
def bundled() -> digits.Digits:
  return digits.load("digits")


@pytest.fixture
def warned(caplog):
  """A function: seqsum's own warnings so far, whatever other packages warn."""
  ours = pathlib.Path(seqsum.__file__).parent
  return lambda: [
    record.getMessage()
    for record in caplog.records
    if record.levelno == logging.WARNING
    and pathlib.Path(record.pathname).parent == ours
  ]


@pytest.fixture(scope="session")
def mnist_dir() -> str:
  folder = os.environ.get("SEQSUM_MNIST_DIR")
  if not folder:
    pytest.skip("set SEQSUM_MNIST_DIR to a folder with the four MNIST files")
  return folder


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
  """Twenty images, two of each digit; every pixel of image i is i."""
  values = np.arange(20, dtype=np.uint8)
  pictures = np.broadcast_to(values[:, None, None, None], (20, 28, 28, 1))
  return pictures, (values % 10).astype(np.int32)


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
  """One device, and a compilation cache that all runs share."""
  return {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {
    "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))
  }


@pytest.fixture(scope="session")
def run(environment):
  def run(*flags, cwd=ROOT, program="seqsum.main", **env):
    return subprocess.run(
      [sys.executable, "-m", program, *flags],
      cwd=cwd,
      env=environment | env,
      capture_output=True,
      text=True,
      timeout=300,
    )

  return run


@pytest.fixture(scope="session")
def finished(run, tmp_path_factory):
  """A run that nobody stopped."""
  workdir = tmp_path_factory.mktemp("finished") / "run"
  done = run(*QUICK, f"--workdir={workdir}")
  assert done.returncode == 0, done.stderr
  return workdir, done


def pytest_terminal_summary(terminalreporter):
  """Prints what tests/test_pages.py did not run."""
  lines = [
    line
    for reports in terminalreporter.stats.values()
    for report in reports
    if getattr(report, "when", "") == "call"
    for name, line in report.user_properties
    if name == "not run"
  ]
  if lines:
    terminalreporter.section("code blocks and commands that were not run")
    for line in lines:
      terminalreporter.line(line)
