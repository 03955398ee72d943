"""What is minimised, and how a prediction is read from the head's outputs."""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from seqsum.models import long_sum
from seqsum.models.distribution import build_support
from seqsum.models.known_fold import FoldCore
from seqsum.runtime.errors import choose, require
from seqsum.sequences.shapes import Lengths, Outputs, Values
from seqsum.sequences.tasks import SUM, Task
from seqsum.training.metrics import final
from seqsum.training.targets import RAW, Transform, build_transform


class ObjectiveOutput(NamedTuple):
  """What an objective says of whole sequences, at every step.

  Attributes:
    losses: [B, T] float32.
    predictions: [B, T] float32 in digit units; nan where there is none. Of
      vectors [B, T, D].
    means: [B, T] float32, where the outputs are a distribution: its mean. The
      prediction is its mode, which is most often exact; the mean has the lowest
      mse.
  """

  losses: Values
  predictions: Values
  means: Values | None = None


@dataclasses.dataclass(frozen=True)
class Objective:
  """A loss together with its decoder.

  Attributes:
    outputs: K, how many numbers the head must give at each step.
    loss: `(outputs [..., K], targets [...]) -> [...]`, the loss of each value;
      the targets may be vectors.
    predict: `outputs [..., K] -> [...]`, predictions in digit units.
    values: V values, ascending, over which the outputs are a distribution; ()
      if they are none.
    probabilities: `outputs [..., K] -> [..., V]`, the distribution, or None.
  """

  outputs: int
  loss: Callable[[Outputs, Values], Values]
  predict: Callable[[Outputs], Values]
  values: tuple[float, ...] = ()
  probabilities: Callable[[Outputs], jax.Array] | None = None

  def read(
    self, outputs: Outputs, targets: Values, lengths: Lengths
  ) -> ObjectiveOutput:
    """Reads whole sequences.

    Args:
      outputs: [B, T, K].
      targets: [B, T].
      lengths: [B]; what is said of the padding means nothing.
    """
    means = None
    if self.probabilities:
      means = self.probabilities(outputs) @ jnp.asarray(self.values)
    return ObjectiveOutput(
      self.loss(outputs, targets), self.predict(outputs), means
    )


@dataclasses.dataclass(frozen=True)
class FoldObjective:
  """As `Objective`, of the distribution that a given fold says.

  The loss is the negative logarithm of the target's probability, in nats. Of
  long sums only the last step has a loss and a prediction: the outputs are
  those of the frames, and are folded here (`long_sum.py`).

  Attributes:
    core: The fold.
  """

  core: FoldCore
  # They depend on how many frames there are, so none are named here.
  values: ClassVar[tuple[float, ...]] = ()

  @property
  def outputs(self) -> int:
    """How many numbers the head must give at each step: the core's."""
    return self.core.inputs

  def read(
    self, outputs: Outputs, targets: Values, lengths: Lengths
  ) -> ObjectiveOutput:
    time = targets.shape[1]
    if not self.core.is_folded_by_loss(time):
      support = build_support(self.core.task, time)
      return classification(support.values).read(outputs, targets, lengths)
    digits = long_sum.read(outputs, self.core.task.digits, lengths)
    loss = -long_sum.log_likelihood(digits, final(targets, lengths))
    digits = jax.lax.stop_gradient(digits)
    is_last = jnp.arange(time)[None, :] == lengths[:, None] - 1
    last = lambda values, others: jnp.where(is_last, values[:, None], others)
    return ObjectiveOutput(
      last(loss, 0.0),
      last(long_sum.modes(digits), jnp.nan),
      last(long_sum.means(digits), jnp.nan),
    )


