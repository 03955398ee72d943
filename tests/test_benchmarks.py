"""Each benchmark runs on small sizes."""

import importlib.util
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from short_runs import ROOT

from benchmarks import chart, network, table
from benchmarks.process import Failed, Process, exception_line
from benchmarks.worker import PEERS

RESULTS = ROOT / "benchmarks" / "results"
NOTE = """\
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    step(1, 2)
    ^^^^^^^^^^
KeyError: 'first'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 2, in f
    g()
TypeError: fori_loop takes an int,
  got a tuple
--------------------
For simplicity, JAX has removed its internal frames from the traceback of the \
following exception. Set JAX_TRACEBACK_FILTERING=off to include these.
"""


@pytest.fixture
def start(environment):
  def start(module: str, *flags) -> subprocess.CompletedProcess:
    return subprocess.run(
      [sys.executable, "-m", f"benchmarks.{module}", *flags],
      cwd=ROOT,
      env=environment,
      capture_output=True,
      text=True,
    )

  return start


@pytest.fixture
def run(start):
  def run(module: str, *flags) -> str:
    done = start(module, *flags)
    assert not done.returncode, done.stderr
    return done.stdout

  return run


@pytest.mark.parametrize(
  ("stderr", "code", "line"),
  [
    (NOTE, 1, "TypeError: fori_loop takes an int,"),
    ("W0000 a warning\nflag --x is unknown\n\n", 1, "flag --x is unknown"),
    ("W0000 a warning\n", -9, "ended by SIGKILL"),
    ("", 3, "exit code 3"),
  ],
)
def test_exception_line_is_found_in_a_childs_stderr(stderr, code, line):
  assert exception_line(stderr, code) == line


@pytest.fixture
def folder(tmp_path):
  """A benchmark's folder with batches of four sequences."""
  images = np.arange(20, dtype=np.uint8)[:, None, None, None]
  images = np.broadcast_to(images, (20, 28, 28, 1))
  batches = network.draw(images, np.arange(20) % 10, 4, 2)
  arrays = map(np.stack, zip(*batches, strict=True))
  fields = dict(zip(network.Batch._fields, arrays, strict=True))
  np.savez(tmp_path / "4.npz", **fields)
  (tmp_path / "name").write_text("digits")
  return tmp_path


@pytest.mark.slow
def test_failure_of_a_child_names_its_exception(folder):
  # The child cannot read its batches and exits with a traceback.
  (folder / "4.npz").write_bytes(b"no file of NumPy's")
  process = Process("flax", folder, 4, 1)
  with pytest.raises(Failed, match=r"^flax: \w+.*Error: ") as caught:
    process.ask("start")
  process.kill()
  assert "Traceback (most recent call last):" in caught.value.stderr


def test_stored_page_matches_stored_results():
  for stem in ("peers", "peers_default", "peers_xeon", "peers_xeon_default"):
    results = json.loads((RESULTS / f"{stem}.json").read_text())
    page = (RESULTS / f"{stem}.md").read_text()
    assert table.write(results) == page
    assert all(label in page for label in table.LABELS.values())


def test_chart_of_stored_results_is_drawn(tmp_path):
  results = json.loads((RESULTS / "peers.json").read_text())
  chart.draw(results, tmp_path / "peers.png")
  with Image.open(tmp_path / "peers.png") as image:
    assert min(image.size) > 400
    assert len(image.getcolors(1 << 20)) > 20  # something is drawn


def torch_peers() -> str:
  """PyTorch peers that run without a C++ compiler; "" without PyTorch."""
  if importlib.util.find_spec("torch"):
    return ",torch-eager,torch-shared,torch-packed"
  print("torch is not installed: its peers did not run")
  return ""


@pytest.mark.slow
def test_peers_compute_the_same(run, capsys):
  with capsys.disabled():
    peers = "seqsum,flax" + torch_peers()
  out = run("peers", "--check", f"--peers={peers}")
  for name in peers.split(","):
    spare = 0 if name in ("seqsum", "flax") else network.SPARE_BIASES
    assert f"{name}: {network.PARAMETERS + spare:,} parameters" in out
  assert "all compute the same" in out


@pytest.mark.slow
def test_peers_are_timed(run, tmp_path, capsys):
  with capsys.disabled():
    peers = "seqsum" + torch_peers().removesuffix(",torch-shared,torch-packed")
  out = tmp_path / "results" / "peers"
  page = run("peers", "--quick", f"--peers={peers}", f"--out={out}")
  results = json.loads(out.with_suffix(".json").read_text())
  (setting,) = results["settings"]
  assert setting["batch"] == 32
  for measured in setting["rounds"]:
    for name in peers.split(","):
      assert measured[name]["train"] > 0
      assert measured[name]["predict"] > measured[name]["train"]
  assert results["starts"]["seqsum"]["parameters"] == network.PARAMETERS
  command = results["command"]
  assert 0 < command["warm"] < command["cold"]
  assert out.with_suffix(".md").read_text() in page
  assert out.with_suffix(".png").stat().st_size > 10_000


