"""benchmarks/soak.py: a leak is detected."""

import json

import pytest

from benchmarks import soak


def samples(leak=0.0, handles=0):
  return [
    {
      "seconds": n / 2,
      "step": 10 * n,
      "resident_mb": 400 + leak * n,
      "files": 30 + handles * n // 100,
      "threads": 20,
    }
    for n in range(1, 501)
  ]


PACE = [[step, 2.0] for step in range(100, 5001, 100)]


@pytest.mark.parametrize(
  ("leak", "handles", "flat"), [(0, 0, True), (0.1, 0, False), (0, 1, False)]
)
def test_a_leak_is_detected(leak, handles, flat, tmp_path):
  verdict = soak.judge(samples(leak, handles), PACE)
  assert verdict["is_flat"] == flat
  assert verdict["step_time_growth"] == 0
  soak.draw(samples(leak, handles), PACE, tmp_path / "soak.png")
  assert (tmp_path / "soak.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_short_soak_samples_a_run(run, tmp_path):
  words = "--steps=2000", f"--out={tmp_path / 'soak'}"
  done = run(*words, program="benchmarks.soak")
  assert "steps: 2000" in done.stdout, done.stderr
  found = json.loads((tmp_path / "soak.json").read_text())
  assert found["sampled"][-1]["files"] > 3
  assert found["files_growth"] <= 0
  assert len(found["step_ms_by_step"]) == 20
