"""Disks that are full, read-only or gone: a small tmpfs, as root."""

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
  """Makes a disk of so many bytes, of memory; gone after the test."""
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
  """Leaves no room; returns what to delete for some."""
  filler = path / "filler"
  with open(filler, "wb", buffering=0) as file:
    for size in (1 << 16, 1):  # a page that was begun has room for bytes
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


def test_metrics_survive_a_full_disk_without_a_torn_line(disk, caplog):
  path = disk("64k")
  with MetricsWriter(epath.Path(path)) as writer:
    for step in range(1, 6):
      writer.write(line(step))
    filler = fill(path)
    for step in range(6, 40):  # the page at hand still has room for a few
      writer.write(line(step))
      steps = whole_lines(path / "metrics.jsonl")
      assert steps == list(range(1, len(steps) + 1))
    assert len(steps) < 39
    assert "METRICS COULD NOT BE WRITTEN" in caplog.text
    assert "No space left on device" in caplog.text
    assert not writer.flush()
    with pytest.raises(NotSaved, match=r"metrics.jsonl lacks the last lines"):
      writer.finish()
    assert len(writer.history) == 39  # nothing is forgotten
    filler.unlink()
    assert writer.flush()
    writer.write(line(40))
    writer.finish()
  assert whole_lines(path / "metrics.jsonl") == list(range(1, 41))


def test_metrics_notice_a_disk_that_is_read_only_or_gone(disk, caplog):
  path = disk("1m")
  home = epath.Path(path) / "run"
  home.mkdir()
  with MetricsWriter(home) as writer:
    writer.write(line(1))
    writer._board.close()  # only its open file keeps the disk from read-only
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
  assert not list(path.iterdir())  # nothing went to the disk underneath


def test_a_file_is_replaced_whole_or_stays(disk):
  path = epath.Path(disk("64k"))
  files.write_json(path / "summary.json", {"a": 1})
  fill(path)
  full = rf"No space left on device: '{path}/summary.json'"
  with pytest.raises(OSError, match=full):
    files.write_json(path / "summary.json", {"a": 10_000 * "x"})
  assert run_files.read_json(path / "summary.json") == {"a": 1}
  assert sorted(p.name for p in path.iterdir()) == ["filler", "summary.json"]


def tree(step, size=50_000):
  """Noise, which does not compress: 200 KB."""
  noise = np.random.default_rng(step).standard_normal(size).astype(np.float32)
  return jax.device_put({"a": noise}, replicated(make_mesh(jax.devices()[:1])))


def is_of_orbax(thread):
  return type(thread).__module__.startswith("orbax.") and not thread.daemon


def test_a_checkpoint_that_cannot_be_saved_is_said_and_tried_again(
  disk, caplog
):
  path = disk("1m")
  with Checkpoints(path / "checkpoints") as checkpoints:
    checkpoints.save(1, tree(1))
    checkpoints.wait()
    filler = fill(path)
    for step in (2, 3):
      caplog.clear()
      checkpoints.save(step, tree(step))
      words = f"THE CHECKPOINT OF STEP {step} COULD NOT BE SAVED"
      while words not in caplog.text:  # as the loop does, at each line
        checkpoints.poll()
      assert checkpoints.latest_step == 1
    with pytest.raises(NotSaved, match="STEP 3 COULD NOT BE SAVED"):
      checkpoints.finish()
    # Python would wait for threads that the failed saves had left.
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


def test_a_disk_that_is_read_only_takes_no_checkpoint(disk, caplog):
  path = disk("1m")
  with Checkpoints(path / "checkpoints") as checkpoints:
    checkpoints.save(1, tree(1))
    checkpoints.wait()
    assert mount(path, "remount", "ro").returncode == 0
    checkpoints.save(2, tree(2))
    checkpoints.wait()
    assert "THE CHECKPOINT OF STEP 2 COULD NOT BE SAVED" in caplog.text
    assert mount(path, "remount", "rw").returncode == 0
    checkpoints.save(3, tree(3))
    checkpoints.finish()
    assert checkpoints.steps == [3, 1]


def clear_lines(done):
  """What was said, without a traceback."""
  assert "Traceback" not in done.stderr
  return done.stderr.strip().splitlines()


@pytest.mark.slow
def test_a_run_on_a_disk_that_becomes_full(finished, run, disk):
  """Two checkpoints fit, and no third, until there is more room."""
  size = sum(
    path.stat().st_size
    for path in (finished[0] / "checkpoints" / "40").rglob("*")
    if path.is_file()
  )
  path = disk(int(2.6 * size))
  workdir = path / "run"
  done = run(*QUICK, f"--workdir={workdir}")
  assert done.returncode == 1
  said = clear_lines(done)
  assert re.search("CHECKPOINT OF STEP 40 COULD NOT BE SAVED", said[-1])
  assert sum("the next save tries again" in x for x in said) >= 3
  assert not (workdir / "summary.json").exists()
  kept = [x for x in (workdir / "checkpoints").iterdir() if x.name.isdecimal()]
  assert kept
  steps = [x["step"] for x in lines(workdir) if x["split"] == "train"]
  assert steps == list(range(4, 41, 4))  # training went on
  assert mount(path, "remount", "size=64m").returncode == 0
  done = run(*QUICK, f"--workdir={workdir}")
  assert done.returncode == 0, done.stderr
  assert f"goes on from step {max(int(x.name) for x in kept)}" in done.stdout
  assert_same_run(workdir, finished[0])


@pytest.mark.slow
def test_a_run_on_a_disk_without_any_room_is_one_line(run, disk):
  path = disk("64k")
  fill(path)
  done = run(*QUICK, f"--workdir={path / 'run'}")
  assert done.returncode == 1
  said = clear_lines(done)[-1]
  assert "No space left on device" in said
  assert str(path / "run") in said
