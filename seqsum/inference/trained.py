"""A trained model, without its training: load it, predict with it.

model = seqsum.load("runs/sum")
_, frames = model.read_files(["3.png", "4.jpg"])
model.predict(frames)  # [3.02, 7.11]
"""

import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from seqsum.data import image_files
from seqsum.inference import hub, model_input, photos, weights
from seqsum.models.whole_sequence import WholeCore
from seqsum.runs import run_files
from seqsum.runs.restore import restore_best
from seqsum.runs.session import open_trained
from seqsum.runtime.errors import InputError
from seqsum.sequences.addition import COLUMN_TASKS
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.state import Experiment

# The default network; README.md in its folder documents it.
PRETRAINED = epath.Path(__file__).parent.parent / "pretrained"


class Prediction(NamedTuple):
  """Predictions for sequences [..., T, H, W, C] after each frame.

  Attributes:
    predictions: [..., T] float32 in digit units, or [..., T, D] for vectors.
    probabilities: [..., T, V] float32, one for each of `values`; None for a
      regression.
    values: [V] float32, ascending; V is 0 without probabilities.
  """

  predictions: np.ndarray
  probabilities: np.ndarray | None
  values: np.ndarray


@dataclasses.dataclass(frozen=True)
class TrainedModel:
  """A model with its parameters.

  Attributes:
    name: Name of the run.
    step: The training step of the parameters.
    experiment: The training configuration.
    params: The model's variables.
    shape: (H, W, C) of a frame.
  """

  name: str
  step: int
  experiment: Experiment
  params: dict
  shape: tuple[int, int, int]

  @property
  def task(self) -> str:
    """The task's name, "sum"."""
    return self.experiment.sampler.task.name

  @property
  def max_len(self) -> int:
    """The largest sequence length in training."""
    return self.experiment.sampler.max_len

  @property
  def takes_digits(self) -> bool:
    """Whether each frame is one digit in MNIST's format."""
    return self.experiment.sampler.kind == "digits"

  @property
  def takes_floats(self) -> bool:
    """Whether frames are floats of any range, as in training, not uint8."""
    sampler = self.experiment.sampler
    return sampler.kind == "files" and sampler.task.floats

  @property
  def has_integer_targets(self) -> bool:
    """Whether all training targets are whole numbers."""
    sampler, task = self.experiment.sampler, self.experiment.sampler.task
    if sampler.kind == "videos" and task.with_importance:
      return False  # the second part of a target is an importance
    return task.tolerance == ROUNDING

  @property
  def values(self) -> np.ndarray:
    """[V] `Prediction.values`; empty where they depend on the length."""
    objective = self.experiment.objective
    return objective.support(0) if objective.fold is None else np.zeros(0)

  def predict(self, frames: np.ndarray) -> np.ndarray:
    """Predicts the running value after each frame.

    Args:
      frames: [..., T, H, W, C] or, with one channel, [..., T, H, W]: uint8
        0..255 or floating 0..1, white ink on black as in MNIST. A model that
        `takes_floats` expects floats in the units of its training data.

    Returns:
      [..., T] float32 in digit units, or [..., T, D]; the last is the answer.

    Raises:
      InputError: Frames of another shape or dtype, or out of range.
    """
    return self.predict_distribution(frames).predictions

  def predict_distribution(self, frames: np.ndarray) -> Prediction:
    """`predict`, with the probability of each value."""
    frames = model_input.check(
      np.asarray(frames), self.shape, self.takes_floats
    )
    *batch, time = frames.shape[: -len(self.shape)]
    frames = frames.reshape(-1, time, *self.shape)
    # Predictions do not depend on the padding, so padding to a power of two
    # bounds the number of compiled programs. The size of a sum's predictions
    # depends on the number of columns, and the importance of a frame on others.
    blank = (1 << (time - 1).bit_length()) - time
    is_video = self.experiment.sampler.kind == "videos"
    blank = 0 if self.task in COLUMN_TASKS or is_video else blank
    frames = np.pad(frames, [(0, 0), (0, blank)] + [(0, 0)] * 3)
    lengths = np.full(len(frames), time, np.int32)
    padded = jax.device_get(self._predict(self.params, frames, lengths))
    predictions, probabilities = jax.tree.map(
      lambda x: x[:, :time].reshape(*batch, time, *x.shape[2:]), padded
    )
    values = self.experiment.objective.support(time + blank)
    return Prediction(predictions, probabilities, values)

  def read_files(
    self, paths: Iterable[str | os.PathLike]
  ) -> tuple[list[str], np.ndarray]:
    """Reads images, folders, globs and videos as frames for this model.

    Digits are normalized like MNIST (`normalize.py`). Other frames are resized
    and converted by the rule of the training data (`SequenceSpec.pictures`).

    Args:
      paths: Together one sequence.

    Returns:
      A name for each frame; [T, H, W, C] uint8.

    Raises:
      InputError: A file cannot be read, or the model's frames are not pictures.
    """
    if self.takes_digits:
      files = image_files.find(paths)
      return files, photos.read_images(files)
    if self.takes_floats or self.shape[-1] not in (1, 3):
      kind = "float32" if self.takes_floats else "uint8"
      raise InputError(
        f"{self.name} was trained on {kind} frames of shape {self.shape}, "
        "which no image has; in Python: seqsum.load(workdir).predict(frames)"
      )
    rule = self.experiment.sampler.task.pictures
    return model_input.read_pictures(paths, self.shape, rule)

  @functools.cached_property
  def _predict(self):
    """Compiled (params, frames, lengths) -> predictions, probabilities."""
    apply: Callable[..., Any] = self.experiment.model.apply
    decode = self.experiment.objective.decode
    predict = lambda p, frames, n: decode(apply(p, frames, None, n))
    if self.experiment.per_step or not isinstance(
      self.experiment.model.core, WholeCore
    ):
      return jax.jit(predict)

    # Only the last output was trained, and earlier ones see later frames: the
    # value after t frames is the last one of the first t.
    def predict_parts(params, frames, lengths):
      def after(step):
        parts = predict(params, frames, jnp.minimum(lengths, step + 1))
        return jax.tree.map(lambda x: x[:, step], parts)

      values = jax.lax.map(after, jnp.arange(frames.shape[1]))
      return jax.tree.map(lambda x: x.swapaxes(0, 1), values)

    return jax.jit(predict_parts)


