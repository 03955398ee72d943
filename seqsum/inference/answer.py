"""The predictions for some image files, as text, JSON or a plot."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqsum.data.image_files import PictureWarning
from seqsum.inference import confidence
from seqsum.inference.trained import Prediction, TrainedModel
from seqsum.plots import figures, prediction
from seqsum.runtime import files
from seqsum.runtime.errors import InputError
from seqsum.sequences.addition import Subtraction

MIN_PROBABILITY = 0.001  # less probable values are not in the JSON


@dataclasses.dataclass(frozen=True)
class Answer:
  """Predictions for one sequence of T frames."""

  model: TrainedModel
  names: Sequence[str]  # [T], one for each frame
  frames: np.ndarray  # [T, H, W, C] uint8
  predicted: Prediction
  warnings: Sequence[str]  # one line for each doubtful image

  @property
  def final(self) -> np.ndarray:
    """[] or [D], the last prediction; rounded if targets are whole numbers."""
    last = self.predicted.predictions[-1]
    if self.model.has_integer_targets:
      return np.rint(last) + 0.0  # turns -0.0 into 0.0
    return last

  def as_text(self, columns: int | None = None) -> str:
    """A line for each frame and one for the final prediction.

    With `columns`, the width of the terminal, each frame is above its line.
    """
    predictions, probabilities, values = self.predicted
    is_integer = self.model.has_integer_targets
    width = max(map(len, self.names))
    lines = []
    for t, name in enumerate(self.names):
      if columns:
        lines.append(frame_as_text(self.frames[t], columns))
      form = "8.2f" if is_integer else "10.4g"  # units may be of any size
      parts = [f"{x:{form}}" for x in np.atleast_1d(predictions[t])]
      line = f"{name:{width}}  " + "  ".join(parts)
      if probabilities is not None:
        deviation = _deviation(values, probabilities[t])
        line += f"  {probabilities[t].max():6.1%}  ± {deviation:.2f}"
      lines.append(line)
    form = ".0f" if is_integer else ".4g"
    final = ", ".join(f"{x:{form}}" for x in np.atleast_1d(self.final))
    final = f"{self.model.task}: {final}"
    if len(self.names) > self.model.max_len:
      things = "images" if self.model.takes_digits else "frames"
      final += (
        f"  ({len(self.names)} {things}; {self.model.name} was trained on at "
        f"most {self.model.max_len})"
      )
    return "\n".join([*lines, final])

  def as_json(self) -> dict[str, Any]:
    """The output of `seqsum.predict --json`."""
    predictions, probabilities, values = self.predicted
    rows = []
    for t, name in enumerate(self.names):
      row = {"file": name, "prediction": predictions[t].tolist()}
      if probabilities is not None:
        row["deviation"] = _deviation(values, probabilities[t])
        row["probabilities"] = {
          np.format_float_positional(value, trim="-"): float(probability)
          for value, probability in zip(values, probabilities[t], strict=True)
          if probability >= MIN_PROBABILITY
        }
      rows.append(row)
    return files.to_json(
      {
        "run": self.model.name,
        "step": self.model.step,
        "task": self.model.task,
        "longest_trained": self.model.max_len,
        "images": rows,
        "answer": self.final.tolist(),
        "warnings": list(self.warnings),
      }
    )

  def plot(self, animated: bool) -> bytes:
    """Frames, predictions and probabilities: a PNG, or an animated GIF.

    Raises:
      InputError: The model predicts vectors.
    """
    predictions, probabilities, values = self.predicted
    if predictions.ndim > 1:
      raise InputError(
        f"--plot: plots one number per frame, {self.model.name} predicts "
        f"{predictions.shape[-1]}; use --json"
      )
    frames = self.frames
    if not self.model.takes_digits:
      frames = figures.grey_to_rgb(frames)
    draw = prediction.animate if animated else prediction.draw
    return draw(
      frames,
      predictions,
      values,
      probabilities,
      self.model.task,
      self.model.has_integer_targets,
    )


def predict_files(model: TrainedModel, paths: Sequence[str]) -> Answer:
  """Reads files as one sequence and predicts the value after each frame.

  Raises:
    InputError: A file cannot be read; see `TrainedModel.read_files`.
  """
  if model.task == Subtraction.name:
    raise InputError(
      f"{model.name}: a run of the task 'subtraction' predicts in Python only: "
      "seqsum.load(workdir).predict(frames), in the order of "
      "sequences/addition.py"
    )
  if "+" in paths:
    raise InputError(
      f"+: separates two numbers of a run of the task 'addition'; {model.name} "
      f"predicts the {model.task} of one sequence"
    )
  names, frames, lines = read_files(model, paths)
  predicted = model.predict_distribution(frames)
  return Answer(model, names, frames, predicted, lines)


def read_files(
  model: TrainedModel, paths: Sequence[str]
) -> tuple[list[str], np.ndarray, list[str]]:
  """Reads files as one sequence, see `TrainedModel.read_files`.

  Returns:
    A name for each frame; [T, H, W, C] uint8; one line for each doubtful image.
  """
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", PictureWarning)
    names, frames = model.read_files(paths)
  lines = [" ".join(str(x.message).split()) for x in caught]
  return names, frames, lines + confidence.find_doubtful(model, names, frames)


def _deviation(values: np.ndarray, probabilities: np.ndarray) -> float:
  """Standard deviation of a distribution over values."""
  mean = (values * probabilities).sum()
  return float(np.sqrt((np.square(values - mean) * probabilities).sum()))


def frame_as_text(frame: np.ndarray, columns: int) -> str:
  """A frame [H, W, C] as text: two characters a pixel if there is room."""
  ink = frame.mean(axis=-1)
  ink = np.repeat(ink, 2, axis=1) if columns >= 2 * ink.shape[1] else ink
  characters = np.array(list(" ░▒▓█"))
  rows = characters[np.minimum(ink / 51.2, 4).astype(int)]
  return "\n".join("".join(row).rstrip() for row in rows)
