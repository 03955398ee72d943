"""The objective of the core 'fold': likelihood under an exact distribution."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.models import long_sum
from seqsum.models.distribution import build_support
from seqsum.models.known_fold import FoldCore
from seqsum.sequences.shapes import Lengths, Outputs, Values
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
    groups = [outputs[..., targets == target] for target in support]
    sums = [jax.nn.logsumexp(group, axis=-1) for group in groups]
    return jnp.stack(sums, axis=-1)
