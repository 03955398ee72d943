"""Trackers: MLflow and Trackio on SQLite, W&B without a network."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from short_runs import QUICK, ROOT, lines, summary


@pytest.mark.slow
def test_mlflow_gets_the_run(run, tmp_path):
  mlflow = pytest.importorskip("mlflow", reason="pip install -e '.[mlflow]'")
  uri = f"sqlite:///{tmp_path}/mlflow.db"
  variables = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_EXPERIMENT_NAME": "digits"}
  workdir = tmp_path / "run"
  first, *rest = QUICK
  config = first.replace("configs/", f"{ROOT}/configs/")
  flags = (config, *rest, f"--workdir={workdir}", "--tracker=mlflow")

  done = run(*flags, cwd=tmp_path, PYTHONPATH=str(ROOT), **variables)
  assert done.returncode == 0, done.stderr
  assert "--tracker" not in done.stderr
  client = mlflow.MlflowClient(uri)
  (experiment,) = client.search_experiments(filter_string="name = 'digits'")
  (found,) = client.search_runs([experiment.experiment_id])
  assert found.info.run_name == "run"
  assert found.info.status == "FINISHED"
  assert found.data.params["batch_size"] == "8"
  assert found.data.params["model.conv.features"] == "(16, 32)"
  written = [x["loss"] for x in lines(workdir) if x["split"] == "train"]
  history = client.get_metric_history(found.info.run_id, "train/loss")
  assert [x.value for x in history] == written
  assert [x.step for x in history] == list(range(4, 41, 4))
  assert found.data.metrics["test/mse"] == summary(workdir)["test"]["mse"]
  names = {x.path for x in client.list_artifacts(found.info.run_id)}
  assert {"learning.png", "sequences.png", "summary.json", "model"} <= names
  where = client.download_artifacts(found.info.run_id, "model", str(tmp_path))
  assert list((tmp_path / "model").rglob("*")), where


@pytest.mark.slow
def test_wandb_gets_the_run(run, tmp_path):
  pytest.importorskip("wandb", reason="pip install -e '.[wandb]'")
  workdir = tmp_path / "run"
  done = run(
    *QUICK, f"--workdir={workdir}", "--tracker=wandb", WANDB_MODE="offline"
  )
  assert done.returncode == 0, done.stderr
  assert "--tracker" not in done.stderr
  (folder,) = (workdir / "wandb").glob("offline-run-*")
  (log,) = folder.glob("*.wandb")
  content = log.read_bytes()
  run_id = json.loads((workdir / "tracker.json").read_text())["wandb"]
  assert run_id in log.name
  for name in (b"train/loss", b"validation/mse", b"test/mse", b"batch_size"):
    assert name in content
  assert len(list(folder.glob("files/media/images/*.png"))) == 6


LISTENED = """
import os, runpy, sys
def hook(event, args):
  if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
    print("DIALS", args[1:], file=sys.stderr)
sys.addaudithook(hook)
runpy.run_module("seqsum.main", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_trackio_gets_the_run_and_dials_nobody(environment, tmp_path):
  pytest.importorskip("trackio", reason="pip install -e '.[trackio]'")
  workdir, folder = tmp_path / "run", tmp_path / "trackio"
  # With a token, Trackio asks the hub for the user's name, unless offline.
  variables = {"TRACKIO_DIR": str(folder), "TRACKIO_PROJECT": "digits"}
  variables |= {
    "HF_TOKEN": "hf_not_a_token",
    "HF_ENDPOINT": "http://127.0.0.1:9",
  }
  flags = *QUICK, f"--workdir={workdir}", "--tracker=trackio"

  def train(*more):
    done = subprocess.run(
      [sys.executable, "-c", LISTENED, *flags, *more],
      cwd=ROOT,
      env=environment | variables,
      capture_output=True,
      text=True,
      timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert "--tracker" not in done.stderr
    assert "DIALS" not in done.stderr
    assert "Trackio" not in done.stdout
    return ask()

  def ask():  # in another process: Trackio reads its variables once
    program = """
import json, trackio
(run,) = trackio.Api().runs("digits")
from trackio.sqlite_storage import SQLiteStorage
logs = SQLiteStorage.get_logs("digits", run.name, run_id=run.id)
print(json.dumps([run.name, run.config, logs], default=str))
"""
    done = subprocess.run(
      [sys.executable, "-c", program],
      env=environment | variables,
      capture_output=True,
      text=True,
      check=True,
    )
    return json.loads(done.stdout)

  name, config, logs = train()
  assert name == json.loads((workdir / "tracker.json").read_text())["trackio"]
  assert re.fullmatch("run-[0-9a-f]{6}", name)
  assert config["batch_size"] == 8
  assert config["model.conv.features"] == [16, 32]
  assert config["_Username"] is None
  written = [x["loss"] for x in lines(workdir) if x["split"] == "train"]
  found = [(x["step"], x["train/loss"]) for x in logs if "train/loss" in x]
  assert found == list(zip(range(4, 41, 4), written, strict=True))
  (mse,) = (x["test/mse"] for x in logs if "test/mse" in x)
  assert mse == summary(workdir)["test"]["mse"]
  images = {k for x in logs for k, v in x.items() if type(v) is dict}
  assert {"learning", "sequences"} <= images
  assert len(list(folder.rglob("*.png"))) >= len(images)
  artifacts = [x for x in (folder / "artifacts").rglob("*") if x.is_file()]
  assert len(artifacts) > 10  # of the checkpoint

  (workdir / "summary.json").unlink()  # the run tests its model again
  again, _, logs = train()
  assert again == name
  assert len([x for x in logs if "test/mse" in x]) == 2


class Broken:
  """A tracker whose server fails after the start."""

  id = "some"

  def __init__(self, session, run_id):
    pass

  def scalars(self, values, step):
    raise ConnectionError("the server\ndoes not answer")

  images = model = scalars

  def close(self, finished):
    raise ConnectionError("still")


def test_a_failing_tracker_does_not_end_a_run(tmp_path, monkeypatch, caplog):
  from types import SimpleNamespace

  from etils import epath

  from seqsum.runs import trackers
  from seqsum.runs.writer import MetricsWriter

  monkeypatch.setitem(trackers.TRACKERS, "broken", Broken)
  folder = epath.Path(tmp_path)
  tracker = trackers.build_tracker("broken", SimpleNamespace(workdir=folder))
  with MetricsWriter(folder, 0, tracker) as writer:
    writer.write({"step": 1, "split": "train", "loss": np.e})
    writer.model(folder, {})
  assert lines(tmp_path) == [{"step": 1, "split": "train", "loss": np.e}]
  assert "--tracker=broken failed: the server does not answer" in caplog.text


@pytest.mark.parametrize(
  ("flag", "words"),
  [("--tracker=tensorbored", "tracker"), ("--tracker=", "tracker")],
)
def test_an_unknown_tracker_is_refused(run, tmp_path, flag, words):
  done = run(*QUICK, f"--workdir={tmp_path / 'run'}", flag)
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  assert re.search(words, line), line
  assert not (tmp_path / "run").exists()
