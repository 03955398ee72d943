"""Fixed held-out sequences -> metrics.

The sequences of a split are the same for every run, seed and number of
devices: batch n is a function of (split, n) and of the sampler.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from seqsum.sequences.shapes import Feed
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.metrics import is_exact
from seqsum.training.parallel import compile_step
from seqsum.training.reading import Readings, eval_step
from seqsum.training.state import Experiment, batch_key

SEED = 0  # of the held-out sequences, whatever the seed of a run


class Evaluation(NamedTuple):
  """A model's readings of N sequences, on the host.

  Attributes:
    lengths: [N] int32.
    targets: [N, T] float32, or [N, T, D] of vectors.
    predictions: As `targets`, in their units.
    losses: [N, T] float32.
    places: [N, 2] int, the batch and the row where a sequence was drawn.
    labels: [N, T] int32, the digits; None of recorded sequences.
    means: [N, T] float32, of what is said if it is a distribution, or None.
    digits: [N, T] int32, what a given fold took the frames for, or None.
    tolerance: How near a prediction must be to count as exact.
  """

  lengths: np.ndarray
  targets: np.ndarray
  predictions: np.ndarray
  losses: np.ndarray
  places: np.ndarray
  labels: np.ndarray | None = None
  means: np.ndarray | None = None
  digits: np.ndarray | None = None
  tolerance: float = ROUNDING

  def final(self, values: np.ndarray) -> np.ndarray:
    """[N, T, ...] -> [N, ...], the value at each sequence's last real step."""
    return values[np.arange(len(values)), self.lengths - 1]


@dataclasses.dataclass(frozen=True)
class Evaluator:
  """Reads a fixed number of sequences of one split.

  Attributes:
    step: The compiled `eval_step`.
    draw: Compiled `(key data) -> SequenceBatch`, the batches that it reads.
    stream: The split's stream of random numbers, `state.VALIDATION` or `TEST`.
    batch_size: Of the experiment's sampler.
    sequences: N.
    feed: Batch number -> what the sampler draws it from, on the devices.
    is_sorted: Whether a batch's sequences are sorted by length.
    tolerance: Of the task.
  """

  step: Callable[..., Readings]
  draw: Callable[..., Any]
  stream: int
  batch_size: int
  sequences: int
  feed: Feed
  is_sorted: bool
  tolerance: float

  def key_data(self, n: int) -> np.ndarray:
    return np.asarray(jax.random.key_data(batch_key(SEED, self.stream, n)))

  def __call__(
    self,
    params: optax.Params,
    should_stop: Callable[[], bool] = lambda: False,
  ) -> Evaluation | None:
    """Predicts all sequences; returns None as soon as `should_stop()`."""
    batches = math.ceil(self.sequences / self.batch_size)
    pending = []
    for n in range(batches):
      if should_stop():
        return None
      pending.append(self.step(params, self.key_data(n), *self.feed(n)))
      if n:  # one batch is read while the next is computed
        pending[n - 1] = jax.device_get(pending[n - 1])
    read = [jax.device_get(readings) for readings in pending]
    keep = [self._rows(n) for n in range(batches)]
    gather = lambda name: np.concatenate(
      [getattr(r, name)[rows] for r, rows in zip(read, keep, strict=True)]
    )
    places = [
      np.stack([np.full_like(rows, n), rows], axis=1)
      for n, rows in enumerate(keep)
    ]
    return Evaluation(
      lengths=gather("lengths"),
      targets=gather("targets"),
      predictions=gather("predictions"),
      losses=gather("losses"),
      places=np.concatenate(places),
      tolerance=self.tolerance,
      **{
        name: gather(name)
        for name in ("labels", "means", "digits")
        if getattr(read[0], name) is not None
      },
    )

  def _rows(self, n: int) -> np.ndarray:
    """Which rows of batch n count: all, or of the last batch what is left.

    Of a batch that is sorted by length these are spread evenly over it.
    """
    left = min(self.batch_size, self.sequences - n * self.batch_size)
    rows = np.arange(left)
    return rows * self.batch_size // left if self.is_sorted else rows

  def frames(self, evaluation: Evaluation, which: Iterable[int]) -> np.ndarray:
    """Draws the frames of some sequences again: [M, T, H, W, C]."""
    places = evaluation.places[np.asarray(which, int)]
    drawn = {}
    for n in sorted(set(places[:, 0].tolist())):
      # On one device of this process: the others need not take part.
      data = [x.addressable_data(0) for x in self.feed(n)]
      drawn[n] = np.asarray(self.draw(self.key_data(n), *data).frames)
    return np.stack([drawn[n][row] for n, row in places.tolist()])


