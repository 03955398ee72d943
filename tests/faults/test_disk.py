"""Disks that are full, read-only or unmounted: a small tmpfs; needs root."""

import json
import re
import subprocess
import threading
import time

import jax
import numpy as np
import pytest
import short_runs
from etils import epath
from short_runs import QUICK, assert_same_run, lines

from seqsum.runs import run_files
from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.writer import MetricsWriter
from seqsum.runtime import files
from seqsum.runtime.devices import make_mesh, replicated
from seqsum.runtime.errors import NotSaved


def mount(path, *options):
  words = ["mount", "-t", "tmpfs", "-o", ",".join(options), "seqsum", str(path)]
  return subprocess.run(words, capture_output=True, text=True, check=False)


@pytest.fixture
def disk(tmp_path):
  """A function that mounts a tmpfs of a size; unmounted after the test."""
  made = []

  def disk(size):
    path = tmp_path / f"disk{len(made)}"
    path.mkdir()
    done = mount(path, f"size={size}")
    if done.returncode:
      pytest.skip(f"cannot mount a tmpfs, it takes root: {done.stderr.strip()}")
    made.append(path)
    return path

  yield disk
  for path in made:
    subprocess.run(
      ["umount", "-l", str(path)], capture_output=True, check=False
    )


def fill(path):
  """Fill a disk; return the file to delete to make room."""
  filler = path / "filler"
  with open(filler, "wb", buffering=0) as file:
    for size in (1 << 16, 1):  # a partial page has room for single bytes
      try:
        while file.write(bytes(size)) == size:
          pass
      except OSError:
        pass
  return filler


def line(step):
  return short_runs.line(step, text=300 * "x")


def whole_lines(path):
  text = path.read_text()
  assert not text or text.endswith("\n")
  return [json.loads(x)["step"] for x in text.splitlines()]


def test_metrics_survive_a_full_disk_without_partial_lines(disk, caplog):
  path = disk("64k")
  with MetricsWriter(epath.Path(path)) as writer:
    for step in range(1, 6):
      writer.write(line(step))
    filler = fill(path)
    for step in range(6, 40):  # a partial page has room for a few
      writer.write(line(step))
      steps = whole_lines(path / "metrics.jsonl")
      assert steps == list(range(1, len(steps) + 1))
    assert len(steps) < 39
    assert "could not write metrics" in caplog.text
    assert "No space left on device" in caplog.text
    assert not writer.flush()
    with pytest.raises(NotSaved, match=r"metrics.jsonl lacks the last lines"):
      writer.finish()
    assert len(writer.history) == 39  # all lines are kept
    filler.unlink()
    assert writer.flush()
    writer.write(line(40))
    writer.finish()
  assert whole_lines(path / "metrics.jsonl") == list(range(1, 41))


def test_metrics_report_a_disk_that_is_read_only_or_unmounted(disk, caplog):
  path = disk("1m")
  home = epath.Path(path) / "run"
  home.mkdir()
  with MetricsWriter(home) as writer:
    writer.write(line(1))
    writer._tensorboard.close()  # an open file prevents read-only
    assert mount(path, "remount", "ro").returncode == 0
    writer.write(line(2))
    assert "Read-only file system" in caplog.text
    assert whole_lines(path / "run" / "metrics.jsonl") == [1]
    assert mount(path, "remount", "rw").returncode == 0
    writer.write(line(3))
    assert whole_lines(path / "run" / "metrics.jsonl") == [1, 2, 3]
    caplog.clear()
    subprocess.run(["umount", "-l", str(path)], check=True)
    writer.write(line(4))
    assert "No such file or directory" in caplog.text
    assert not writer.flush()
  assert not list(path.iterdir())  # nothing was written to the mount point


def test_a_file_is_replaced_completely_or_not_at_all(disk):
  path = epath.Path(disk("64k"))
  files.write_json(path / "summary.json", {"a": 1})
  fill(path)
  full = rf"No space left on device: '{path}/summary.json'"
  with pytest.raises(OSError, match=full):
    files.write_json(path / "summary.json", {"a": 10_000 * "x"})
  assert run_files.read_json(path / "summary.json") == {"a": 1}
  assert sorted(p.name for p in path.iterdir()) == ["filler", "summary.json"]


