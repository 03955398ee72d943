"""Exported programs run without seqsum and predict the same."""

import re
import subprocess
import sys

import numpy as np
import pytest
from browser import add, chromium, complaints, draw, frames, said, wait_for
from short_runs import first

import seqsum
from seqsum.models.cores import CORES
from seqsum.models.whole_sequence import WHOLE_CORES

ALONE = "import sys; sys.modules['seqsum'] = None\n"  # not installed


@pytest.fixture(scope="module")
def exported(finished, run, tmp_path_factory):
  out = tmp_path_factory.mktemp("exported") / "out"
  done = run(
    f"--workdir={finished[0]}", str(out), "--noonnx", program="seqsum.export"
  )
  assert done.returncode == 0, done.stderr
  assert "within" in done.stdout
  return out


def read_alone(out, title, shape, environment):
  """Runs the code of README.txt in another process; returns predictions."""
  text = (out / "README.txt").read_text()
  lines = text[text.index(title) :].partition("\n\n")[2].partition("\n\n")[0]
  code = "\n".join(line.removeprefix("    ") for line in lines.splitlines())
  code = re.sub(
    r"numpy\.zeros\(.*\)",
    f"numpy.random.default_rng(0).random({shape}, 'float32')",
    code,
  )
  code = code.replace("print(predictions)", "print(predictions.tolist())")
  done = subprocess.run(
    [sys.executable, "-c", ALONE + code],
    cwd=out,
    env=environment,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stderr
  return np.array(eval(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
  "shape", [(2, 3), pytest.param((1, 7), marks=pytest.mark.slow)]
)
def test_stablehlo_runs_without_seqsum(finished, exported, environment, shape):
  shape = (*shape, 28, 28, 1)
  model = seqsum.load(finished[0])
  expected = model.predict(np.random.default_rng(0).random(shape, "float32"))
  got = read_alone(exported, "with JAX", shape, environment)
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def with_onnx(finished, run, tmp_path_factory):
  pytest.importorskip("jax2onnx", reason="pip install -e '.[onnx]'")
  out = tmp_path_factory.mktemp("onnx") / "out"
  done = run(f"--workdir={finished[0]}", str(out), program="seqsum.export")
  assert done.returncode == 0, done.stderr
  return out


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(2, 3), (1, 7)])
def test_onnx_runs_without_seqsum(finished, with_onnx, environment, shape):
  shape = (*shape, 28, 28, 1)
  model = seqsum.load(finished[0])
  expected = model.predict(np.random.default_rng(0).random(shape, "float32"))
  got = read_alone(with_onnx, "In ONNX Runtime", shape, environment)
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


# Config file, overrides, frames of the program.
FIXED = {
  "sum": ("fold", {}, 4),
  "longer sum": ("fold", {}, 40),
  "product": ("fold", {"task.name": "product"}, 3),
  "addition": ("addition", {"addition.digits": 2}, 4),
  "longer addition": ("addition", {"addition.digits": 2}, 6),
  "learned addition": (
    "addition",
    {"addition.digits": 2, "model.core": "gru", "model.hidden_sizes": (8,)},
    4,
  ),
  "videos": ("importance", {}, 24),
}


def untrained(name, overrides):
  """A model of a config with initial parameters."""
  import importlib

  from seqsum.inference.trained import TrainedModel
  from seqsum.training.experiment import build_experiment
  from seqsum.training.state import init_state

  config = importlib.import_module(f"configs.{name}").get_config()
  config.update_from_flattened_dict(overrides)
  experiment = build_experiment(config)
  shape = experiment.sampler.shape
  params = init_state(experiment, 0, shape).params
  return TrainedModel(name, 0, experiment, params, shape)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FIXED)
