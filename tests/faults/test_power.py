"""Power cuts: the order of writes to the disk, and missing lines."""

import os
import shutil

import jax.numpy as jnp
import pytest
from etils import epath
from short_runs import line

from seqsum.inference import trained
from seqsum.runs import folder
from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.history import missing_steps
from seqsum.runs.writer import MetricsWriter
from seqsum.runtime import files
from seqsum.training.experiment import Schedule


@pytest.fixture
def calls(monkeypatch):
  """The calls of os.fsync, os.replace and os.rename, in order."""
  made = []

  def record(name, path_of):
    call = getattr(os, name)

    def recorded(first, *rest, **options):
      path = path_of(first)
      result = call(first, *rest, **options)
      if "tensorboard" not in path:  # it may sync at any time
        made.append((name, path, *map(os.fspath, rest)))
      return result

    monkeypatch.setattr(os, name, recorded)

  record("fsync", lambda opened: os.readlink(f"/proc/self/fd/{opened}"))
  record("replace", os.fspath)
  record("rename", os.fspath)
  return made


def test_a_file_is_synced_before_it_is_renamed(tmp_path, calls):
  path = tmp_path / "summary.json"
  files.write_json(epath.Path(path), {"a": 1})
  assert calls == [
    ("fsync", f"{path}.partial"),
    ("replace", f"{path}.partial", str(path)),
    ("fsync", str(tmp_path)),
  ]


def test_metrics_are_synced_before_the_next_checkpoint(tmp_path, calls):
  """All files of a checkpoint are synced before it is renamed."""
  home = epath.Path(tmp_path)
  with MetricsWriter(home) as writer, Checkpoints(home / "c") as checkpoints:
    calls.clear()
    writer.write(line(1))
    assert not calls  # a line alone is not synced
    assert writer.flush()
    assert calls == [("fsync", str(tmp_path / "metrics.jsonl"))]
    assert writer.flush()
    assert len(calls) == 1  # nor is a synced line again
    checkpoints.save(1, {"a": jnp.arange(100.0)})
    checkpoints.finish()
  done = next(
    n
    for n, (name, *paths) in enumerate(calls)
    if name != "fsync" and paths[-1] == str(tmp_path / "c" / "1")
  )
  unnamed = calls[done][1]
  before = {path for name, path, *_ in calls[:done] if name == "fsync"}
  synced = {
    os.path.relpath(os.path.join(path, name), tmp_path / "c" / "1")
    for path, _, names in os.walk(tmp_path / "c" / "1")
    for name in names
  }
  assert {"manifest/metadata", "state/manifest.ocdbt"} <= synced
  late = {"commit_success.txt"}  # written last by Orbax; not needed
  assert {f"{unnamed}/{name}" for name in synced - late} <= before
  assert {unnamed, f"{unnamed}/state"} <= before
  after = {path for name, path, *_ in calls[done:] if name == "fsync"}
  assert str(tmp_path / "c") in after


SCHEDULE = Schedule(
  epochs=2,
  sequences_per_epoch=80,
  batch_size=8,
  log_every=4,
  checkpoint_every=5,
  steps_per_call=1,
)


def lines_until(step):
  """The lines that are written before a checkpoint."""
  train = [line(n) for n in (4, 8, 10, 12, 16, 20) if n <= step]
  validation = [line(n, "validation") for n in (10, 20) if n < step]
  return train + validation


@pytest.mark.parametrize("step", [0, 3, 4, 10, 11, 15, 20])
def test_a_stopped_run_has_no_missing_lines(step):
  none = {"train": [], "validation": []}
  assert missing_steps(lines_until(step), SCHEDULE, step) == none
  assert missing_steps(lines_until(20), SCHEDULE, step) == none  # it continued


def test_missing_lines_are_found_by_the_schedule():
  lines = [x for x in lines_until(20) if x["step"] not in (8, 10)]
  missing = missing_steps(lines, SCHEDULE, 20)
  assert missing == {"train": [8, 10], "validation": [10]}
  assert missing_steps([], SCHEDULE, 8) == {"train": [4, 8], "validation": []}


def test_missing_lines_cause_a_warning(finished, tmp_path, caplog):
  workdir = shutil.copytree(finished[0], tmp_path / "run")
  trained.load(workdir)
  assert not caplog.text
  path = workdir / "metrics.jsonl"
  kept = [
    x for x in path.read_text().splitlines(True) if '"step": 20,' not in x
  ]
  path.write_text("".join(kept))
  trained.load(workdir)
  assert (
    f"{path} lacks lines that existed when the checkpoint of step 40 was "
    "saved: train at step 20, validation at step 20"
  ) in caplog.text


@pytest.mark.slow
def test_a_resumed_run_warns_of_missing_lines(finished, run, tmp_path):
  from short_runs import QUICK

  workdir = shutil.copytree(finished[0], tmp_path / "run")
  (workdir / "summary.json").unlink()
  path = workdir / "metrics.jsonl"
  path.write_text("".join(path.read_text().splitlines(True)[:2]))
  done = run(*QUICK, f"--workdir={workdir}")
  assert done.returncode == 0, done.stderr
  assert "train at step 12 16 20 24 28 32 36 40, validation at step 20;" in (
    done.stderr
  )


@pytest.mark.slow
def test_a_run_skips_a_renamed_checkpoint(finished, run, tmp_path):
  from short_runs import QUICK, assert_same_summary

  workdir = shutil.copytree(finished[0], tmp_path / "run")
  (workdir / "summary.json").unlink()
  os.rename(workdir / "checkpoints" / "40", workdir / "checkpoints" / "50")
  done = run(*QUICK, f"--workdir={workdir}")
  assert done.returncode == 0, done.stderr
  assert "50 cannot be used: it was saved at step 40" in done.stderr
  assert "StepAlreadyExists" not in done.stderr
  assert (workdir / "checkpoints" / "50.unusable").exists()
  assert_same_summary(workdir, finished[0])


def test_predict_refuses_checkpoints_of_another_seed(finished, tmp_path):
  workdir = shutil.copytree(finished[0], tmp_path / "run")
  path = workdir / "config.json"
  text = path.read_text()
  assert text.count('"seed": 0,') == 1
  path.write_text(text.replace('"seed": 0,', '"seed": 1,'))
  with pytest.raises(ValueError, match=r"none of the checkpoints in .* can be"):
    trained.load(workdir)


def test_the_digest_ignores_what_may_change_in_a_run():
  parts = {
    "config": {"seed": 0, "data": {"data_dir": "a"}, "size": (1, 2.0)},
    "dataset": {"sha256": "12"},
  }
  other = {
    "dataset": {"sha256": "12"},
    "config": {"size": [1, 2], "data": {"data_dir": "b"}, "seed": 0.0},
  }
  assert folder.digest(parts) == folder.digest(other)
  for change in ({"seed": 1}, {"size": (1, 2.5)}, {"new": 1}):
    changed = parts | {"config": parts["config"] | change}
    assert folder.digest(changed) != folder.digest(parts)
