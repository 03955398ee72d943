"""Fixtures and settings of the tests: the backend, strict promotion.

With `pytest -m "not slow"` XLA compiles without optimizations, since compiling
takes most of the time of these tests. Their results do not depend on it: they
compare two computations, or check the steps of a run. The slow tests, and
`--optimized`, with which `.ci/run` repeats the tests of values and gradients,
compile with optimizations as users do.
"""

import fcntl
import logging
import os
import pathlib
import shutil
import subprocess
import sys

import backend  # first: it selects JAX's backend
import jax
import numpy as np
import passed
import pytest
from short_runs import QUICK, ROOT
from warm import Warm

import seqsum
from seqsum.data import digits

if not backend.IS_CPU:
  np.testing.assert_allclose = backend.loosened(
    np.testing.assert_allclose, rtol=1e-7, atol=0
  )
  pytest.approx = backend.loosened(pytest.approx, rel=1e-6, abs=1e-12)
jax.config.update("jax_numpy_rank_promotion", "raise")
CACHE = os.path.join(os.path.dirname(__file__), ".jax_cache")
jax.config.update("jax_compilation_cache_dir", CACHE)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)
# Without optimizations and MLIR's fusion emitters: compiles 4 times faster.
QUICKLY_COMPILED = (
  "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)


def pytest_addoption(parser):
  parser.addoption(
    "--optimized",
    action="store_true",
    help="compile with optimizations in fast tests, too",
  )


def pytest_configure(config):
  passed.pytest_configure(config)
  is_worker = "PYTEST_XDIST_WORKER" in os.environ  # inherits the flags
  is_fast = "not slow" in config.option.markexpr
  if not is_fast or config.option.optimized or is_worker or not backend.IS_CPU:
    return
  more = {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {QUICKLY_COMPILED}"}
  # XLA ends the process at a flag that it does not know.
  known = subprocess.run(
    [sys.executable, "-c", "import jax; jax.devices()"],
    env=os.environ | more,
    capture_output=True,
  )
  if known.returncode == 0:
    os.environ.update(more)


def pytest_runtest_setup(item):
  """Skip tests that need more devices than there are."""
  parameters = getattr(item, "callspec", None)
  needed = parameters.params.get("devices", 1) if parameters else 1
  marks = [mark.args[0] for mark in item.iter_markers("devices")]
  needed = max([needed, *marks])
  if type(needed) is int and needed > jax.device_count():
    pytest.skip(f"needs {needed} devices")


@pytest.fixture(scope="session")
def bundled() -> digits.Digits:
  return digits.load("digits")


@pytest.fixture
def warned(caplog):
  """A function that returns the warnings of seqsum, not of other packages."""
  ours = pathlib.Path(seqsum.__file__).parent
  return lambda: [
    record.getMessage()
    for record in caplog.records
    if record.levelno == logging.WARNING
    and ours in pathlib.Path(record.pathname).parents[:2]  # or in a package
  ]


@pytest.fixture(scope="session")
def mnist_dir() -> str:
  folder = os.environ.get("SEQSUM_MNIST_DIR")
  if not folder:
    pytest.skip("set SEQSUM_MNIST_DIR to a folder with the four MNIST files")
  return folder


@pytest.fixture
def images() -> tuple[np.ndarray, np.ndarray]:
  """Twenty images, two of each digit; all pixels of image i have value i."""
  values = np.arange(20, dtype=np.uint8)
  pictures = np.broadcast_to(values[:, None, None, None], (20, 28, 28, 1))
  return pictures, (values % 10).astype(np.int32)


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
  """A folder shared by all workers of pytest-xdist."""
  base = tmp_path_factory.getbasetemp()
  return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def environment(shared):
  """Variables for runs: one device, and a shared compilation cache."""
  is_quick = QUICKLY_COMPILED in os.environ["XLA_FLAGS"]
  flags = "" if backend.IS_CPU else os.environ["XLA_FLAGS"]
  return os.environ | {
    "XDG_CACHE_HOME": str(shared / "cache"),
    "XLA_FLAGS": QUICKLY_COMPILED if is_quick else flags,
  }


@pytest.fixture(scope="session")
def warm(environment):
  with Warm(environment) as warm:
    yield warm


@pytest.fixture(scope="session")
def run(warm, environment):
  """A function that runs a program in a new process.

  The process is forked from `warm`, unless it gets variables that an import
  may read.
  """

  def run(*flags, cwd=ROOT, program="seqsum.main", **env):
    if backend.is_for_cpu(env.get("XLA_FLAGS", "")) and not backend.IS_CPU:
      env["JAX_PLATFORMS"] = "cpu"
    if set(env) <= {"XLA_FLAGS"}:
      return warm.run(program, *flags, cwd=cwd, **env)
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
def finished(run, shared, tmp_path_factory):
  """An uninterrupted run, made once; each worker gets a copy."""
  made, output = shared / "finished", shared / "finished.txt"
  with open(shared / "finished.lock", "w") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not output.exists():
      done = run(*QUICK, f"--workdir={made}")
      assert done.returncode == 0, done.stderr
      output.write_text(done.stdout)
  workdir = tmp_path_factory.mktemp("finished") / "run"
  shutil.copytree(made, workdir)
  text = output.read_text().replace(str(made), str(workdir))
  return workdir, subprocess.CompletedProcess(QUICK, 0, text, "")


def pytest_terminal_summary(terminalreporter):
  """Print the commands that tests/test_pages.py did not run."""
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
