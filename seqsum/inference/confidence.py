"""Warnings about images whose digit a model predicts with low confidence."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from seqsum.inference.trained import TrainedModel
from seqsum.models.carry import CarryCore
from seqsum.sequences.tasks import Task

# Probabilities of a single digit. Below LOW it is always reported, below
# LOW_UPRIGHT if another digit has more than HIGH after a quarter turn.
LOW, LOW_UPRIGHT, HIGH = 0.8, 0.95, 0.999


def find_doubtful(
  model: TrainedModel, names: Sequence[str], frames: np.ndarray
) -> list[str]:
  """Predicts each image by itself, upright and after quarter turns both ways.

  A digit on its side is often taken for another digit. A model without
  probabilities of single digits gets no warnings.

  Args:
    names: [T], of the images.
    frames: [T, 28, 28, 1] uint8.

  Returns:
    One line for each doubtful image.
  """
  if not model.takes_digits:
    return []
  turned = np.stack([np.rot90(frames, k, (1, 2)) for k in (0, 1, 3)], axis=1)
  found = _predict_digits(model, turned)
  if found is None:
    return []
  values, probabilities = found
  values = values[probabilities.argmax(axis=-1)]
  lines = []
  for name, best, value in zip(
    names, probabilities.max(axis=-1), values, strict=True
  ):
    turn = best[1:].argmax() + 1
    line = f"{name}: predicted {value[0]:g} with a probability of {best[0]:.0%}"
    if best[0] < LOW_UPRIGHT and best[turn] > HIGH and value[turn] != value[0]:
      lines.append(
        f"{line}; after a quarter turn {value[turn]:g} with {best[turn]:.1%}: "
        "is the digit on its side?"
      )
    elif best[0] < LOW:
      lines.append(f"{line}: check that it shows one upright digit")
  return lines


def _predict_digits(
  model: TrainedModel, frames: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
  """Predicts frames [..., H, W, C] of one digit each.

  Returns:
    [V] values and their [..., V] probabilities; None of a model without them.
  """
  shape, frames = frames.shape[:-3], frames.reshape(-1, 1, *frames.shape[-3:])
  fold = model.experiment.objective.fold
  if isinstance(fold, CarryCore):
    apply: Any = model.experiment.model.apply
    classify = jax.jit(lambda *args: fold.probabilities(apply(*args)))
    probabilities = np.asarray(classify(model.params, frames))
    return np.arange(10), probabilities.reshape(*shape, -1)
  sampler = model.experiment.sampler
  if sampler.min_len > 1 or not _is_digit(sampler.task):
    return None
  predicted = model.predict_distribution(frames)
  if predicted.probabilities is None:
    return None
  return predicted.values, predicted.probabilities.reshape(*shape, -1)


def _is_digit(task: Task) -> bool:
  """Whether the target of one digit is that digit."""
  one = (task.observe(task.combine(task.initial, x)) for x in task.digits)
  return tuple(one) == task.digits
