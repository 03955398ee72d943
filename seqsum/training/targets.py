"""Target transforms of regressions, and their inverses."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Transform(NamedTuple):
  """An elementwise change of units.

  Attributes:
    forward: Digit units -> the space in which the loss is computed.
    inverse: Back to digit units, for predictions.
  """

  forward: Callable[[jax.Array], jax.Array]
  inverse: Callable[[jax.Array], jax.Array]


RAW = Transform(lambda y: y, lambda p: p)
LOG = Transform(jnp.log1p, jnp.expm1)  # log(1 + y), since a product may be 0


def standard(
  mean: jax.typing.ArrayLike, deviation: jax.typing.ArrayLike
) -> Transform:
  """The z-score.

  Args:
    mean, deviation: [], or [D] for the parts of vectors [..., D].
  """
  over = lambda moment, y: jnp.broadcast_to(moment, y.shape)
  return Transform(
    lambda y: (y - over(mean, y)) / over(deviation, y),
    lambda p: p * over(deviation, p) + over(mean, p),
  )


# (task, max_len, min_len, per_step) -> the transform of the task's targets.
TRANSFORMS: dict[str, Callable[..., Transform]] = {
  "raw": lambda task, **_: RAW,
  "standard": lambda task, **lengths: standard(*task.moments(**lengths)),
  "log": lambda task, **_: LOG,
}
