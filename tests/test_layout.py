"""Size and structure of the package, and what a plain run imports."""

import subprocess
import sys

import pytest
from short_runs import ROOT

PACKAGE = ROOT / "seqsum"
PACKAGES = {
  *("data", "inference", "models", "plots", "runs", "runtime"),
  *("sequences", "studies", "summarization", "training"),
}
EVENING = (  # README.md lists these files in reading order
  "configs/sum.py",
  "seqsum/main.py",
  "seqsum/train.py",
  "seqsum/sequences/shapes.py",
  "seqsum/sequences/tasks.py",
  "seqsum/sequences/batch.py",
  "seqsum/sequences/sampler.py",
  "seqsum/models/encoder.py",
  "seqsum/models/model.py",
  "seqsum/training/losses.py",
  "seqsum/training/optimizers.py",
  "seqsum/training/state.py",
  "seqsum/training/step.py",
  "seqsum/training/metrics.py",
  "seqsum/training/evaluate.py",
)
OPTIONAL = (  # not imported by a run on MNIST
  "scipy.stats",
  "seqsum.data.frame_folder",
  "seqsum.data.image_files",
  "seqsum.data.npz",
  "seqsum.data.recordings",
  "seqsum.data.tvsum",
  "seqsum.data.video_files",
  "seqsum.inference",
  "seqsum.studies",
  "seqsum.summarization",
)
# Modules of the flat package of 0.1.0 that have other names now.
OLD_NAMES = {
  *("allocator", "batches", "board", "bucket", "cells", "checkpoint"),
  *("clip_folder", "clips", "cluster", "command", "contents", "convolution"),
  *("divergence_study", "drawing", "eccv16", "error_charts", "film", "fixed"),
  *("flow", "given", "hdf5", "images", "judging", "learning_chart", "mesh"),
  *("network", "optdigits", "permutation", "pooling", "rates", "reading"),
  *("reading_chart", "recipe", "saving", "sharing", "stopping"),
  *("study_charts", "summary_chart", "tfds_images"),
}


def test_root_has_at_most_twelve_modules():
  assert len(list(PACKAGE.glob("*.py"))) <= 12


def test_there_are_ten_packages_of_at_most_16_files():
  found = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
  assert found == PACKAGES
  for name in PACKAGES:
    assert len(list((PACKAGE / name).rglob("*.py"))) <= 16, name


def test_no_module_has_an_old_name():
  assert not OLD_NAMES & {path.stem for path in PACKAGE.rglob("*.py")}


def test_files_have_at_most_about_300_lines():
  for path in PACKAGE.rglob("*.py"):
    assert len(path.read_text().splitlines()) <= 320, path


def test_fifteen_files_of_the_experiment_are_short():
  assert len(EVENING) == 15
  lines = sum(len((ROOT / x).read_text().splitlines()) for x in EVENING)
  assert lines <= 1750


def test_readme_lists_the_fifteen_files():
  text = (ROOT / "README.md").read_text()
  for name in EVENING:
    assert f"`{name}`" in text or f"`{name.rpartition('/')[2]}`" in text, name


def test_training_loop_imports_no_optional_module():
  program = "import sys, seqsum.train; print(*sorted(sys.modules))"
  done = subprocess.run(
    [sys.executable, "-c", program],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
  )
  imported = [name for name in done.stdout.split() if name.startswith(OPTIONAL)]
  assert not imported


def test_packages_import_only_from_packages_below():
  pytest.importorskip("importlinter", reason="needs the extra dev")
  program = "from importlinter import cli; cli.lint_imports_command()"
  done = subprocess.run(
    [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
  )
  assert done.returncode == 0, done.stdout + done.stderr