def load(workdir: epath.PathLike | None = None) -> TrainedModel:
  """Loads the best model of a run, finished or not.

  Args:
    workdir: The run's folder, or one that `seqsum.export --weights` wrote, or
      hf://USER/NAME or hf://USER/NAME@REVISION, a repository on the Hugging
      Face Hub that `seqsum.push` wrote. By default the network that comes with
      seqsum, which predicts sums of MNIST digits; a line on stderr names it.

  Raises:
    InputError: The folder has no run, or the run has no checkpoint; or the
      repository cannot be read.
  """
  if workdir is None:
    workdir = PRETRAINED
    print(f"seqsum: {_describe(PRETRAINED)}", file=sys.stderr)
  if hub.is_url(workdir):
    folder, name = hub.download(str(workdir))
    try:
      return dataclasses.replace(load(folder), name=name)
    except InputError as error:
      raise InputError(f"{workdir}: {error}") from error
  session = open_trained(workdir)
  if weights.find(session.workdir):
    state, _ = session.abstract_state()
    step, params = weights.read(session.workdir, state.evaluated)
    params = session.put(params)
  else:
    with session.checkpoints() as checkpoints:
      step, state = restore_best(session, checkpoints)
    params = state.evaluated
  return TrainedModel(
    name=session.workdir.name,
    step=step,
    experiment=session.experiment,
    params=params,
    shape=session.experiment.sampler.shape,
  )


def _describe(workdir: epath.Path) -> str:
  """Describes the default network in one line."""
  path = workdir / "summary.json"
  summary = run_files.parse(path, path.read_text(), run_files.SUMMARY)
  exact = summary["test"]["exact_accuracy"]
  return (
    f"no --workdir: using the network that comes with seqsum ({workdir.name}, "
    f"trained on {summary['dataset']}, {exact:.1%} of the test sums exact)"
  )
