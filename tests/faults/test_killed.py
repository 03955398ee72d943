"""A run that is killed and resumed equals an uninterrupted run.

    SEQSUM_KILLS=50 python -m pytest -s tests/faults/test_killed.py

sends SIGKILL 50 times. Half of the times are uniform over the duration of a
run, half are up to 50 ms after an event (a line was written, a save or the
report was started). SEQSUM_KILL_SEED is their random seed; -s prints in which
phases of a run they were.
"""

import collections
import os
import random
import subprocess
import sys
import time

import pytest
from short_runs import QUICK, ROOT, assert_same_run

KILLS = int(os.environ.get("SEQSUM_KILLS", "8"))
SEED = int(os.environ.get("SEQSUM_KILL_SEED", "0"))
FLAGS = (  # 120 steps, which validate and save often
  *QUICK,
  "--config.epochs=6",
  "--config.checkpoint.every_steps=3",
)


def start(environment, workdir):
  return subprocess.Popen(
    [sys.executable, "-m", "seqsum.main", *FLAGS, f"--workdir={workdir}"],
    cwd=ROOT,
    env=environment,
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )


def size(path):
  return path.stat().st_size if path.exists() else 0


def unfinished(workdir):
  """The steps that are being saved."""
  return set((workdir / "checkpoints").glob("*.orbax-checkpoint-tmp*"))


def event(workdir, what):
  """A function that returns whether an event has happened since."""
  if what == "a line":
    path = workdir / "metrics.jsonl"
    before = size(path)
    return lambda: size(path) > before
  if what == "a save":
    before = unfinished(workdir)
    return lambda: unfinished(workdir) - before
  return (workdir / "report").exists  # "the report"


def phase(workdir):
  """The phase in which a run was killed, by the files it has left."""
  if unfinished(workdir):
    return "saving"
  if (workdir / "report").exists():
    return "drawing the report, or after"
  if size(workdir / "metrics.jsonl"):
    return "training or evaluating"
  if (workdir / "config.json").exists():
    return "initialising or compiling"
  return "starting"


@pytest.fixture(scope="module")
def uninterrupted(environment, tmp_path_factory):
  """An uninterrupted run, and its duration with compiled programs cached."""
  for n in range(2):
    workdir = tmp_path_factory.mktemp("uninterrupted") / f"run{n}"
    begin = time.monotonic()
    process = start(environment, workdir)
    _, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
  return workdir, time.monotonic() - begin


@pytest.mark.slow
@pytest.mark.timeout(60 + 60 * KILLS)
def test_a_run_killed_at_any_time_equals_an_uninterrupted_one(
  uninterrupted, environment, tmp_path
):
  expected, seconds = uninterrupted
  draw = random.Random(SEED)
  phases, ended = collections.Counter(), 0
  workdir = tmp_path / "run0"
  while phases.total() < KILLS:
    process = start(environment, workdir)
    begin, happened = time.monotonic(), None
    if draw.random() < 0.5:
      moment = begin + draw.uniform(0, seconds)
    else:
      happened = event(workdir, draw.choice(["a line", "a save", "the report"]))
      delay, moment = draw.uniform(0, 0.05), float("inf")
    while process.poll() is None and time.monotonic() < moment:
      if happened and happened():
        moment, happened = time.monotonic() + delay, None
      time.sleep(0.002)
    if process.poll() is None:
      process.kill()
      process.communicate()
      phases[phase(workdir)] += 1
    else:  # it ended before: kill another run
      _, err = process.communicate()
      assert process.returncode == 0, err
      assert_same_run(workdir, expected)
      ended += 1
      workdir = tmp_path / f"run{ended}"
  process = start(environment, workdir)
  _, err = process.communicate(timeout=280)
  assert process.returncode == 0, err
  assert_same_run(workdir, expected)
  for name, count in phases.most_common():
    print(f"{count:4} killed while {name}")
  print(f"{ended + 1:4} runs finished, each equal to the uninterrupted run")
