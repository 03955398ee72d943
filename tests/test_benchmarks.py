"""The benchmarks run; what they measure is docs/performance.md's business."""

import json
import subprocess
import sys

import pytest


def run(*command: str) -> str:
  return subprocess.run(
    [sys.executable, "-m", *command], check=True, capture_output=True, text=True
  ).stdout


@pytest.mark.slow
def test_profile_shows_each_part_and_the_whole():
  page = run("benchmarks.profile", "--batch=8", "--rounds=1")
  assert "| RMSProp of the projection |" in page
  assert "| the whole step |" in page
  assert "MB of temporary buffers" in page


@pytest.mark.slow
def test_a_rematerialised_step_needs_less_memory(tmp_path):
  out = tmp_path / "lengths"
  flags = ["--lengths=4,16", "--frames=1024", "--remat=0,16", "--rounds=1"]
  run("benchmarks.lengths", *flags, f"--out={out}")
  programs = json.loads(out.with_suffix(".json").read_text())["programs"]
  size = {(x["T"], x["remat"]): x["temporary_mb"] for x in programs}
  for length in (4, 16):
    assert size[length, 16] < size[length, 0] / 2