def regression(
  loss: Callable[[jax.Array, jax.Array], jax.Array],
  transform: Transform = RAW,
  size: int = 0,
) -> Objective:
  """One output: the prediction, in the space of the transformed targets.

  Args:
    loss: `(predictions, targets) -> losses`, elementwise.
    transform: Of the targets, and back.
    size: D of targets that are vectors [..., D], which have as many outputs and
      the mean of their parts' losses; 0 of numbers.
  """
  if size:
    return Objective(
      outputs=size,
      loss=lambda outputs, targets: loss(
        outputs, transform.forward(targets)
      ).mean(axis=-1),
      predict=transform.inverse,
    )
  return Objective(
    outputs=1,
    loss=lambda outputs, targets: loss(
      outputs[..., 0], transform.forward(targets)
    ),
    predict=lambda outputs: transform.inverse(outputs[..., 0]),
  )


def classification(values: np.ndarray) -> Objective:
  """One output for each value: the logarithm of its odds.

  The loss is the cross entropy between the softmax of the outputs and the
  target's class, in nats; the prediction is the most likely value, or nan if an
  output is.

  Args:
    values: [K] the values that a target can take, ascending.
  """
  values = np.unique(values.astype(np.float32))
  # The class of a target is that of the nearest value, so that how float32
  # rounds a large product does not matter.
  borders = (values[1:] + values[:-1]) / 2

  def loss(outputs, targets):
    classes = jnp.searchsorted(borders, targets, method="compare_all")
    return optax.losses.softmax_cross_entropy_with_integer_labels(
      outputs, classes
    )

  def predict(outputs):
    likeliest = jnp.asarray(values)[outputs.argmax(axis=-1)]
    return jnp.where(jnp.isnan(outputs).any(axis=-1), jnp.nan, likeliest)

  return Objective(
    len(values), loss, predict, tuple(values.tolist()), jax.nn.softmax
  )


REGRESSIONS = {
  "mse": lambda p, y: jnp.square(p - y),
  "mae": lambda p, y: jnp.abs(p - y),
  "huber": optax.losses.huber_loss,  # delta 1
  "log_cosh": optax.losses.log_cosh,
}
LOSSES = {
  name: functools.partial(regression, loss)
  for name, loss in REGRESSIONS.items()
} | {"cross_entropy": classification}


def build_objective(
  loss: str,
  target: str = "raw",
  *,
  task: Task = SUM,
  max_len: int = 4,
  min_len: int = 1,
  per_step: bool = False,
) -> Objective:
  """The objective of that name.

  Args:
    loss: 'mse', 'mae', 'huber', 'log_cosh' or 'cross_entropy'.
    target: How a regression sees its targets: 'raw', 'standard' or 'log'.
    task: What makes the targets.
    max_len, min_len: Of sequences whose final value is asked for.
    per_step: Whether the value at every step is asked for.

  Raises:
    InputError: A name is not known, or the two do not go together.
  """
  make = choose("config.loss", loss, LOSSES)
  transform = build_transform(target, task, max_len, min_len, per_step)
  if make is not classification:
    return make(transform, task.size)
  require(
    transform is RAW,
    "config.task.target",
    target,
    "config.loss='cross_entropy' has classes, take 'raw'",
  )
  # From one digit on: sequences may grow, and every step is read for `by_step`.
  return classification(task.reachable(max_len))


def build_fold_objective(
  core: FoldCore,
  loss: str,
  target: str,
  *,
  max_len: int,
  per_step: bool = False,
) -> FoldObjective:
  """The objective of the core 'fold'; arguments as for `build_objective`.

  Raises:
    InputError: The core says a distribution, which they do not fit.
  """
  needs = "config.model.core='fold' says a distribution, take"
  require(
    loss == "cross_entropy", "config.loss", loss, f"{needs} 'cross_entropy'"
  )
  require(target == "raw", "config.task.target", target, f"{needs} 'raw'")
  require(
    not (per_step and core.is_folded_by_loss(max_len)),
    "config.task.per_step",
    per_step,
    f"of sums of {max_len} frames the core 'fold' says the last alone",
  )
  if not core.is_folded_by_loss(max_len):
    build_support(core.task, max_len)
  return FoldObjective(core)
