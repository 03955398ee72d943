"""The tests' backend; without a card, JAX takes a CPU of one device for it."""

import os
import subprocess
import sys

import backend
import numpy as np
import passed
import pytest
from short_runs import ROOT

from seqsum.runtime import devices


def start(*command, **variables):
  environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
  for name in ("XLA_FLAGS", "JAX_PLATFORMS", "PYTEST_ADDOPTS", passed.VARIABLE):
    environment.pop(name, None)
  done = subprocess.run(
    [sys.executable, *command],
    cwd=ROOT,
    env=environment | variables,
    capture_output=True,
    text=True,
  )
  assert not done.returncode, done.stdout + done.stderr
  return done.stdout


def test_variables_of_a_gpu():
  program = "import backend, os; print(os.environ)"
  out = start("-c", program, SEQSUM_TEST_PLATFORM="cuda")
  assert "'JAX_PLATFORMS': 'cuda,cpu'" in out
  assert "'JAX_DEFAULT_MATMUL_PRECISION': 'highest'" in out
  assert f"'XLA_FLAGS': '{devices.DETERMINISTIC}=true'" in out
  assert "host_platform_device_count=8" in start("-c", program)


def test_tolerances_are_loosened_in_one_place(monkeypatch):
  close = backend.loosened(np.testing.assert_allclose, rtol=1e-7, atol=0)
  near = backend.loosened(pytest.approx, rel=1e-6, abs=1e-12)
  monkeypatch.setattr(backend, "FACTOR", 10)
  close(1.0, 1 + 9e-7)
  close(1.0, 1 + 9e-4, rtol=1e-4)
  assert near(1.0) == 1 + 9e-6
  assert near(0.0, abs=1e-3) == 9e-3
  for value in (1 + 2e-6, 1 + 2e-4):
    with pytest.raises(AssertionError):
      close(1.0, value, rtol=1e-7 if value < 1 + 1e-5 else 1e-5)


@pytest.mark.slow
def test_tests_run_on_one_device():
  files = ["tests/runs/test_checkpoints.py", "tests/training/test_evaluate.py"]
  command = ["-m", "pytest", "-q", "-m", "not slow", *files]
  out = start(*command, SEQSUM_TEST_PLATFORM="cuda")
  assert "needs 8 devices" in out
  assert "needs 2 devices" in out