@pytest.mark.slow
def test_gpu_comparison_runs_on_a_cpu(run, tmp_path):
  out = tmp_path / "gpu"
  page = run("gpu", "--check", f"--out={out}", "--precisions=fp32")
  (measured,) = json.loads(out.with_suffix(".json").read_text())[
    "settings"
  ].values()
  peers = {key.split()[0] for key in measured}
  torch = {"torch-eager", "torch-graph", "torch-packed-graph"}
  expected = {"seqsum", "flax"}
  if importlib.util.find_spec("torch"):
    expected |= torch
  if importlib.util.find_spec("keras"):
    expected.add("keras-jax")
  assert peers == expected
  for key, found in measured.items():
    assert found["rates"][0] > 0, key
    assert 0 < found["loss"] < 1e3, key
  assert "| seqsum, fp32 |" in page
  assert "| Flax, plain, fp32 |" in page
  assert out.with_suffix(".png").stat().st_size > 10_000


@pytest.mark.slow
def test_seconds_until_targets(run, tmp_path):
  out = tmp_path / "targets"
  page = run("targets", "--check", f"--out={out}")
  goals = json.loads(out.with_suffix(".json").read_text())["goals"]
  assert set(goals) == {"post", "sum2"}
  for found in goals.values():
    assert found["seconds"] == [None]  # two steps do not reach it
    assert found["compile"] > 0
  assert "| post: mse 0.61 | - | - | 0 of 1 |" in page
  assert out.with_suffix(".md").read_text() in page


@pytest.mark.slow
def test_gpu_comparison_without_a_gpu_is_refused(start):
  done = start("gpu", "--precisions=tf32")
  assert done.returncode == 1
  assert done.stderr.endswith("benchmarks.peers, or use --check\n")


@pytest.mark.slow
def test_gpu_comparison_has_one_backend_of_keras(start):
  done = start("gpu", "--peers=keras-torch")
  assert done.returncode == 1
  assert done.stderr.endswith("keras-torch: set KERAS_BACKEND, now jax\n")


@pytest.mark.slow
def test_missing_peers_are_reported(start):
  absent = [
    name
    for name, (module, variant) in PEERS.items()
    if module == "peer_keras" and not importlib.util.find_spec(variant)
  ]
  if not absent:
    return  # all are installed
  done = start("peers", f"--peers={absent[0]}")
  assert done.returncode == 1
  assert f"{absent[0]} is skipped: keras" in done.stdout
  assert done.stderr == (
    "no peer of --peers is installed: run pip install -e '.[bench]'\n"
  )


@pytest.mark.slow
def test_profile_prints_each_part_and_the_whole_step(run):
  page = run("profile", "--batch=8", "--rounds=1")
  assert "| RMSProp of the projection |" in page
  assert "| the whole step |" in page
  assert "MB of temporary buffers" in page


@pytest.mark.slow
def test_products_are_compared(run):
  page = run("products", "--frames=8", "--rounds=2")
  assert "| product | XLA | NumPy |" in page
  assert re.search(r"\| projection \| \d+, \d+ \|", page)


@pytest.mark.slow
def test_rematerialized_step_needs_less_memory(run, tmp_path):
  out = tmp_path / "lengths"
  flags = ["--lengths=16", "--frames=1024", "--remat=0,16", "--rounds=1"]
  run("lengths", *flags, f"--out={out}")
  programs = json.loads(out.with_suffix(".json").read_text())["programs"]
  size = {(x["T"], x["remat"]): x["temporary_mb"] for x in programs}
  assert size[16, 16] < size[16, 0] / 2


@pytest.mark.slow
def test_two_devices_reduce_gradients_and_seven_metrics(run, tmp_path):
  out = tmp_path / "scaling"
  flags = ["--devices=1,2", "--strong=4", "--weak=2", "--rounds=1"]
  page = run("scaling", *flags, f"--out={out}")
  steps = json.loads(out.with_suffix(".json").read_text())["steps"]
  found = [(x["scaling"], x["devices"], x["batch"]) for x in steps]
  assert found == [
    ("strong", 1, 4),
    ("strong", 2, 4),
    ("weak", 1, 2),
    ("weak", 2, 4),
  ]
  for x in steps:
    numbers = network.PARAMETERS + 7 if x["devices"] > 1 else 0
    assert x["reduced_bytes"] == 4 * numbers
  assert "| 256 | 0.93 |" in page  # also in docs/performance.md


@pytest.mark.slow
def test_seeds_times_loop_and_vmap(run):
  flags = ["--configs=sum_tiny", "--seeds=2", "--steps=2", "--rounds=1"]
  line = run("seeds", *flags).splitlines()[-1]
  name, one, _, many, _, ratio, _ = line.split()
  assert name == "sum_tiny"
  assert float(one) > 0
  assert float(many) / float(one) == pytest.approx(float(ratio), rel=0.05)


@pytest.mark.slow
def test_soak_samples_a_run(start, tmp_path):
  out = tmp_path / "soak"
  # The verdict on so short a run is irrelevant: memory still grows.
  done = start("soak", "--steps=4000", f"--out={out}")
  assert "Traceback" not in done.stderr
  result = json.loads(out.with_suffix(".json").read_text())
  assert done.returncode == (0 if result["is_flat"] else 1)
  assert 100 < result["resident_mb"] <= result["peak_resident_mb"]
  assert result["files_growth"] <= 0 < result["step_ms"]
  assert 0 < result["steps"] <= 4000
  assert out.with_suffix(".png").stat().st_size > 10_000


@pytest.mark.slow
def test_too_short_soak_is_refused(start, tmp_path):
  done = start("soak", "--steps=10", "--out", tmp_path)
  assert done.returncode == 1
  assert done.stderr.splitlines()[-1].startswith("--steps=10 is too short")
