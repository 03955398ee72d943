"""`seqsum.load` and `python -m seqsum.predict`."""

import json
import re

import jax
import numpy as np
import pytest
from paper import photo
from PIL import Image
from short_runs import QUICK, ROOT, first

import seqsum
from seqsum.runtime.errors import InputError


@pytest.fixture(scope="module")
def model(finished):
  return seqsum.load(finished[0])


@pytest.fixture(scope="module")
def sheets(bundled, tmp_path_factory):
  """A folder of three photos: 2.png, 9.jpg, 10.png."""
  folder = tmp_path_factory.mktemp("sheets")
  for i, name in enumerate(("2.png", "9.jpg", "10.png")):
    shown = photo(bundled.test.images[i, ..., 0], np.random.default_rng(i))
    Image.fromarray((255 * shown).astype(np.uint8)).save(folder / name)
  return folder


def test_load_restores_the_best_step(finished, model):
  summary = json.loads((finished[0] / "summary.json").read_text())
  assert model.step == summary["best_step"]
  assert (model.task, model.max_len, model.shape) == ("sum", 4, (28, 28, 1))


def test_predictions_equal_the_trained_model(model, bundled):
  """Also for other layouts, and one sequence or prefix at a time."""
  frames = bundled.test.images[:12].reshape(2, 6, 28, 28, 1)
  outputs = model.experiment.model.apply(model.params, frames)
  expected = np.asarray(model.experiment.objective.predict(outputs))
  close = lambda x: np.testing.assert_allclose(x, expected, rtol=1e-5)
  close(model.predict(frames))
  close(model.predict(frames[..., 0]))
  close(model.predict(frames / np.float32(255)))
  close(np.stack([model.predict(frames[0]), model.predict(frames[1])]))
  close([[*model.predict(x[:5]), model.predict(x)[5]] for x in frames])
  assert model.predict_distribution(frames).probabilities is None


def test_probabilities_of_a_classifier_sum_to_1(finished, model):
  import dataclasses

  from ml_collections import ConfigDict

  from seqsum.runtime.devices import make_mesh
  from seqsum.training.experiment import build_experiment
  from seqsum.training.parallel import compile_init

  said = json.loads((finished[0] / "config.json").read_text())
  config = ConfigDict(said["config"])
  config.loss = "cross_entropy"
  experiment = build_experiment(config)
  one = make_mesh(jax.devices()[:1])
  params = compile_init(experiment, one, (28, 28, 1))(0).params
  other = dataclasses.replace(model, experiment=experiment, params=params)
  frames = np.random.default_rng(0).uniform(size=(5, 3, 28, 28, 1))
  reading = other.predict_distribution(frames)
  assert reading.probabilities.shape == (5, 3, 37)
  np.testing.assert_array_equal(other.values, np.arange(37))
  np.testing.assert_allclose(reading.probabilities.sum(-1), 1, rtol=1e-5)
  likeliest = reading.probabilities.argmax(-1)
  np.testing.assert_array_equal(reading.predictions, likeliest)


@pytest.mark.parametrize(
  ("frames", "words"),
  [
    (np.zeros((28, 28, 1), np.uint8), "shape"),
    (np.zeros((0, 28, 28, 1), np.uint8), "shape"),
    (np.zeros((2, 14, 14, 1), np.uint8), "shape"),
    (np.zeros((2, 28, 28, 3), np.uint8), "shape"),
    (np.zeros((2, 28, 28, 1), np.int64), "int64"),
    (np.full((2, 28, 28, 1), 255.0), "divide by 255"),
    (np.full((2, 28, 28, 1), np.nan), "0..1"),
  ],
)
def test_invalid_frames_raise(model, frames, words):
  with pytest.raises(InputError, match=words):
    model.predict(frames)


