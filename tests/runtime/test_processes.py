"""A run of two processes with four devices each, on loopback."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from moving import dots, travelled
from short_runs import QUICK, ROOT, first, lines, state, summary

from seqsum.runtime.launchers import is_launched

FOUR = "--xla_force_host_platform_device_count=4"


@pytest.fixture
def start(environment):
  """Starts the two processes of a run, and ends them after the test."""
  started = []

  def start(*flags):
    with socket.socket() as free:
      free.bind(("127.0.0.1", 0))
      address = f"127.0.0.1:{free.getsockname()[1]}"
    pair = [
      subprocess.Popen(
        [
          sys.executable,
          "-m",
          "seqsum.main",
          *flags,
          f"--coordinator_address={address}",
          f"--coordinator_bind_address={address}",
          "--num_processes=2",
          f"--process_id={i}",
        ],
        cwd=ROOT,
        env=environment | {"XLA_FLAGS": FOUR},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
      )
      for i in range(2)
    ]
    started.extend(pair)
    return pair

  yield start
  for process in started:
    process.kill()
    process.communicate()


def ends(pair, timeout=300):
  """Waits for both; returns [(exit code, stdout, stderr)]."""
  said = [process.communicate(timeout=timeout) for process in pair]
  return [(p.returncode, *s) for p, s in zip(pair, said, strict=True)]


def wait_for_step(workdir, step, process, seconds=200):
  path = workdir / "metrics.jsonl"
  for _ in range(10 * seconds):
    assert process.poll() is None, process.communicate()
    if path.exists() and any(x["step"] >= step for x in lines(workdir)):
      return
    time.sleep(0.1)
  raise TimeoutError(f"step {step} was not reached")


@pytest.mark.parametrize(
  ("environ", "several"),
  [
    ({}, False),
    ({"SLURM_NTASKS": "2"}, False),  # the batch script, not srun
    ({"SLURM_STEP_NUM_TASKS": "1"}, False),
    ({"SLURM_STEP_NUM_TASKS": "2"}, True),
    ({"OMPI_COMM_WORLD_SIZE": "4"}, True),
    ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
    ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
  ],
)
def test_launchers_are_detected(environ, several):
  assert is_launched(environ) == several


@pytest.mark.slow
def test_two_processes_train_as_one_does(start, finished, tmp_path):
  (code, out, err), (other_code, other_out, _) = ends(
    start(*QUICK, f"--workdir={tmp_path}")
  )
  assert code == 0, err
  assert other_code == 0
  assert "test mse" in out
  # Gloo prints from two threads, which can break each other's lines.
  gloo = re.compile(r"\[Gloo\]|.*peer ranks|[\d\W]*$")
  ours = [x for x in other_out.splitlines() if not gloo.match(x)]
  assert not ours  # only the lead prints
  config = json.loads((tmp_path / "config.json").read_text())
  assert config["devices"]["count"] == 8
  assert config["devices"]["processes"] == 2
  ours, theirs = lines(tmp_path), lines(finished[0])
  assert [(x["step"], x["split"]) for x in ours] == [
    (x["step"], x["split"]) for x in theirs
  ]
  for a, b in list(zip(ours, theirs, strict=True))[:3]:
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-5)
  assert summary(tmp_path)["test"]["mse"] == pytest.approx(
    summary(finished[0])["test"]["mse"], rel=0.05
  )
  assert (tmp_path / "report" / "index.html").exists()


@pytest.mark.slow
def test_two_processes_read_the_same_sequences(start, run, tmp_path):
  frames, lengths, speeds = dots(24)
  data = tmp_path / "dots.npz"
  np.savez(data, frames=frames, lengths=lengths, targets=travelled(speeds))
  flags = (
    *QUICK,
    "--config.data.kind=files",
    f"--config.data.name=npz:{data}",
    "--config.sequence.shift=0",
    "--config.model.conv.strides=(1,1)",
    "--config.model.hidden_sizes=(8,)",
  )
  (code, _, err), (other_code, *_) = ends(
    start(*flags, f"--workdir={tmp_path / 'two'}")
  )
  assert (code, other_code) == (0, 0), err
  done = run(*flags, f"--workdir={tmp_path / 'one'}")
  assert done.returncode == 0, done.stderr
  pairs = zip(lines(tmp_path / "two"), lines(tmp_path / "one"), strict=True)
  for ours, theirs in list(pairs)[:3]:
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)


@pytest.mark.slow
def test_sigterm_stops_both_and_one_process_resumes(start, run, tmp_path):
  """Only one of them gets the signal; both save the same step."""
  flags = [*QUICK, "--config.epochs=200", f"--workdir={tmp_path}"]
  pair = start(*flags)
  wait_for_step(tmp_path, 8, pair[0])
  pair[1].send_signal(signal.SIGTERM)
  begin = time.monotonic()
  (code, out, err), (other_code, *_) = ends(pair)
  assert (code, other_code) == (143, 143), err
  assert time.monotonic() - begin < 10
  assert "stopped by SIGTERM" in out
  step, _ = state(tmp_path)
  assert step >= 8

  alone = subprocess.Popen(
    [sys.executable, "-m", "seqsum.main", *flags],
    cwd=ROOT,
    env={k: v for k, v in os.environ.items() if k != "XLA_FLAGS"},
    stdout=subprocess.PIPE,
    text=True,
  )
  wait_for_step(tmp_path, step + 8, alone)
  alone.send_signal(signal.SIGTERM)
  out, _ = alone.communicate()
  assert alone.returncode == 143
  assert f"resuming from step {step:,}" in out
  steps = [x["step"] for x in lines(tmp_path) if x["split"] == "train"]
  assert len(steps) == len(set(steps))


@pytest.mark.slow
def test_two_processes_resume_the_run_of_one_device(start, run, tmp_path):
  done = run(*QUICK, f"--workdir={tmp_path / 'one'}")
  assert done.returncode == 0, done.stderr
  # As if the run had been killed after its first epoch.
  flags = [*QUICK, f"--workdir={tmp_path / 'one'}"]
  shutil.rmtree(tmp_path / "one" / "checkpoints" / "40")
  (tmp_path / "one" / "summary.json").unlink()
  (code, out, err), (other_code, *_) = ends(start(*flags))
  assert (code, other_code) == (0, 0), err
  assert "resuming from step" in out
  assert summary(tmp_path / "one")["best_step"] in (20, 40)


@pytest.mark.slow
def test_when_one_process_is_killed_the_other_ends_and_both_resume(
  start, tmp_path
):
  flags = [*QUICK, "--config.epochs=40", f"--workdir={tmp_path}"]
  pair = start(*flags)
  wait_for_step(tmp_path, 8, pair[0])
  pair[1].kill()
  begin = time.monotonic()
  _, err = pair[0].communicate(timeout=150)
  assert time.monotonic() - begin < 120
  assert pair[0].returncode not in (0, 143)
  # Our error, or JAX's if its heartbeat was first.
  assert re.search("another (process of this run is lost|task died)", err)

  again = start(*flags)
  wait_for_step(tmp_path, 60, again[0])
  again[0].send_signal(signal.SIGTERM)
  (code, out, err), _ = ends(again)
  assert code == 143, err
  assert "resuming from step" in out


@pytest.mark.parametrize(
  ("flags", "words"),
  first(
    [
      (["--num_processes=2"], "give all three, or none"),
      (["--distributed", "--process_id=1"], "give all three, or none"),
      (
        ["--num_processes=2", "--process_id=2", "--coordinator_address=x:1"],
        "--process_id=2: must be at least 0 and below --num_processes=2",
      ),
      (
        ["--num_processes=0", "--process_id=0", "--coordinator_address=x:1"],
        "--process_id=0: must be at least 0 and below --num_processes=0",
      ),
      (["--distributed"], "--distributed: "),  # no other process
    ],
  ),
)
def test_invalid_process_flags_are_one_line(run, flags, words):
  done = run("--config=configs/sum_tiny.py", *flags)
  assert done.returncode not in (0, None)
  (line,) = done.stderr.strip().splitlines()
  assert words in line
