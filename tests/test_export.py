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
    ],
  ),
)
def test_user_errors_print_one_line(finished, run, flags, words):
  flags = [x.format(run=finished[0]) for x in flags]
  done = run(*flags, program="seqsum.export")
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  assert re.search(words, line), line
