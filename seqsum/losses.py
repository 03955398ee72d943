"""What is minimised, and how a prediction is read from the head's outputs."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from seqsum.errors import choose
from seqsum.shapes import Outputs, Values


@dataclasses.dataclass(frozen=True)
class Objective:
  """A loss together with its decoder.

  Attributes:
    outputs: K, how many numbers the head must give at each step.
    loss: `(outputs [..., K], targets [...]) -> [...]`, the loss of each value.
    predict: `outputs [..., K] -> [...]`, predictions in digit units.
  """

  outputs: int
  loss: Callable[[Outputs, Values], Values]
  predict: Callable[[Outputs], Values]


def _regression(loss: Callable[[jax.Array, jax.Array], jax.Array]) -> Objective:
  """One output, which is the prediction itself."""
  return Objective(
    outputs=1,
    loss=lambda outputs, targets: loss(outputs[..., 0], targets),
    predict=lambda outputs: outputs[..., 0],
  )


LOSSES = {
  "mse": _regression(lambda p, y: jnp.square(p - y)),
  "mae": _regression(lambda p, y: jnp.abs(p - y)),
  "huber": _regression(optax.losses.huber_loss),  # delta 1, one digit unit
  "log_cosh": _regression(optax.losses.log_cosh),
}


def build_objective(loss: str) -> Objective:
  """The objective of that name.

  Raises:
    InputError: There is none.
  """
  return choose("config.loss", loss, LOSSES)
