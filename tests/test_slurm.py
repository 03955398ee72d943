"""launch/slurm.sbatch on a real Slurm: preemption, requeue, completion."""

import json
import pathlib
import shutil
import tempfile

import pytest
from slurm_cluster import ROOT, running, wait_for, why_not

pytestmark = [
  pytest.mark.slurm,
  pytest.mark.slow,
  pytest.mark.skipif(bool(why_not()), reason=why_not() or "it runs"),
]
SCRIPT = ROOT / "launch/slurm.sbatch"
CONFIG = "--config=configs/sum_tiny.py"
ONE_NODE = ("--nodes=1", "--gpus-per-node=0", "--cpus-per-task=1")
# A short sum_tiny: enough steps to be interrupted, and a short test.
STEPS, LOG_EVERY = 800, 50
SMALL = (
  "--config.epochs=1",
  f"--config.sequences_per_epoch={16 * STEPS}",
  "--config.eval_sequences=200",
  "--config.eval_batch_size=200",
)


@pytest.fixture(scope="module")
def cluster():
  # Not a folder of pytest's, which munge refuses.
  folder = tempfile.mkdtemp(prefix="slurm-")
  try:
    with running(pathlib.Path(folder)) as cluster:
      yield cluster
  finally:
    shutil.rmtree(folder, ignore_errors=True)


def read_lines(workdir: pathlib.Path) -> list[dict]:
  path = workdir / "metrics.jsonl"
  text = path.read_text() if path.exists() else ""
  return [json.loads(line) for line in text.splitlines()]


def submit_run(cluster, workdir: pathlib.Path, tasks: int = 1) -> str:
  """Submits a run and waits until it trains."""
  job = cluster.submit(
    *ONE_NODE,
    *(f"--ntasks-per-node={tasks}", "--partition=spot"),
    *(SCRIPT, CONFIG, f"--workdir={workdir}", *SMALL),
  )
  wait_for(lambda: len(read_lines(workdir)) > 1, 180, f"{workdir} has a line")
  assert cluster.show(job)["JobState"] == "RUNNING"
  return job


@pytest.mark.parametrize("tasks", [1, 2])
def test_preempted_run_resumes_and_finishes(cluster, tmp_path, tasks):
  workdir = tmp_path / "run"
  job = submit_run(cluster, workdir, tasks)
  urgent = cluster.submit("--partition=urgent", "--ntasks=2", "--wrap=sleep 1")
  cluster.wait(job, "PENDING", "COMPLETING")
  seen = len(read_lines(workdir))
  assert not (workdir / "summary.json").exists()
  cluster.wait(urgent, "COMPLETED")
  cluster.wait(job, "COMPLETED", "FAILED")
  log = cluster.log(job)
  assert cluster.show(job)["JobState"] == "COMPLETED", log
  assert cluster.show(job)["Restarts"] == "1"
  assert "stopped by SIGTERM" in log
  assert f"requeueing job {job}" in log
  assert "resuming from step" in log
  # metrics.jsonl has the lines of both parts, each step once.
  steps = [x["step"] for x in read_lines(workdir) if x["split"] == "train"]
  assert steps == list(range(LOG_EVERY, STEPS + 1, LOG_EVERY))
  assert 1 < seen < len(steps)
  assert (workdir / "summary.json").exists()


def test_run_requeued_by_slurm_is_requeued_once(cluster, tmp_path):
  workdir = tmp_path / "run"
  job = submit_run(cluster, workdir)
  cluster("scontrol", "requeue", job)  # like a preemption without a grace time
  cluster.wait(job, "COMPLETED", "FAILED")
  log = cluster.log(job)
  assert cluster.show(job)["JobState"] == "COMPLETED", log
  assert cluster.show(job)["Restarts"] == "1"
  assert "stopped by SIGTERM" in log
  assert "requeueing job" not in log


def test_cancelled_run_saves_and_stays_cancelled(cluster, tmp_path):
  workdir = tmp_path / "run"
  job = submit_run(cluster, workdir)
  cluster("scancel", job)
  cluster.wait(job, "CANCELLED")
  assert "stopped by SIGTERM" in cluster.log(job)
  assert cluster.show(job)["Restarts"] == "0"
  saved = [int(x.name) for x in (workdir / "checkpoints").iterdir()]
  assert max(saved) >= read_lines(workdir)[-1]["step"]


def test_array_runs_one_line_for_each_task(cluster, tmp_path):
  commands = tmp_path / "commands.txt"
  short = "--config.epochs=1 --config.sequences_per_epoch=320"
  commands.write_text(
    f"python -m seqsum.main {CONFIG} {short} --workdir='{tmp_path}/a b'\n"
    f"python -m seqsum.main {CONFIG} {short} --config.task.name=nonsense\n"
  )
  array = cluster.submit(
    *ONE_NODE,
    *("--ntasks-per-node=1", "--array=1-2", SCRIPT, "--commands", commands),
  )
  cluster.wait(f"{array}_1", "COMPLETED", "FAILED")
  cluster.wait(f"{array}_2", "COMPLETED", "FAILED")
  first, second = cluster.show(f"{array}_1"), cluster.show(f"{array}_2")
  assert first["JobState"] == "COMPLETED", cluster.log(array)
  assert (tmp_path / "a b/summary.json").exists()
  # An error is reported, not retried.
  assert (second["JobState"], second["ExitCode"]) == ("FAILED", "1:0")
  assert "config.task.name='nonsense' is not known" in cluster.log(array)
