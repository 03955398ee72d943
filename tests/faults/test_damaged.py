"""Damaged checkpoints are reported, kept and skipped."""

import json
import os
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from short_runs import QUICK, assert_same_run, first, lines

from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.history import ranking
from seqsum.runs.manifest import describe
from seqsum.runs.restore import restore_newest
from seqsum.runtime.devices import make_mesh, replicated
from seqsum.runtime.errors import InputError


def tree(step, width=40):
  made = {
    "params": {"kernel": jnp.arange(50.0 * width).reshape(50, width) + step},
    "step": jnp.int32(step),
  }
  return jax.device_put(made, replicated(make_mesh(jax.devices()[:1])))


@pytest.fixture(scope="module")
def good(tmp_path_factory):
  folder = tmp_path_factory.mktemp("good") / "checkpoints"
  with Checkpoints(folder) as checkpoints:
    for step in (5, 10):
      checkpoints.save(step, tree(step))
  return folder


@pytest.fixture
def folder(good, tmp_path):
  return pathlib.Path(shutil.copytree(good, tmp_path / "checkpoints"))


def file_contents(folder):
  return {
    path.relative_to(folder): path.read_bytes()
    for path in sorted(folder.rglob("*"))
    if path.is_file()
  }


def flip(data, place=0.5):
  place = int(place * len(data))
  return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGES = {
  "cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
  "halved": lambda path: path.write_bytes(
    path.read_bytes()[: path.stat().st_size // 2]
  ),
  "emptied": lambda path: path.write_bytes(b""),
  "flipped": lambda path: path.write_bytes(flip(path.read_bytes())),
  "overwritten": lambda path: path.write_bytes(
    bytes(64) + path.read_bytes()[64:]
  ),
  "deleted": lambda path: path.unlink(),
}


def resume(folder):
  """Resume; check the restored arrays, save step 10; return the step."""
  with Checkpoints(folder) as checkpoints:
    step, found = restore_newest(checkpoints, tree(0))
    jax.tree.map(np.testing.assert_array_equal, found, tree(step))
    checkpoints.save(10, tree(10))
  with Checkpoints(folder) as checkpoints:
    again = checkpoints.restore(10, tree(0))
    jax.tree.map(np.testing.assert_array_equal, again, tree(10))
  return step


@pytest.mark.parametrize("how", first(DAMAGES, fast=2))
def test_damage_to_any_file_never_gives_wrong_values(
  good, tmp_path, how, caplog
):
  """Damages each file of the newest checkpoint, one at a time."""
  files = [x for x in file_contents(good) if x.parts[0] == "10"]
  steps = []
  for n, name in enumerate(files):
    folder = tmp_path / str(n)
    shutil.copytree(good, folder)
    DAMAGES[how](folder / name)
    damaged = file_contents(folder / "10")
    caplog.clear()
    steps.append(step := resume(folder))
    if step == 5:
      assert "10 cannot be used: " in caplog.text
      assert (
        file_contents(folder / "10.unusable") == damaged
      )  # nothing is deleted
  assert set(steps) == {5, 10}  # some files are needed, some are not
  print(f"{how}: {len(files)} files, {steps.count(5)} of them needed")


@pytest.mark.parametrize(
  ("spoil", "words"),
  [
    (lambda path: shutil.rmtree(path), "it has no manifest/metadata"),
    (lambda path: shutil.rmtree(path / "state"), "cannot be used"),
    (lambda path: shutil.rmtree(path / "manifest"), "the copy is incomplete"),
  ],
)
def test_missing_and_empty_folders_are_skipped(folder, spoil, words, caplog):
  spoil(folder / "10")
  (folder / "10").mkdir(exist_ok=True)
  assert resume(folder) == 5
  assert words in caplog.text


def test_the_remains_of_a_killed_save_are_ignored(folder, caplog):
  shutil.copytree(folder / "10", folder / "15.orbax-checkpoint-tmp")
  (folder / "20.orbax-checkpoint-tmp").mkdir()
  with Checkpoints(folder) as checkpoints:
    step, _ = restore_newest(checkpoints, tree(0))
    assert step == 10
    for later in (15, 20):  # and does not hinder the next save there
      checkpoints.save(later, tree(later))
    assert checkpoints.steps[0] == 20
  assert "cannot be used" not in caplog.text


def test_a_checkpoint_of_another_model_is_skipped(folder, caplog):
  with Checkpoints(folder) as checkpoints:
    checkpoints.save(20, tree(20, width=41))
  assert resume(folder) == 10
  assert (
    "20 cannot be used: it is of another model or version: params/kernel is "
    "float32[50, 41] there, float32[50, 40] here"
  ) in caplog.text


def test_a_checkpoint_without_manifest_is_skipped(folder, caplog):
  """As Orbax saves it without seqsum."""
  with ocp.CheckpointManager(folder) as manager:
    args = ocp.args.Composite(state=ocp.args.StandardSave(tree(20)))
    manager.save(20, args=args)
  assert resume(folder) == 10
  assert "20 cannot be used: it has no manifest/metadata" in caplog.text


def test_if_no_checkpoint_can_be_used_nothing_is_changed(folder):
  for step in ("5", "10"):
    path = folder / step / "manifest" / "metadata"
    path.write_bytes(flip(path.read_bytes()))
  before = file_contents(folder)
  for _ in range(2):
    with (
      Checkpoints(folder) as checkpoints,
      pytest.raises(InputError, match="none of the checkpoints"),
    ):
      restore_newest(checkpoints, tree(0))
    assert file_contents(folder) == before


def test_a_step_that_is_damaged_repeatedly_keeps_all_its_files(folder):
  for n in ("", "-2", "-3"):
    shutil.rmtree(folder / "10" / "state")
    assert resume(folder) == 5
    assert (folder / f"10.unusable{n}").exists()


def test_a_renamed_checkpoint_is_skipped(folder, caplog):
  os.rename(folder / "10", folder / "15")
  before = file_contents(folder / "15")
  assert resume(folder) == 5
  assert (
    "15 cannot be used: it was saved at step 10 and renamed afterwards"
  ) in caplog.text
  assert file_contents(folder / "15.unusable") == before


def test_a_checkpoint_of_another_run_is_set_aside(folder, tmp_path, caplog):
  """Whether it is newer or older than the run's own checkpoints."""
  with Checkpoints(tmp_path / "other", run="of seed 1") as checkpoints:
    for step in (3, 15):
      checkpoints.save(step, tree(step))
  for step in ("3", "15"):
    shutil.copytree(tmp_path / "other" / step, folder / step)
  before = file_contents(folder / "3"), file_contents(folder / "15")
  with Checkpoints(folder) as checkpoints:
    step, found = restore_newest(checkpoints, tree(0))
    assert step == 10
    jax.tree.map(np.testing.assert_array_equal, found, tree(10))
    for step in (15, 20, 25):
      checkpoints.save(step, tree(step))
    checkpoints.finish()
    assert checkpoints.steps == [25, 20]
  for step in (3, 15):
    assert (
      f"{step} cannot be used: it was saved by a run of another" in caplog.text
    )
  after = (
    file_contents(folder / "3.unusable"),
    file_contents(folder / "15.unusable"),
  )
  assert after == before


@pytest.mark.parametrize(
  ("manifest", "words"),
  [
    ({"step": 10, "arrays": {}}, "has no 'run'"),
    (
      {"step": "10", "run": "", "arrays": {}},
      'has step="10", expected a whole',
    ),
    (
      {"step": 10, "run": "", "arrays": {"a": 3}},
      "has a=3, expected an object",
    ),
    ({"step": 10, "run": "", "arrays": {"a": {}}}, "has no 'a.shape'"),
    ([1], "is a JSON list, not an object"),
  ],
)
def test_a_malformed_manifest_is_reported_in_one_line(
  folder, manifest, words, caplog
):
  path = folder / "10" / "manifest" / "metadata"
  path.write_text(json.dumps(manifest))
  assert resume(folder) == 5
  assert "10 cannot be used: " in caplog.text
  assert words in caplog.text


def test_names_that_are_not_steps_are_ignored(folder):
  for name in ("010", "\uff11\uff15"):
    (folder / name).mkdir()
  with Checkpoints(folder) as checkpoints:
    assert checkpoints.steps == [10, 5]
    assert restore_newest(checkpoints, tree(0))[0] == 10


@pytest.mark.parametrize(
  "name",
  ["10/manifest/metadata", "10/state/manifest.ocdbt", "10", "15", "metrics"],
)
def test_a_fifo_among_checkpoints_is_refused(folder, name):
  """Orbax would block when it opens the folder."""
  path = folder / name
  if path.is_dir():
    shutil.rmtree(path)
  path.unlink(missing_ok=True)
  os.mkfifo(path)
  with pytest.raises(InputError, match=rf"{path} is not a regular .*: move it"):
    Checkpoints(folder)


@pytest.mark.parametrize("name", ["10/manifest/metadata", "10", "15"])
def test_a_checkpoint_with_a_link_is_skipped(folder, name, tmp_path, caplog):
  path, real = folder / name, tmp_path / "real"
  if path.exists():
    path.rename(real)
  path.symlink_to(real)
  assert resume(folder) == (10 if name == "15" else 5)
  step = name.partition("/")[0]
  assert f"{step} cannot be used: " in caplog.text
  assert os.path.lexists(folder / f"{step}.unusable")
  assert name == "15" or real.exists()  # what the link points to


def test_describe_gives_shape_dtype_and_digest():
  kernel = describe(tree(0))["params/kernel"]
  assert kernel["shape"] == [50, 40]
  assert kernel["dtype"] == "float32"
  other = describe(tree(1))
  assert other["params/kernel"]["sha256"] != kernel["sha256"]


@pytest.mark.slow
def test_a_run_skips_damaged_checkpoints(finished, run, tmp_path):
  """The newest when it resumes, the best when it tests."""
  history = [x for x in lines(finished[0]) if x["split"] != "test"]
  best, second = ranking(history)[:2]
  workdir = tmp_path / "run"
  shutil.copytree(finished[0], workdir)
  newest = workdir / "checkpoints" / "40" / "manifest" / "metadata"
  newest.write_bytes(flip(newest.read_bytes()))
  (workdir / "summary.json").unlink()
  done = run(*QUICK, f"--workdir={workdir}")
  assert done.returncode == 0, done.stderr
  assert "checkpoints/40 cannot be used" in done.stderr
  assert "Traceback" not in done.stderr
  assert "resuming from step 35" in done.stdout
  assert (workdir / "checkpoints" / "40.unusable").exists()
  shutil.move(workdir / "checkpoints" / "40.unusable", tmp_path)
  assert_same_run(workdir, finished[0])

  shutil.rmtree(workdir / "checkpoints" / str(best) / "manifest")
  before = file_contents(workdir / "checkpoints")
  done = run(*QUICK, f"--workdir={workdir}", "--eval_only")
  assert done.returncode == 0, done.stderr
  assert f"checkpoints/{best} cannot be used" in done.stderr
  assert json.loads(done.stdout)["step"] == second
  assert file_contents(workdir / "checkpoints") == before