def tree(step, size=50_000):
  """Noise, which is not compressible: 200 KB."""
  noise = np.random.default_rng(step).standard_normal(size).astype(np.float32)
  return jax.device_put({"a": noise}, replicated(make_mesh(jax.devices()[:1])))


def is_of_orbax(thread):
  return type(thread).__module__.startswith("orbax.") and not thread.daemon


def test_a_failed_save_is_reported_and_retried(disk, caplog):
  path = disk("1m")
  with Checkpoints(path / "checkpoints") as checkpoints:
    checkpoints.save(1, tree(1))
    checkpoints.wait()
    filler = fill(path)
    for step in (2, 3):
      caplog.clear()
      checkpoints.save(step, tree(step))
      words = f"could not save the checkpoint of step {step}"
      while words not in caplog.text:  # as the training loop does
        checkpoints.poll()
      assert checkpoints.latest_step == 1
    with pytest.raises(NotSaved, match="save the checkpoint of step 3:"):
      checkpoints.finish()
    # Threads of failed saves would keep Python from exiting.
    deadline = time.monotonic() + 30
    while left := [x for x in threading.enumerate() if is_of_orbax(x)]:
      assert time.monotonic() < deadline, left
      time.sleep(0.1)
    filler.unlink()
    checkpoints.save(4, tree(4))
    checkpoints.finish()
    assert checkpoints.steps == [4, 1]
    for step in (1, 4):
      found = checkpoints.restore(step, tree(0))
      np.testing.assert_array_equal(found["a"], tree(step)["a"])


def test_a_save_to_a_read_only_disk_is_reported(disk, caplog):
  path = disk("1m")
  with Checkpoints(path / "checkpoints") as checkpoints:
    checkpoints.save(1, tree(1))
    checkpoints.wait()
    assert mount(path, "remount", "ro").returncode == 0
    checkpoints.save(2, tree(2))
    checkpoints.wait()
    assert "could not save the checkpoint of step 2" in caplog.text
    assert mount(path, "remount", "rw").returncode == 0
    checkpoints.save(3, tree(3))
    checkpoints.finish()
    assert checkpoints.steps == [3, 1]


def error_lines(done):
  """Lines of stderr, checked to have no traceback."""
  assert "Traceback" not in done.stderr
  return done.stderr.strip().splitlines()


@pytest.mark.slow
def test_a_run_whose_disk_becomes_full_can_be_resumed(finished, run, disk):
  """Two checkpoints fit, a third does not."""
  size = sum(
    path.stat().st_size
    for path in (finished[0] / "checkpoints" / "40").rglob("*")
    if path.is_file()
  )
  path = disk(int(2.6 * size))
  workdir = path / "run"
  done = run(*QUICK, f"--workdir={workdir}")
  assert done.returncode == 1
  errors = error_lines(done)
  assert re.search("could not save the checkpoint of step 40", errors[-1])
  assert sum("the next save tries again" in x for x in errors) >= 3
  assert not (workdir / "summary.json").exists()
  kept = [x for x in (workdir / "checkpoints").iterdir() if x.name.isdecimal()]
  assert kept
  steps = [x["step"] for x in lines(workdir) if x["split"] == "train"]
  assert steps == list(range(4, 41, 4))  # training continued
  assert mount(path, "remount", "size=64m").returncode == 0
  done = run(*QUICK, f"--workdir={workdir}")
  assert done.returncode == 0, done.stderr
  assert f"resuming from step {max(int(x.name) for x in kept)}" in done.stdout
  assert_same_run(workdir, finished[0])


@pytest.mark.slow
def test_a_run_on_a_full_disk_is_refused_in_one_line(run, disk):
  path = disk("64k")
  fill(path)
  done = run(*QUICK, f"--workdir={path / 'run'}")
  assert done.returncode == 1
  errors = error_lines(done)[-1]
  assert "No space left on device" in errors
  assert str(path / "run") in errors
