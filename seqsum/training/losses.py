"""Objectives: a loss together with the decoder of the head's outputs."""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import optax

from seqsum.models.carry import CarryCore
from seqsum.models.known_fold import FoldCore
from seqsum.sequences.shapes import Lengths, Outputs, Values
from seqsum.training.targets import RAW, Transform


class ObjectiveOutput(NamedTuple):
  """Per-step losses and predictions.

  Attributes:
    losses: [B, T] float32.
    predictions: [B, T] float32 in digit units, or [B, T, D] of vectors; nan at
      steps without a prediction.
    means: [B, T] float32, the mean of a predicted distribution, or None. The
      prediction is its mode, which is most often exact; its mean has the lowest
      mse.
  """

  losses: Values
  predictions: Values
  means: Values | None = None


class Objective(Protocol):
  """A loss and a decoder, such as `StepObjective` and `FoldObjective`.

  Attributes:
    outputs: K, outputs of the head at each step.
    fold: The core with the reduction built in whose distribution the outputs
      parametrize; None if the recurrence is learned.
  """

  @property
  def outputs(self) -> int: ...

  @property
  def fold(self) -> FoldCore | CarryCore | None: ...

  def __call__(
    self, outputs: Outputs, targets: Values, lengths: Lengths
  ) -> ObjectiveOutput:
    """Computes losses and predictions; values in the padding are arbitrary."""

  def decode(self, outputs: Outputs) -> tuple[Values, jax.Array | None]:
    """Outputs [B, T, K] of the model -> predictions and probabilities.

    Returns:
      [B, T] or [B, T, D] float32 in digit units; and [B, T, V] float32, the
      probability of each of `support(T)`, or None without a distribution.
    """

  def support(self, time: int) -> np.ndarray:
    """[V] float32, the values of `decode`'s probabilities; [0] if None."""


@dataclasses.dataclass(frozen=True)
class StepObjective:
  """An objective of each step's outputs by themselves.

  Attributes:
    outputs: K, outputs of the head at each step.
    loss: `(outputs [..., K], targets [...]) -> [...]`; targets may be vectors.
    predict: `outputs [..., K] -> [...]`, predictions in digit units.
    values: V values, ascending, over which the outputs are a distribution; ()
      for none.
    probabilities: `outputs [..., K] -> [..., V]`, the distribution, or None.
  """

  fold: ClassVar[None] = None
  outputs: int
  loss: Callable[[Outputs, Values], Values]
  predict: Callable[[Outputs], Values]
  values: tuple[float, ...] = ()
  probabilities: Callable[[Outputs], jax.Array] | None = None

  def __call__(
    self, outputs: Outputs, targets: Values, lengths: Lengths
  ) -> ObjectiveOutput:
    means = None
    if self.probabilities:
      means = self.probabilities(outputs) @ jnp.asarray(self.values)
    return ObjectiveOutput(
      self.loss(outputs, targets), self.predict(outputs), means
    )

  def decode(self, outputs: Outputs) -> tuple[Values, jax.Array | None]:
    probabilities = self.probabilities and self.probabilities(outputs)
    return self.predict(outputs), probabilities

  def support(self, time: int) -> np.ndarray:
    return np.array(self.values, np.float32)


def regression(
  loss: Callable[[jax.Array, jax.Array], jax.Array],
  transform: Transform = RAW,
  size: int = 0,
) -> StepObjective:
  """One output: the prediction, in the space of the transformed targets.

  Vector targets [..., D], with `size` = D, have D outputs; their loss is the
  mean over the D parts. `loss` is elementwise in predictions and targets.
  """
  select = lambda outputs: outputs if size else outputs[..., 0]

  def losses(outputs, targets):
    parts = loss(select(outputs), transform.forward(targets))
    return parts.mean(axis=-1) if size else parts

  predict = lambda outputs: transform.inverse(select(outputs))
  return StepObjective(max(1, size), losses, predict)


def classification(values: np.ndarray) -> StepObjective:
  """One logit for each value that a target can take.

  The loss is the cross entropy in nats; the prediction is the most likely of
  the values [V], or nan if a logit is.
  """
  values = np.unique(values.astype(np.float32))
  # A target has the class of the nearest value, so that the rounding of large
  # products to float32 does not matter.
  borders = (values[1:] + values[:-1]) / 2

  def loss(outputs, targets):
    classes = jnp.searchsorted(borders, targets, method="compare_all")
    return optax.losses.softmax_cross_entropy_with_integer_labels(
      outputs, classes
    )

  def predict(outputs):
    likeliest = jnp.asarray(values)[outputs.argmax(axis=-1)]
    return jnp.where(jnp.isnan(outputs).any(axis=-1), jnp.nan, likeliest)

  return StepObjective(
    len(values), loss, predict, tuple(values.tolist()), jax.nn.softmax
  )


REGRESSIONS = {
  "mse": lambda p, y: jnp.square(p - y),
  "mae": lambda p, y: jnp.abs(p - y),
  "huber": optax.losses.huber_loss,  # delta 1
  "log_cosh": optax.losses.log_cosh,
}
LOSSES: dict[str, Callable[..., StepObjective]] = {
  name: functools.partial(regression, loss)
  for name, loss in REGRESSIONS.items()
} | {"cross_entropy": classification}
