"""Experiment trackers: they get metrics, images and the model.

MLflow, Trackio and W&B. Where a tracker stores runs, and under which account,
is set by its own environment variables: MLFLOW_TRACKING_URI,
MLFLOW_EXPERIMENT_NAME; TRACKIO_DIR, TRACKIO_SPACE_ID, TRACKIO_SERVER_URL;
WANDB_MODE, WANDB_PROJECT. The file tracker.json in the run's folder holds the
tracker's run id, so that a resumed run continues in the same tracker run.
"""

import contextlib
import importlib.util
import io
import os
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from absl import logging
from etils import epath
from PIL import Image

from seqsum.runs import run_files
from seqsum.runs.session import Session
from seqsum.runtime import files, object_storage, processes
from seqsum.runtime.errors import InputError

PROJECT = "seqsum"  # default project or experiment
# Variables of Trackio that send a run to another machine.
TRACKIO_SERVERS = ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL")


class MLflow:
  """A run in MLflow (https://mlflow.org), by default in the file mlflow.db."""

  def __init__(self, session: Session, run_id: str | None):
    import mlflow
    from mlflow.entities import Metric

    self._client = mlflow.MlflowClient()
    self._metric = Metric
    if run_id is None:
      name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
      experiment = self._client.get_experiment_by_name(name)
      run_id = self._client.create_run(
        experiment.experiment_id
        if experiment
        else self._client.create_experiment(name),
        run_name=session.workdir.name,
      ).info.run_id
      for key, value in files.flatten(session.config.to_dict()):
        self._client.log_param(run_id, key, value)
    else:
      self._client.update_run(run_id, status="RUNNING")
    self.id = run_id

  def scalars(self, values: Mapping[str, float], step: int) -> None:
    now = int(1000 * time.time())
    metrics = [self._metric(k, v, now, step) for k, v in values.items()]
    self._client.log_batch(self.id, metrics)

  def images(self, pngs: Mapping[str, bytes], step: int) -> None:
    for name, png in pngs.items():
      image = Image.open(io.BytesIO(png))
      self._client.log_image(self.id, image, artifact_file=f"{name}.png")

  def model(self, checkpoint: epath.Path, summary: Mapping) -> None:
    with files.local_copy(checkpoint) as path:
      self._client.log_artifacts(self.id, path, "model")
    self._client.log_dict(self.id, dict(summary), "summary.json")

  def close(self, finished: bool) -> None:
    self._client.set_terminated(self.id, "FINISHED" if finished else "KILLED")


class Trackio:
  """A run in Trackio (https://github.com/gradio-app/trackio).

  By default it is in SQLite files of $TRACKIO_DIR on this machine, and nothing
  is sent: with a saved token Trackio would ask huggingface.co for the user's
  name, so huggingface_hub is switched offline, unless the variables of Trackio
  name a Space or a server. Trackio finds a run to resume by its name, so the
  name gets a suffix that no other run has.
  """

  def __init__(self, session: Session, run_id: str | None):
    if not any(map(os.environ.get, TRACKIO_SERVERS)):
      os.environ["HF_HUB_OFFLINE"] = "1"  # read by the import
    import trackio

    self._image, self._artifact = trackio.Image, trackio.Artifact
    self._finish = trackio.finish
    name = run_id or f"{session.workdir.name}-{uuid.uuid4().hex[:6]}"
    with contextlib.redirect_stdout(io.StringIO()):
      self._run = trackio.init(
        project=os.environ.get("TRACKIO_PROJECT", PROJECT),
        name=name,
        resume="allow",
        config=dict(files.flatten(session.config.to_dict())),
        embed=False,
        auto_log_cpu=False,
        auto_log_gpu=False,
      )
    self.id = name

  def scalars(self, values: Mapping[str, float], step: int) -> None:
    self._run.log(dict(values), step=step)

  def images(self, pngs: Mapping[str, bytes], step: int) -> None:
    self._run.log(_open_all(pngs, self._image), step=step)

  def model(self, checkpoint: epath.Path, summary: Mapping) -> None:
    name = re.sub(r"[^A-Za-z0-9._-]", "-", self.id)
    artifact = self._artifact(f"model-{name}", "model", metadata=dict(summary))
    with files.local_copy(checkpoint) as path:
      artifact.add_dir(path)
      self._run.log_artifact(artifact)

  def close(self, finished: bool) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
      self._finish()  # that of the module, or it is repeated at exit


