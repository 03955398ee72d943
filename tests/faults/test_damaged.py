"""Checkpoints that are damaged: said, left alone, and gone round."""

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
from seqsum.runs.manifest import describe
from seqsum.runs.writer import ranking
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


def contents(folder):
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
  """The step that a run goes on from; what it gets is what was saved."""
  with Checkpoints(folder) as checkpoints:
    step, found = checkpoints.resume(tree(0))
    jax.tree.map(np.testing.assert_array_equal, found, tree(step))
    # And the run comes to step 10 again.
    checkpoints.save(10, tree(10))
  with Checkpoints(folder) as checkpoints:
    again = checkpoints.restore(10, tree(0))
    jax.tree.map(np.testing.assert_array_equal, again, tree(10))
  return step


@pytest.mark.parametrize("how", first(DAMAGES, fast=2))
def test_no_damage_to_any_file_gives_wrong_values(good, tmp_path, how, caplog):
  """Every file of the newest checkpoint, one after the other."""
  files = [x for x in contents(good) if x.parts[0] == "10"]
  steps = []
  for n, name in enumerate(files):
    folder = tmp_path / str(n)
    shutil.copytree(good, folder)
    DAMAGES[how](folder / name)
    damaged = contents(folder / "10")
    caplog.clear()
    steps.append(step := resume(folder))
    if step == 5:
      assert "10 cannot be used: " in caplog.text
      assert contents(folder / "10.unusable") == damaged  # nothing is deleted
  assert set(steps) == {5, 10}  # some files are needed, some are not
  print(f"{how}: {len(files)} files, {steps.count(5)} of them needed")


@pytest.mark.parametrize(
  ("spoil", "words"),
  [
    (lambda path: shutil.rmtree(path), "it has no contents"),
    (lambda path: shutil.rmtree(path / "state"), "cannot be used"),
    (lambda path: shutil.rmtree(path / "contents"), "an older version"),
  ],
)
def test_folders_that_are_gone_or_empty(folder, spoil, words, caplog):
  spoil(folder / "10")
  (folder / "10").mkdir(exist_ok=True)
  assert resume(folder) == 5
  assert words in caplog.text


def test_what_a_killed_save_leaves_is_no_checkpoint(folder, caplog):
  shutil.copytree(folder / "10", folder / "15.orbax-checkpoint-tmp")
  (folder / "20.orbax-checkpoint-tmp").mkdir()
  with Checkpoints(folder) as checkpoints:
    step, _ = checkpoints.resume(tree(0))
    assert step == 10
    for later in (15, 20):  # and does not hinder the next save there
      checkpoints.save(later, tree(later))
    assert checkpoints.steps[0] == 20
  assert "cannot be used" not in caplog.text


def test_another_model_is_named(folder, caplog):
  with Checkpoints(folder) as checkpoints:
    checkpoints.save(20, tree(20, width=41))
  assert resume(folder) == 10
  assert (
    "20 cannot be used: of another model or version: params/kernel is "
    "float32[50, 41] there, float32[50, 40] here"
  ) in caplog.text


def test_an_older_format_is_named(folder, caplog):
  """As seqsum saved before checkpoints said what they hold."""
  with ocp.CheckpointManager(folder) as manager:
    args = ocp.args.Composite(state=ocp.args.StandardSave(tree(20)))
    manager.save(20, args=args)
  assert resume(folder) == 10
  assert "20 cannot be used: it has no contents/metadata" in caplog.text


def test_if_none_is_good_the_run_stops_and_nothing_is_touched(folder):
  for step in ("5", "10"):
    path = folder / step / "contents" / "metadata"
    path.write_bytes(flip(path.read_bytes()))
  before = contents(folder)
  for _ in range(2):
    with (
      Checkpoints(folder) as checkpoints,
      pytest.raises(InputError, match="none of the checkpoints"),
    ):
      checkpoints.resume(tree(0))
    assert contents(folder) == before


def test_damaged_twice_at_the_same_step(folder):
  for n in ("", "-2", "-3"):
    shutil.rmtree(folder / "10" / "state")
    assert resume(folder) == 5
    assert (folder / f"10.unusable{n}").exists()


def test_a_renamed_checkpoint_is_not_taken_for_another_step(folder, caplog):
  """Such as one beyond the end of the run, where no step could be saved."""
  os.rename(folder / "10", folder / "15")
  before = contents(folder / "15")
  assert resume(folder) == 5
  assert (
    "15 cannot be used: it was saved at step 10 and renamed afterwards"
  ) in caplog.text
  assert contents(folder / "15.unusable") == before


