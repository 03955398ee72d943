"""A trained model, for programs and notebooks that only read with it.

model = seqsum.load("runs/sum")
_, frames = model.read_files(["3.png", "4.jpg"])
model.predict(frames)  # [3.02, 7.11]
"""

import dataclasses
import functools
import os
import sys
from collections.abc import Iterable
from typing import NamedTuple

import jax
import numpy as np
from etils import epath

from seqsum.data import image_files, video_files
from seqsum.inference import photos, weights
from seqsum.runs import run_files
from seqsum.runs.restore import restore_best
from seqsum.runs.session import open_trained
from seqsum.runtime.errors import InputError
from seqsum.sequences.pixel_rule import PixelRule
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.state import Experiment

# The network that is used where no run is named; README.md in it has its data.
PRETRAINED = epath.Path(__file__).parent.parent / "pretrained"

# Probabilities of a single digit below which it is warned of: always, and where
# the digit is read with more than SURE after a quarter turn.
UNSURE, UNSURE_UPRIGHT, SURE = 0.8, 0.95, 0.999


class Reading(NamedTuple):
  """What a model says of sequences [..., T, H, W, C], after each frame.

  Attributes:
    predictions: [..., T] float32 in digit units; of a model that says vectors
      [..., T, D].
    probabilities: [..., T, V] float32 of each of `values`; None of a model that
      says one number.
    values: [V] float32, ascending; V is 0 if there are no probabilities.
  """

  predictions: np.ndarray
  probabilities: np.ndarray | None
  values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Trained:
  """A model with its parameters.

  Attributes:
    name: The run's.
    step: The training step that the parameters are of.
    experiment: What was trained.
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
    """What the fold is called, "sum"."""
    return self.experiment.sampler.task.name

  @property
  def longest(self) -> int:
    """Frames in the longest sequences that it was trained on."""
    return self.experiment.sampler.max_len

  @property
  def reads_digits(self) -> bool:
    """Whether each frame is one digit, drawn as MNIST has them."""
    return self.experiment.sampler.kind == "digits"

  @property
  def floats(self) -> bool:
    """Whether it was trained on floats of any range, and not on uint8."""
    sampler = self.experiment.sampler
    return sampler.kind == "files" and sampler.task.floats

  @property
  def says_whole(self) -> bool:
    """Whether the targets that it was trained on are whole numbers."""
    sampler, task = self.experiment.sampler, self.experiment.sampler.task
    if sampler.kind == "videos" and task.with_importance:
      return False  # of two parts the second is none
    return task.tolerance == ROUNDING

  @property
  def values(self) -> np.ndarray:
    """[V] `Reading.values`, if they do not depend on the length; V may be 0.

    Of a fold that is given they do.
    """
    objective = self.experiment.objective
    return objective.support(0) if objective.fold is None else np.zeros(0)

  def predict(self, frames: np.ndarray) -> np.ndarray:
    """The running value after each frame; `read` says more.

    Args:
      frames: [..., T, H, W, C] or, of one channel, [..., T, H, W]: uint8 0..255
        or floating 0..1, ink is high, as MNIST has it. If it was trained on
        `floats`, floats in the same units.

    Returns:
      [..., T] float32 in digit units, or [..., T, D]; the last is the answer.

    Raises:
      InputError: Frames of another shape or kind.
    """
    return self.read(frames).predictions

  def read(self, frames: np.ndarray) -> Reading:
    """All that the model says; arguments as for `predict`."""
    frames = self._check(np.asarray(frames))
    *batch, time = frames.shape[: -len(self.shape)]
    frames = frames.reshape(-1, time, *self.shape)
    # What follows a frame cannot reach it: few lengths need be compiled.
    blank = (1 << (time - 1).bit_length()) - time
    frames = np.pad(frames, [(0, 0), (0, blank)] + [(0, 0)] * 3)
    said = jax.device_get(self._read(self.params, frames))
    predictions, probabilities = jax.tree.map(
      lambda x: x[:, :time].reshape(*batch, time, *x.shape[2:]), said
    )
    values = self.experiment.objective.support(time + blank)
    return Reading(predictions, probabilities, values)

  def read_files(
    self, paths: Iterable[str | os.PathLike]
  ) -> tuple[list[str], np.ndarray]:
    """Frames as it was trained on, of images, folders, globs and videos.

    A digit is brought to MNIST's form (`normalize.py`). Other frames are
    brought to the size and the channels of a frame by the rule that made frames
    of the training data (`Recorded.pictures`).

    Args:
      paths: All of them are one sequence.

    Returns:
      What to call each frame; [T, H, W, C] uint8.

    Raises:
      InputError: A file cannot be read, or no file makes such frames.
    """
    if self.reads_digits:
      files = image_files.find(paths)
      return files, photos.read_images(files)
    if self.floats or self.shape[-1] not in (1, 3):
      kind = "floats" if self.floats else "uint8"
      raise InputError(
        f"{self.name} was trained on frames of {self.shape} {kind}, which no "
        "picture or video has: in Python, seqsum.load(workdir).predict(frames)"
      )
    # The rule of the training data; NumPy's files have none.
    rule = self.experiment.sampler.task.pictures or PixelRule()
    names, frames = [], []
    for path in paths:
      # A folder as a whole; of a glob each.
      for file in [path] if os.path.isdir(path) else image_files.find([path]):
        frames.append(video_files.read(file, self.shape, rule))
        names += video_files.names(file, len(frames[-1]))
    if not frames:
      raise InputError("no frames: name images, a folder or a video")
    return names, np.concatenate(frames)

  def doubts(self, names: list[str], frames: np.ndarray) -> list[str]:
    """A line for each image that the model is not sure of, read by itself.

    Images are also read after a quarter turn to the left and to the right: a
    digit on its side is often taken for another one. A model that gives no
    probabilities of single digits is never unsure.

    Args:
      names: T names.
      frames: [T, 28, 28, 1] uint8.
    """
    if not self.reads_digits or self.experiment.sampler.min_len > 1:
      return []
    turned = np.stack([np.rot90(frames, k, (1, 2)) for k in (0, 1, 3)], axis=1)
    reading = self.read(turned.reshape(-1, 1, *frames.shape[1:]))
    if reading.probabilities is None:
      return []
    shares = reading.probabilities.reshape(len(names), 3, -1)
    values = reading.values[shares.argmax(axis=-1)]
    shares = shares.max(axis=-1)
    said = []
    for name, share, value in zip(names, shares, values, strict=True):
      turn = share[1:].argmax() + 1
      line = (
        f"{name}: read as {value[0]:g} with a probability of {share[0]:.0%}"
      )
      if (
        share[0] < UNSURE_UPRIGHT
        and share[turn] > SURE
        and (value[turn] != value[0])
      ):
        said.append(
          f"{line}; turned by a quarter as {value[turn]:g} with "
          f"{share[turn]:.1%}: does it lie on its side?"
        )
      elif share[0] < UNSURE:
        said.append(f"{line} only: check that it shows one upright digit")
    return said

  @functools.cached_property
  def _read(self):
    model, objective = self.experiment.model, self.experiment.objective
    return jax.jit(
      lambda params, frames: objective.decode(model.apply(params, frames))
    )

  def _check(self, frames: np.ndarray) -> np.ndarray:
    if self.shape[-1] == 1 and frames.shape[-2:] == self.shape[:2]:
      frames = frames[..., None]
    if frames.ndim < 4 or frames.shape[-3:] != self.shape or 0 in frames.shape:
      remedy = ""
      if frames.shape == self.shape:
        remedy = ": frames[None] is a sequence of one"
      elif frames.shape[-3:] == (self.shape[2], *self.shape[:2]):
        remedy = ", channels last: np.moveaxis(frames, -3, -1)"
      raise InputError(
        f"frames of shape {frames.shape}: give [..., T, "
        f"{', '.join(map(str, self.shape))}] with T of at least 1{remedy}"
      )
    if self.floats:
      return self._check_floats(frames)
    if frames.dtype == np.uint8:
      return frames
    if not np.issubdtype(frames.dtype, np.floating):
      raise InputError(
        f"frames of {frames.dtype}: give uint8 in 0..255 or floats in 0..1"
      )
    if not (frames.min() >= 0 and frames.max() <= 1):  # nan neither
      raise InputError(
        f"frames from {frames.min():g} to {frames.max():g}: floats must be in "
        "0..1; divide by 255, or give uint8"
      )
    return frames.astype(np.float32)

  def _check_floats(self, frames: np.ndarray) -> np.ndarray:
    if not np.issubdtype(frames.dtype, np.floating):
      raise InputError(
        f"frames of {frames.dtype}: {self.name} was trained on floats; give "
        "floats in the same units"
      )
    with np.errstate(over="ignore"):
      frames = frames.astype(np.float32)
    if not np.isfinite(frames).all():
      raise InputError("frames hold inf or nan: mend them")
    return frames


def load(workdir: epath.PathLike | None = None) -> Trained:
  """Loads the best model of a run, finished or not.

  Args:
    workdir: The run's folder, or one that `seqsum.export --weights` wrote. By
      default the network that comes with seqsum, which a line on stderr names:
      it reads MNIST's digits and gives their sum.

  Raises:
    InputError: There is no run in the folder, or it has no checkpoint.
  """
  if workdir is None:
    workdir = PRETRAINED
    print(f"seqsum: {_describe(PRETRAINED)}", file=sys.stderr)
  session = open_trained(workdir)
  if (session.workdir / weights.FILE).exists():
    state, _ = session.abstract_state()
    step, params = weights.read(session.workdir, state.evaluated)
    params = session.put(params)
  else:
    with session.checkpoints() as checkpoints:
      step, state = restore_best(session, checkpoints)
    params = state.evaluated
  return Trained(
    name=session.workdir.name,
    step=step,
    experiment=session.experiment,
    params=params,
    shape=session.experiment.sampler.shape,
  )


def _describe(workdir: epath.Path) -> str:
  """One line about the network that comes with seqsum."""
  summary = run_files.read_json(workdir / "summary.json", run_files.SUMMARY)
  exact = summary["test"]["exact_accuracy"]
  return (
    f"no --workdir: using the network that comes with seqsum ({workdir.name}, "
    f"trained on {summary['dataset']}, {exact:.1%} of the test sums exact)"
  )
