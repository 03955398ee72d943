"""The objective of the core 'fold': likelihood under an exact distribution."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.models import long_sum
from seqsum.models.distribution import LOWEST, build_support
from seqsum.models.known_fold import FoldCore
from seqsum.sequences.scenes import importance
from seqsum.sequences.shapes import Lengths, Outputs, Values
from seqsum.sequences.tasks import Task
from seqsum.training.losses import ObjectiveOutput, classification
from seqsum.training.metrics import final


@dataclasses.dataclass(frozen=True)
class FoldObjective:
  """An `Objective` of the distribution that a `FoldCore` computes.

  The loss is the negative log-likelihood of the target, in nats: of all values
  of the fold that have this target (`Task.observe`). The model's outputs for
  long sums (`FoldCore.is_folded_by_loss`) are log-probabilities of each frame's
  digit; they are reduced here, and only the last step has a loss and a
  prediction (`models/long_sum.py`).

  Attributes:
    fold: The core.
  """

  fold: FoldCore

  @property
  def outputs(self) -> int:
    return self.fold.outputs

  def __call__(
    self, outputs: Outputs, targets: Values, lengths: Lengths
  ) -> ObjectiveOutput:
    time = targets.shape[1]
    if not self.fold.is_folded_by_loss(time):
      observed = self._observe(outputs, time)
      return classification(self.support(time))(observed, targets, lengths)
    digits = long_sum.read(outputs, self.fold.task.digits, lengths)
    loss = -long_sum.log_likelihood(digits, final(targets, lengths))
    digits = jax.lax.stop_gradient(digits)
    is_last = jnp.arange(time)[None, :] == lengths[:, None] - 1
    last = lambda values, others: jnp.where(is_last, values[:, None], others)
    return ObjectiveOutput(
      last(loss, 0.0),
      last(long_sum.modes(digits), jnp.nan),
      last(long_sum.means(digits), jnp.nan),
    )

  def decode(self, outputs: Outputs) -> tuple[Values, jax.Array]:
    time = outputs.shape[1]
    if self.fold.is_folded_by_loss(time):  # Predict every step here.
      outputs = self.fold.running(outputs)
    outputs = self._observe(outputs, time)
    predictions = classification(self.support(time)).predict(outputs)
    return predictions, jnp.exp(outputs)

  def support(self, time: int) -> np.ndarray:
    return np.unique(self._targets(time))

  def _targets(self, time: int) -> np.ndarray:
    """[K] float32, the target of each value of the fold."""
    values = build_support(self.fold.task, time).values
    return self.fold.task.observe(values).astype(np.float32)

  def _observe(self, outputs: Outputs, time: int) -> Outputs:
    """[..., K] log-probabilities of the fold -> [..., V], of the targets."""
    targets, support = self._targets(time), self.support(time)
    if np.array_equal(targets, support):
      return outputs
    groups = [np.flatnonzero(targets == target) for target in support]
    longest = max(map(len, groups))
    index = np.full((len(groups), longest), len(targets))  # of the padding
    for row, group in zip(index, groups, strict=True):
      row[: len(group)] = group
    none = jnp.full_like(outputs[..., :1], LOWEST)
    padded = jnp.concatenate([outputs, none], axis=-1)
    return jax.nn.logsumexp(padded[..., index], axis=-1)


@dataclasses.dataclass(frozen=True)
class VideoObjective:
  """An `Objective` of the distinct digits of a video.

  The loss is the negative log-likelihood of the sum of the distinct digits, in
  nats; with a target at every frame, that of the sum given all sums before. The
  importance of a frame is no part of it: it is that of the likeliest digit of
  every frame (`scenes.importance`), where a frame without a digit is a 0.

  Attributes:
    fold: The core; its loss computes the fold (`FoldCore.in_loss`).
    per_step: Whether every frame has a target, not only the last.
    with_importance: Whether targets and predictions are the pair of the sum so
      far and the frame's importance, or the sum so far.
  """

  fold: FoldCore
  per_step: bool
  with_importance: bool

  @property
  def outputs(self) -> int:
    return self.fold.outputs

  @property
  def _sums(self) -> FoldObjective:
    return FoldObjective(dataclasses.replace(self.fold, in_loss=False))

  def __call__(
    self, outputs: Outputs, targets: Values, lengths: Lengths
  ) -> ObjectiveOutput:
    sums = targets[..., 0] if self.with_importance else targets
    result = self._sums(self.fold.running(outputs), sums, lengths)
    if self.per_step:
      losses = conditional_losses(self.fold.task, outputs, sums)
      result = result._replace(losses=losses)
    if not self.with_importance:
      return result
    pairs = self._add_importance(result.predictions, outputs)
    return ObjectiveOutput(result.losses, pairs)

  def decode(self, outputs: Outputs) -> tuple[Values, jax.Array]:
    sums, probabilities = self._sums.decode(self.fold.running(outputs))
    if self.with_importance:
      sums = self._add_importance(sums, outputs)
    return sums, probabilities

  def support(self, time: int) -> np.ndarray:
    return self._sums.support(time)

  def _add_importance(self, sums: Values, outputs: Outputs) -> Values:
    """[B, T] sums so far -> [B, T, 2]."""
    return jnp.stack([sums, importance(self.fold.digits(outputs))], axis=-1)


def conditional_losses(
  task: Task, digits: jax.Array, targets: Values
) -> Values:
  """-log p(target | earlier targets) of every step, in nats.

  Their sum is the loss of all targets together. Where each step's target is
  judged by itself (`FoldObjective`), a doubtful digit blurs all later steps.

  Args:
    task: The fold.
    digits: [B, T, D] float32, log-probabilities of the digit on each frame.
    targets: [B, T] float32, the targets after each frame.

  Returns:
    [B, T] float32.
  """
  support = build_support(task, digits.shape[1])
  values = jnp.asarray(task.observe(support.values), jnp.float32)

  def step(fold, inputs):
    digit, target = inputs
    is_seen = values[None, :] == target[:, None]
    fold = jnp.where(is_seen, support.move(fold, digit), LOWEST)
    log_likelihood = jax.nn.logsumexp(fold, axis=1)
    return fold - log_likelihood[:, None], -log_likelihood

  over_time = digits.swapaxes(0, 1), targets.swapaxes(0, 1)
  _, losses = jax.lax.scan(step, support.delta(len(digits)), over_time)
  return losses.swapaxes(0, 1)
