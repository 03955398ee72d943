"""What is minimised, and how a prediction is read from the head's outputs."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from seqsum.errors import choose, require
from seqsum.shapes import Outputs, Values
from seqsum.targets import RAW, Transform, build_transform
from seqsum.tasks import SUM, Task


@dataclasses.dataclass(frozen=True)
class Objective:
  """A loss together with its decoder.

  Attributes:
    outputs: K, how many numbers the head must give at each step.
    loss: `(outputs [..., K], targets [...]) -> [...]`, the loss of each value.
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


def regression(
  loss: Callable[[jax.Array, jax.Array], jax.Array], transform: Transform = RAW
) -> Objective:
  """One output: the prediction, in the space of the transformed targets.

  Args:
    loss: `(predictions, targets) -> losses`, elementwise.
    transform: Of the targets, and back.
  """
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
    return make(transform)
  require(
    transform is RAW,
    "config.task.target",
    target,
    "config.loss='cross_entropy' has classes, take 'raw'",
  )
  # From one digit on: sequences may grow, and every step is read for `by_step`.
  return classification(task.reachable(max_len))
