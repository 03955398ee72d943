"""Warnings about images whose digit a model predicts with low confidence."""

from collections.abc import Sequence

import numpy as np

from seqsum.inference.trained import TrainedModel

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
  if not model.takes_digits or model.experiment.sampler.min_len > 1:
    return []
  turned = np.stack([np.rot90(frames, k, (1, 2)) for k in (0, 1, 3)], axis=1)
  predicted = model.predict_distribution(
    turned.reshape(-1, 1, *frames.shape[1:])
  )
  if predicted.probabilities is None:
    return []
  probabilities = predicted.probabilities.reshape(len(names), 3, -1)
  values = predicted.values[probabilities.argmax(axis=-1)]
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