def test_import_seqsum_imports_neither_jax_nor_pillow(run, environment):
  import subprocess
  import sys

  code = "import seqsum, sys; print('jax' in sys.modules, 'PIL' in sys.modules)"
  done = subprocess.run(
    [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
  )
  assert done.stdout == "False False\n"
  with pytest.raises(AttributeError, match="no attribute 'lode'"):
    _ = seqsum.lode


def test_command_prints_the_models_predictions(finished, model, sheets, run):
  frames = seqsum.read_images([sheets])
  expected = model.predict(frames)
  flags = (f"--workdir={finished[0]}", str(sheets))
  done = run(*flags, "--json", program="seqsum.predict")
  assert done.returncode == 0, done.stderr
  said = json.loads(done.stdout)
  names = [row["file"].rsplit("/", 1)[1] for row in said["images"]]
  assert names == ["2.png", "9.jpg", "10.png"]
  values = [row["prediction"] for row in said["images"]]
  np.testing.assert_allclose(values, expected, rtol=1e-5)
  assert said["answer"] == np.rint(expected[-1])

  png = sheets.parent / "plot.png"
  done = run(*flags, "--show_frames", f"--plot={png}", program="seqsum.predict")
  assert done.returncode == 0, done.stderr
  assert done.stdout.splitlines()[-1] == f"sum: {expected[-1]:.0f}"
  assert done.stdout.count("█") > 50
  assert Image.open(png).size[0] > 500


@pytest.mark.parametrize(
  ("flags", "words"),
  first(
    [
      ((), "no images: name files"),
      (("--workdir={run}",), "no images: name files"),
      (("--workdir={sheets}", "{sheets}"), "no run is there"),
      (("--workdir={run}", "{sheets}", "{run}/config.json"), "not an image"),
      (
        ("--workdir={run}", "{sheets}", "--plot=x.pdf"),
        "in .png or .gif",
      ),
      (
        ("--workdir={run}", "{sheets}", "--plot={sheets}/2.png/x.png"),
        "Not a directory",
      ),
      (("--workdir={run}", "{sheets}", "--jsno"), "Unknown command line flag"),
    ],
    fast=2,
  ),
)
def test_user_errors_print_one_line_and_no_prediction(
  finished, sheets, run, flags, words
):
  flags = [x.format(run=finished[0], sheets=sheets) for x in flags]
  done = run(*flags, program="seqsum.predict")
  assert done.returncode == 1
  assert not done.stdout
  (line,) = done.stderr.strip().splitlines()
  assert re.search(words, line), line


@pytest.fixture(scope="module")
def fold(run, tmp_path_factory):
  """A short run with the core 'fold'."""
  workdir = tmp_path_factory.mktemp("fold") / "run"
  done = run(
    *QUICK,
    "--config.model.core=fold",
    "--config.loss=cross_entropy",
    f"--workdir={workdir}",
  )
  assert done.returncode == 0, done.stderr
  return workdir


@pytest.mark.slow
def test_fold_predicts_the_exact_distribution_after_each_frame(
  fold, bundled, run
):
  model = seqsum.load(fold)
  frames = bundled.test.images[:40]
  reading = model.predict_distribution(frames)
  assert reading.probabilities.shape == (40, len(reading.values))
  np.testing.assert_allclose(reading.probabilities.sum(-1), 1, atol=1e-4)
  # Convolve the distributions of 40 single digits.
  one = lambda frame: model.predict_distribution(frame[None]).probabilities[
    0, :10
  ]
  sums = np.ones(1)
  for frame in frames:
    sums = np.convolve(sums, one(frame).astype(np.float64))
  last = reading.probabilities[-1]
  np.testing.assert_allclose(last[: len(sums)], sums, atol=1e-5)
  assert not last[len(sums) :].any()
  assert reading.predictions[-1] == reading.values[last.argmax()]
  # Later frames do not change earlier predictions.
  short = model.predict_distribution(frames[:3])
  np.testing.assert_array_equal(short.predictions, reading.predictions[:3])
  both = model.predict_distribution(np.stack([frames[:3], frames[3:6]]))
  assert both.probabilities.shape == (2, 3, len(both.values))


@pytest.mark.slow
def test_fold_prints_probability_and_deviation(fold, sheets, run):
  done = run(f"--workdir={fold}", str(sheets), program="seqsum.predict")
  assert done.returncode == 0, done.stderr
  assert len(re.findall(r"%  ± \d", done.stdout)) == 3
  done = run(
    *(f"--workdir={fold}", str(sheets), "--json"), program="seqsum.predict"
  )
  *_, last = json.loads(done.stdout)["images"]
  assert 0 <= last["deviation"] < 20
  assert last["probabilities"]