@pytest.mark.parametrize("form", ["stablehlo", "onnx"])
def test_folds_and_sums_export_with_a_fixed_length(kind, form):
  from seqsum.inference import formats

  if form == "onnx":
    pytest.importorskip("jax2onnx", reason="pip install -e '.[onnx]'")
  name, overrides, length = FIXED[kind]
  model = untrained(name, overrides)
  assert formats.has_fixed_length(model)
  content = getattr(formats, form)(model, length)
  outputs = getattr(formats, f"run_{form}")
  frames = np.random.default_rng(1).random((2, length, *model.shape), "float32")
  frames[1, length // 2 :] = 0  # a shorter sequence
  found = dict(
    zip(formats.output_names(model), outputs(content, frames), strict=True)
  )
  expected = model.predict_distribution(frames)
  tight = {"rtol": 1e-5, "atol": 1e-5}
  np.testing.assert_allclose(
    found["predictions"], expected.predictions, **tight
  )
  if expected.probabilities is not None:
    values = model.experiment.objective.support(length)
    where = np.searchsorted(expected.values, values)
    np.testing.assert_allclose(
      found["probabilities"], expected.probabilities[..., where], **tight
    )
  if model.experiment.objective.fold is not None:
    assert found["digits"].shape == (2, length, 10)
    np.testing.assert_allclose(found["digits"].sum(-1), 1, rtol=1e-5)
  if kind != "videos":  # the importance of a frame depends on later ones
    shorter = model.predict(frames[1, : length // 2])
    padded = found["predictions"][1, : length // 2]
    if shorter.ndim > 1:  # the digits of a shorter sum
      padded = padded[:, : shorter.shape[-1]]
    np.testing.assert_allclose(padded, shorter, **tight)


@pytest.mark.slow
@pytest.mark.parametrize("core", [*CORES, *WHOLE_CORES])
@pytest.mark.parametrize("loss", ["huber", "cross_entropy"])
def test_every_core_exports_to_onnx(finished, core, loss):
  """With initial parameters."""
  pytest.importorskip("jax2onnx", reason="pip install -e '.[onnx]'")
  import dataclasses
  import json

  from ml_collections import ConfigDict

  from seqsum.inference import formats
  from seqsum.training.experiment import build_experiment
  from seqsum.training.state import init_state

  config = ConfigDict(
    json.loads((finished[0] / "config.json").read_text())["config"]
  )
  config.model.core, config.loss = core, loss
  experiment = build_experiment(config)
  trained = dataclasses.replace(
    seqsum.load(finished[0]),
    experiment=experiment,
    params=init_state(experiment, 0, (28, 28, 1)).params,
  )
  content = formats.onnx(trained)
  for shape in ((1, 1), (3, 6)):
    x = np.random.default_rng(1).random((*shape, 28, 28, 1), "float32")
    expected, shares, _ = trained.predict_distribution(x)
    got = formats.run_onnx(content, x)
    if core in WHOLE_CORES:  # earlier outputs see later frames
      got = [values[:, -1] for values in got]
      expected = expected[:, -1]
      shares = None if shares is None else shares[:, -1]
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-5)
    if shares is not None:
      np.testing.assert_allclose(got[1], shares, atol=1e-5)


@pytest.fixture(scope="module")
def page(finished, run, tmp_path_factory):
  import os

  pytest.importorskip("jax2onnx", reason="pip install -e '.[onnx]'")
  runtime = os.environ.get("SEQSUM_ONNXRUNTIME_WEB")
  if not runtime:
    pytest.skip("set SEQSUM_ONNXRUNTIME_WEB to onnxruntime-web's folder dist/")
  out = tmp_path_factory.mktemp("page") / "out"
  done = run(
    f"--workdir={finished[0]}",
    str(out),
    f"--onnxruntime_web={runtime}",
    program="seqsum.export",
  )
  assert done.returncode == 0, done.stderr
  return out / "index.html"


@pytest.mark.slow
def test_standalone_page_predicts_like_jax(finished, page):
  with chromium() as driver:
    driver.get(page.as_uri())  # without a server
    for digit in (7, 4, 2):
      add(driver, digit)
    expected = seqsum.load(finished[0]).predict(frames(driver))
    shown = [float(x) for x in said(driver)]
    np.testing.assert_allclose(shown, expected, atol=0.0051)
    exact = driver.execute_async_script(
      "const done = arguments[0];"
      "predict(frames).then(x => done(x.predictions), e => done(String(e)))"
    )
    np.testing.assert_allclose(exact, expected, rtol=1e-5, atol=1e-5)
    draw(driver, 1)
    driver.find_element("id", "clear").click()
    wait_for(driver, 0)
    assert not complaints(driver)


@pytest.mark.parametrize(
  ("flags", "words"),
  first(
    [
      (("out",), "--workdir is missing"),
      (("--workdir={run}",), "missing output folder"),
      (("--workdir={run}", "a", "b"), "unexpected argument 'b'"),
      (("--workdir=none", "out", "--noonnx"), "no run is there"),
      (
        ("--workdir={run}", "{run}/config.json", "--noonnx"),
        "cannot be written",
      ),
      (
        ("--workdir={run}", "out", "--noonnx", "--onnxruntime_web=x"),
        "needs ONNX",
      ),
      (("--workdir={run}", "out", "--frames=3"), "take any number of frames"),
    ],
  ),
)
def test_user_errors_print_one_line(finished, run, flags, words):
  flags = [x.format(run=finished[0]) for x in flags]
  done = run(*flags, program="seqsum.export")
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  assert re.search(words, line), line