class WandB:
  """A run in Weights & Biases (https://wandb.ai)."""

  def __init__(self, session: Session, run_id: str | None):
    import wandb

    self._image, self._artifact = wandb.Image, wandb.Artifact
    workdir = session.workdir  # W&B writes to local folders only
    self._run = wandb.init(
      project=os.environ.get("WANDB_PROJECT", PROJECT),
      name=workdir.name,
      id=run_id,
      resume="allow",
      dir=None if object_storage.is_remote(workdir) else os.fspath(workdir),
      config=session.config.to_dict(),
      settings=wandb.Settings(console="off", silent=True),
    )
    self.id = self._run.id

  def scalars(self, values: Mapping[str, float], step: int) -> None:
    self._run.log(dict(values), step=step)

  def images(self, pngs: Mapping[str, bytes], step: int) -> None:
    self._run.log(_open_all(pngs, self._image), step=step)

  def model(self, checkpoint: epath.Path, summary: Mapping) -> None:
    artifact = self._artifact(f"model-{self.id}", "model")
    with files.local_copy(checkpoint) as path:
      artifact.add_dir(path)  # copies it
    self._run.log_artifact(artifact)
    self._run.summary.update(dict(summary))

  def close(self, finished: bool) -> None:
    self._run.finish(exit_code=0 if finished else 1)


def _open_all(
  pngs: Mapping[str, bytes], image: Callable[[Image.Image], Any]
) -> dict[str, Any]:
  """Pictures in the tracker's class of images."""
  return {
    name: image(Image.open(io.BytesIO(png))) for name, png in pngs.items()
  }


TRACKERS: dict[str, Any] = {
  "mlflow": MLflow,
  "trackio": Trackio,
  "wandb": WandB,
}


class Tracker:
  """A tracker whose failures are warnings once training has started.

  Args:
    name: One of `TRACKERS`.
    session: The run.

  Raises:
    InputError: The tracker cannot be reached at the start.
  """

  def __init__(self, name: str, session: Session):
    self._name, self._finished = name, False
    path = session.workdir / "tracker.json"
    ids = run_files.read_json(path) or {}
    try:
      self._tracker = TRACKERS[name](session, ids.get(name))
    except Exception as error:  # anything that a network or a server raises
      message = " ".join(str(error).split()) or type(error).__name__
      raise InputError(f"--tracker={name}: {message}") from error
    files.write_json(path, ids | {name: self._tracker.id})

  @contextlib.contextmanager
  def _errors_as_warnings(self) -> Iterator[None]:
    try:
      yield
    except Exception as error:  # training must not end for a tracker
      message = " ".join(str(error).split())
      logging.warning("--tracker=%s failed: %s", self._name, message)

  def scalars(self, values: Mapping[str, float], step: int) -> None:
    with self._errors_as_warnings():
      self._tracker.scalars(values, step)

  def images(self, pngs: Mapping[str, bytes], step: int) -> None:
    with self._errors_as_warnings():
      self._tracker.images(pngs, step)

  def model(self, checkpoint: epath.Path, summary: Mapping) -> None:
    with self._errors_as_warnings():
      self._tracker.model(checkpoint, summary)
    self._finished = True

  def close(self) -> None:
    with self._errors_as_warnings():
      self._tracker.close(self._finished)


def build_tracker(name: str | None, session: Session) -> Tracker | None:
  """The tracker of a name; None without a name, or if not the lead process."""
  if name is None or not processes.is_lead():
    return None
  return Tracker(name, session)


def check_installed(name: str | None) -> None:
  """Raises `InputError` if a tracker's package is not installed."""
  if name and not importlib.util.find_spec(name):
    raise InputError(
      f"--tracker={name} is not installed: pip install -e '.[{name}]'"
    )
