"""The command `python -m seqsum.main`, in a subprocess."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from short_runs import (
  QUICK,
  ROOT,
  assert_same_run,
  assert_same_summary,
  first,
  lines,
  start,
  state,
  summary,
)


def test_a_run_writes_its_files(finished):
  workdir, done = finished
  config = json.loads((workdir / "config.json").read_text())
  assert config["config"]["batch_size"] == 8
  assert config["dataset"]["name"] == "digits"
  assert len(config["dataset"]["sha256"]) == 64
  assert config["devices"]["count"] == 1
  assert "jax" in config["versions"]
  written = lines(workdir)
  assert [x["step"] for x in written if x["split"] == "validation"] == [20, 40]
  steps = [x["step"] for x in written if x["split"] == "train"]
  assert steps == list(range(4, 41, 4))
  test = written[-1]
  assert test["split"] == "test"
  assert set(test["by_length"]) == {"1", "2", "3", "4"}
  assert sum(x["count"] for x in test["by_target"].values()) == 48
  result = summary(workdir)
  for key in (
    "test",
    "validation",
    "best_step",
    "parameters",
    "dataset",
    "train_seconds",
    "sequences_per_second",
    "time_to_mse_0.61_seconds",
  ):
    assert key in result
  page = (workdir / "report" / "index.html").read_text()
  assert "data:image/png;base64" in page
  assert "guess the mean" in done.stdout
  assert "validation mse" in done.stdout


def test_a_finished_run_is_not_changed(finished, run):
  workdir, _ = finished
  before = (workdir / "metrics.jsonl").read_bytes()
  again = run(*QUICK, f"--workdir={workdir}")
  assert again.returncode == 0
  assert "is finished" in again.stdout
  assert (workdir / "metrics.jsonl").read_bytes() == before


def test_eval_only_prints_the_same_metrics(finished, run):
  workdir, _ = finished
  done = run(*QUICK, f"--workdir={workdir}", "--eval_only")
  assert done.returncode == 0, done.stderr
  found, expected = json.loads(done.stdout), summary(workdir)["test"]
  assert found["step"] == summary(workdir)["best_step"]
  for key in ("loss", "mse", "mae", "exact_accuracy", "by_target"):
    assert found[key] == expected[key]


def test_a_different_config_is_refused_and_names_the_differences(finished, run):
  workdir, _ = finished
  done = run(*QUICK, f"--workdir={workdir}", "--config.seed=3")
  assert done.returncode != 0
  assert "belongs to another run" in done.stderr
  assert "config.seed (0 there, 3 here)" in done.stderr


def wait_for_step(process, workdir, step):
  """Wait until the run has written a line of a step."""
  path = workdir / "metrics.jsonl"
  while process.poll() is None:
    if path.exists() and re.search(rf'"step": {step},', path.read_text()):
      return
    time.sleep(0.01)
  raise AssertionError(process.communicate())


@pytest.mark.slow
def test_a_run_killed_three_times_equals_an_uninterrupted_one(
  finished, environment, run, tmp_path
):
  workdir = tmp_path / "killed"
  for step in (8, 12, 28):  # in the middle of an epoch
    process = start(environment, workdir)
    wait_for_step(process, workdir, step)
    process.kill()
    process.communicate()
  done = run(*QUICK, f"--workdir={workdir}")
  assert done.returncode == 0, done.stderr
  assert "resuming from step" in done.stdout
  assert_same_run(workdir, finished[0])
  assert_same_summary(workdir, finished[0])


@pytest.mark.slow
@pytest.mark.parametrize(
  ("number", "code", "report"),
  [
    (signal.SIGINT, 130, True),
    (signal.SIGTERM, 143, False),
    (signal.SIGHUP, 129, False),
  ],
)
def test_a_signal_saves_and_the_run_resumes(
  finished, environment, run, tmp_path, number, code, report
):
  workdir = tmp_path / "stopped"
  process = start(environment, workdir)
  wait_for_step(process, workdir, 8)
  process.send_signal(number)
  out, err = process.communicate(timeout=120)
  assert process.returncode == code, err
  assert number.name in out
  assert "Traceback" not in err
  assert (workdir / "report" / "index.html").exists() == report
  assert not (workdir / "summary.json").exists()
  step, _ = state(workdir)
  path = workdir / "config.json"
  elsewhere = json.loads(path.read_text())
  elsewhere["devices"]["affinity"] = 77
  path.write_text(json.dumps(elsewhere))
  done = run(*QUICK, f"--workdir={workdir}")
  assert f"resuming from step {step}" in done.stdout
  assert "devices.affinity was 77 and is" in done.stderr
  assert_same_run(workdir, finished[0])


@pytest.mark.slow
def test_a_nonfinite_loss_stops_the_run(run, tmp_path):
  flags = (*QUICK, "--config.optimizer.learning_rate=1e30")
  workdir = tmp_path / "diverged"
  done = run(*flags, f"--workdir={workdir}")
  assert done.returncode == 1
  assert re.search(r"inf or nan at step \d", done.stderr)
  assert "Traceback" not in done.stderr
  workdir = tmp_path / "study"
  done = run(*flags, f"--workdir={workdir}", "--config.on_nonfinite=continue")
  assert done.returncode == 0, done.stderr
  strict = json.loads(
    (workdir / "summary.json").read_text(), parse_constant=pytest.fail
  )
  assert strict["test"]["mse"] is None


@pytest.mark.parametrize(
  ("flag", "words"),
  first(
    [
      (
        "--config.batchsize=3",
        'unknown config field.*Did you mean "batch_size"',
      ),
      ("--config.task.name=summ", "did you mean 'sum'"),
      ("--workdir=pyproject.toml/x", "cannot be written"),
      ("stray", "unexpected argument 'stray'"),
      ("--config.model.hidden_size=3", 'Did you mean "hidden_sizes"'),
      ("--config.model.conv.size.x=3", "unknown config field.*size"),
      ("--config.batch_size=many", "config.batch_size=many"),
      ("--config.batch_size=0", "batch_size=0: must be at least 1"),
      ("--config.sequence.max_len=0", "max_len=0: must be at least 1"),
      (
        "--config.sequence.min_len=9",
        "min_len=9: must be at most config.sequence.max_len=4",
      ),
      ("--config.loss=l2", "config.loss='l2' is not known"),
      ("--config.model.activation=tan", "did you mean 'tanh'"),
      ("--config.model.core=grru", "did you mean 'gru'"),
      ("--config.model.recurrence=x", "choose from 'flax', 'fused'"),
      ("--config.model.hidden_sizes=(3,4.5)", "positive whole numbers"),
      ("--config.model.conv.pool=(30,1)", "pool=.*too large for frames"),
      ("--config.task.target=lgo", "did you mean 'log'"),
      ("--config.model.conv.features=(8,)", "kernels"),
      ("--config.model.conv.kernels=(30,3)", "too large for frames"),
      ("--config.optimizer.name=adma", "did you mean 'adam'"),
      ("--config.optimizer.learning_rate=0", "learning_rate=0.0"),
      ("--config.optimizer.learning_rate=-1", "must be a positive number"),
      ("--config.on_nonfinite=stpo", "did you mean 'stop'"),
      ("--config.data.name=mnits", "'mnist'"),
      ("--config=configs/none.py", "configs/none.py"),
      ("--conf.seed=3", "Unknown command line flag"),
    ],
    fast=4,
  ),
)
def test_a_wrong_flag_is_reported_in_one_line(run, tmp_path, flag, words):
  flags = [f"--workdir={tmp_path / 'run'}", "--config=configs/sum_tiny.py"]
  done = run(*flags, flag)
  assert done.returncode not in (0, None)
  assert "Traceback" not in done.stderr
  (line,) = done.stderr.strip().splitlines()
  assert re.search(words, line), line
  assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_a_batch_size_that_devices_do_not_divide_is_refused(run, tmp_path):
  done = run(
    *QUICK,
    f"--workdir={tmp_path}",
    "--config.batch_size=12",
    XLA_FLAGS="--xla_force_host_platform_device_count=8",
  )
  assert done.returncode != 0
  assert "config.batch_size=12" in done.stderr
  assert "8 device(s)" in done.stderr


@pytest.mark.slow
def test_eight_devices_start_like_one(finished, run, tmp_path):
  done = run(
    *QUICK,
    f"--workdir={tmp_path}",
    XLA_FLAGS="--xla_force_host_platform_device_count=8",
  )
  assert done.returncode == 0, done.stderr
  config = json.loads((tmp_path / "config.json").read_text())
  assert config["devices"]["count"] == 8
  pairs = zip(lines(tmp_path)[:3], lines(finished[0])[:3], strict=True)
  for ours, theirs in pairs:
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)


def test_a_missing_config_is_refused(run):
  done = run()
  assert done.returncode != 0
  assert "--config is missing" in done.stderr


def test_help_lists_flags_and_version_is_printed(run):
  done = run("--help")
  assert "--config=configs/sum.py" in done.stdout
  assert "--workdir" in done.stdout
  assert re.fullmatch(r"seqsum \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize(
  ("program", "flags", "words"),
  [
    ("main", ["--help"], "--config"),
    ("main", ["--version"], "seqsum 0."),
    (
      "main",
      ["--config=configs/sum_tiny.py", "--config.batchsize=3"],
      "unknown config field",
    ),
    ("study", ["--help"], "--study"),
    ("predict", ["--help"], "--workdir"),
    ("demo", ["--help"], "--port"),
    ("export", ["--help"], "--onnx"),
    ("importance", ["--help"], "--videos"),
  ],
)
def test_help_and_wrong_flags_do_not_import_jax(program, flags, words):
  done = subprocess.run(
    [sys.executable, "-X", "importtime", "-m", f"seqsum.{program}", *flags],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert words in done.stdout + done.stderr
  is_help = flags[0] in ("--help", "--version")
  assert done.returncode == (0 if is_help else 1)
  imported = set(re.findall(r"^import time:.*\| *(\S+)$", done.stderr, re.M))
  assert "absl.flags" in imported
  slow = {"jax", "flax", "optax", "orbax", "scipy", "sklearn", "matplotlib"}
  assert not slow & imported


@pytest.mark.mnist
def test_damaged_mnist_is_refused(run, tmp_path, mnist_dir):
  files = tmp_path / "files"
  shutil.copytree(mnist_dir, files)
  name = files / "t10k-labels-idx1-ubyte.gz"
  name.chmod(0o644)
  data = bytearray(name.read_bytes())
  data[100] ^= 1
  files.chmod(0o755)
  name.unlink()
  name.write_bytes(data)
  done = run(
    *QUICK,
    f"--workdir={tmp_path / 'run'}",
    "--config.data.name=mnist",
    f"--config.data.data_dir={tmp_path / 'tfds'}",
    f"--config.data.manual_dir={files}",
  )
  assert done.returncode != 0
  assert "t10k-labels-idx1-ubyte.gz" in done.stderr
  assert "Traceback" not in done.stderr
