"""Targets as a regression sees them, and the way back to digit units."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqsum.runtime.errors import choose, require
from seqsum.sequences.tasks import Task


class Transform(NamedTuple):
  """A change of units, elementwise.

  Attributes:
    forward: Values in digit units -> the space in which the loss is taken.
    inverse: The way back, for predictions.
  """

  forward: Callable[[jax.Array], jax.Array]
  inverse: Callable[[jax.Array], jax.Array]


RAW = Transform(lambda y: y, lambda p: p)
LOG = Transform(jnp.log1p, jnp.expm1)  # log(1 + y): a product may be 0


def standard(
  mean: jax.typing.ArrayLike, deviation: jax.typing.ArrayLike
) -> Transform:
  """Targets of that mean and standard deviation get 0 and 1.

  Args:
    mean, deviation: [], or [D] for the parts of vectors [..., D].
  """
  over = lambda moment, y: jnp.broadcast_to(moment, y.shape)
  return Transform(
    lambda y: (y - over(mean, y)) / over(deviation, y),
    lambda p: p * over(deviation, p) + over(mean, p),
  )


TRANSFORMS = {
  "raw": lambda **lengths: RAW,
  "standard": lambda task, **lengths: standard(*task.moments(**lengths)),
  "log": lambda **lengths: LOG,
}


def build_transform(
  name: str, task: Task, max_len: int, min_len: int, per_step: bool
) -> Transform:
  """The transform of that name, for the targets of a task.

  Args:
    name: 'raw', 'standard' or 'log'.
    task, max_len, min_len, per_step: As for `Task.moments`.

  Raises:
    InputError: There is none of that name.
  """
  make = choose("config.task.target", name, TRANSFORMS)
  require(
    name != "log" or task.least >= 0,
    "config.task.target",
    name,
    f"targets go down to {task.least:g}, take 'standard'",
  )
  return make(task=task, max_len=max_len, min_len=min_len, per_step=per_step)