def make_evaluator(
  experiment: Experiment,
  mesh: Mesh,
  stream: int,
  feed: Feed,
  *,
  sequences: int,
  batch_size: int,
) -> Evaluator:
  """An evaluator; nothing is compiled before it is called."""
  sampler = experiment.sampler.held_out(batch_size)
  experiment = dataclasses.replace(experiment, sampler=sampler)
  return Evaluator(
    step=compile_step(eval_step, mesh, experiment=experiment, donate=False),
    draw=jax.jit(functools.partial(_draw, sampler)),
    stream=stream,
    batch_size=batch_size,
    sequences=sequences,
    feed=feed,
    is_sorted=sampler.packed,
    tolerance=sampler.task.tolerance,
  )


def _draw(sampler, key_data, *data):
  return sampler(jax.random.wrap_key_data(key_data), *data)


def measure(evaluation: Evaluation, per_step: bool) -> dict[str, float]:
  """The metrics of a validation line: loss, mse, mae, exact_accuracy.

  All but the loss are of the final predictions; so is the loss, unless a value
  is asked for at every step. Of a distribution, which predicts its mode, also
  the mse_of_mean; where the fold is given also digit_accuracy, of the digits
  that nobody labelled.
  """
  real = np.arange(evaluation.losses.shape[1]) < evaluation.lengths[:, None]
  losses = (
    evaluation.losses[real] if per_step else evaluation.final(evaluation.losses)
  )
  metrics = {"loss": float(losses.mean(dtype=np.float64))} | _errors(
    evaluation.final(evaluation.predictions),
    evaluation.final(evaluation.targets),
    evaluation.tolerance,
  )
  if evaluation.means is not None:
    mean, target = map(evaluation.final, (evaluation.means, evaluation.targets))
    metrics["mse_of_mean"] = _errors(mean, target)["mse"]
  if evaluation.digits is not None:
    right = (evaluation.digits == evaluation.labels)[real]
    metrics["digit_accuracy"] = float(right.mean())
  return metrics


def break_down(evaluation: Evaluation) -> dict[str, dict[str, Any]]:
  """What a test line adds: the metrics by length, by target and by step.

  `by_step` compares the prediction at each real step with the target there,
  whether the loss asked for it or not; steps of which nothing was said, as by
  the fold of a long sum, are left out. `by_target` is empty unless targets are
  whole numbers.
  """
  prediction = evaluation.final(evaluation.predictions)
  target = evaluation.final(evaluation.targets)
  near = evaluation.tolerance
  by_target = target.ndim == 1 and near == ROUNDING  # else all differ

  def group(by: np.ndarray) -> dict[str, Any]:
    return {
      f"{value:g}": _errors(prediction[by == value], target[by == value], near)
      | {"count": int((by == value).sum())}
      for value in np.unique(by)
    }

  by_step = {}
  unsaid = np.isnan(evaluation.predictions) & ~np.isnan(prediction)[:, None]
  unsaid = unsaid.reshape(*unsaid.shape[:2], -1).any(axis=-1)
  for t in range(evaluation.targets.shape[1]):
    real = (evaluation.lengths > t) & ~unsaid[:, t]
    if real.any():
      by_step[str(t + 1)] = _errors(
        evaluation.predictions[real, t], evaluation.targets[real, t], near
      ) | {"count": int(real.sum())}
  return {
    "by_length": group(evaluation.lengths),
    "by_target": group(target) if by_target else {},
    "by_step": by_step,
  }


def guess_the_mean(evaluation: Evaluation, mean: np.ndarray | float) -> float:
  """The mse of a model that predicts the same value for every sequence.

  Args:
    evaluation: Its targets; of predictions nothing is used.
    mean: [] or [D], the mean of the training targets.
  """
  target = evaluation.final(evaluation.targets).astype(np.float64)
  return float(np.square(target - np.asarray(mean)).mean())


def _errors(
  prediction: np.ndarray, target: np.ndarray, tolerance: float = ROUNDING
) -> dict[str, float]:
  error = prediction.astype(np.float64) - target
  return {
    "mse": float(np.square(error).mean()),
    "mae": float(np.abs(error).mean()),
    "exact_accuracy": float(is_exact(prediction, target, tolerance).mean()),
  }