def test_a_checkpoint_of_another_run_is_not_used(folder, tmp_path, caplog):
  """Newer or older than the run's own; it is kept, under another name."""
  with Checkpoints(tmp_path / "other", run="of seed 1") as checkpoints:
    for step in (3, 15):
      checkpoints.save(step, tree(step))
  for step in ("3", "15"):
    shutil.copytree(tmp_path / "other" / step, folder / step)
  before = contents(folder / "3"), contents(folder / "15")
  with Checkpoints(folder) as checkpoints:
    step, found = checkpoints.resume(tree(0))
    assert step == 10
    jax.tree.map(np.testing.assert_array_equal, found, tree(10))
    for step in (15, 20, 25):
      checkpoints.save(step, tree(step))
    checkpoints.finish()
    assert checkpoints.steps == [25, 20]
  for step in (3, 15):
    assert f"{step} cannot be used: it was saved by another run" in caplog.text
  after = contents(folder / "3.unusable"), contents(folder / "15.unusable")
  assert after == before


@pytest.mark.parametrize(
  ("manifest", "words"),
  [
    (None, "of an older version of seqsum"),
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
def test_a_manifest_that_is_another_is_one_line(
  folder, manifest, words, caplog
):
  if manifest is None:  # as it was before it had a step and a run
    manifest = describe(tree(10))
  path = folder / "10" / "contents" / "metadata"
  path.write_text(json.dumps(manifest))
  assert resume(folder) == 5
  assert "10 cannot be used: " in caplog.text
  assert words in caplog.text


def test_names_that_are_almost_steps_are_none(folder):
  for name in ("010", "\uff11\uff15"):
    (folder / name).mkdir()
  with Checkpoints(folder) as checkpoints:
    assert checkpoints.steps == [10, 5]
    assert checkpoints.resume(tree(0))[0] == 10


@pytest.mark.parametrize(
  "name",
  ["10/contents/metadata", "10/state/manifest.ocdbt", "10", "15", "metrics"],
)
def test_a_fifo_among_checkpoints_is_one_line(folder, name):
  """Orbax would wait for somebody to write to it, also while it opens."""
  path = folder / name
  if path.is_dir():
    shutil.rmtree(path)
  path.unlink(missing_ok=True)
  os.mkfifo(path)
  with pytest.raises(InputError, match=rf"{path} is not a regular .*: move it"):
    Checkpoints(folder)


@pytest.mark.parametrize("name", ["10/contents/metadata", "10", "15"])
def test_a_checkpoint_with_a_link_is_not_used(folder, name, tmp_path, caplog):
  path, real = folder / name, tmp_path / "real"
  if path.exists():
    path.rename(real)
  path.symlink_to(real)
  assert resume(folder) == (10 if name == "15" else 5)
  step = name.partition("/")[0]
  assert f"{step} cannot be used: " in caplog.text
  assert os.path.lexists(folder / f"{step}.unusable")
  assert name == "15" or real.exists()  # what the link points to


def test_contents_say_what_is_there():
  kernel = describe(tree(0))["params/kernel"]
  assert kernel["shape"] == [50, 40]
  assert kernel["dtype"] == "float32"
  other = describe(tree(1))
  assert other["params/kernel"]["sha256"] != kernel["sha256"]


@pytest.mark.slow
def test_a_run_goes_round_what_is_damaged(finished, run, tmp_path):
  """The best, or the newest: said in a line, and the end is the same."""
  history = [x for x in lines(finished[0]) if x["split"] != "test"]
  best, second = ranking(history)[:2]
  workdir = tmp_path / "run"
  shutil.copytree(finished[0], workdir)
  newest = workdir / "checkpoints" / "40" / "contents" / "metadata"
  newest.write_bytes(flip(newest.read_bytes()))
  (workdir / "summary.json").unlink()
  done = run(*QUICK, f"--workdir={workdir}")
  assert done.returncode == 0, done.stderr
  assert "checkpoints/40 cannot be used" in done.stderr
  assert "Traceback" not in done.stderr
  assert "goes on from step 35" in done.stdout
  assert (workdir / "checkpoints" / "40.unusable").exists()
  shutil.move(workdir / "checkpoints" / "40.unusable", tmp_path)
  assert_same_run(workdir, finished[0])

  shutil.rmtree(workdir / "checkpoints" / str(best) / "contents")
  before = contents(workdir / "checkpoints")
  done = run(*QUICK, f"--workdir={workdir}", "--eval_only")
  assert done.returncode == 0, done.stderr
  assert f"checkpoints/{best} cannot be used" in done.stderr
  assert json.loads(done.stdout)["step"] == second
  assert contents(workdir / "checkpoints") == before
