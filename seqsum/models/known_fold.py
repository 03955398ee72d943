"""Cores that are given the fold: they have to learn what a frame shows.

A recurrence without parameters reads what the head says of each frame. Both of
a model's recurrences run the same step: `nn.RNN` over `KnownFoldCell`, and
`packing.scan` over packed batches.
"""

import dataclasses
import functools
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seqsum.models.distribution import build_support
from seqsum.runtime.errors import require
from seqsum.sequences.tasks import Task

LONG = 32  # frames; of longer sums the fold says its last value alone


class KnownFold(Protocol):
  """A core that is given the fold.

  Attributes:
    inputs: How many numbers the head gives it of a frame. `read` makes D of
      them, which are what the recurrence reads.
  """

  inputs: int

  def read(self, outputs: jax.Array) -> jax.Array:
    """[..., inputs] what the head gives -> [..., D] what `step` takes."""

  def digits(self, inputs: jax.Array) -> jax.Array:
    """[..., D] what `step` takes -> [...] int32, the digits in it."""

  def is_whole(self, time: int) -> bool:
    """Whether the objective folds sequences of so many frames, all at once."""

  def start(self, rows: int, time: int) -> jax.Array:
    """[rows, K], the carry before the first of `time` frames."""

  def step(
    self, time: int, carry: jax.Array, inputs: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """[n, K] and [n, D] -> the carry with one frame more, twice."""


@dataclasses.dataclass(frozen=True)
class FoldCore:
  """The carry is the exact distribution of the fold so far.

  The head's numbers are the logarithms of the odds of each digit; a frame moves
  the fold's distribution by the digit's (`distribution.Support.move`). So does
  DeepProbLog (Manhaeve et al. 2018), here as a recurrence.

  Long sums say how large a digit is in the mean long before they say which one
  it is: half a 0 and half a 2 will do for a 1, whose odds meanwhile fall until
  no gradient reaches them. With a `spread`, the odds are those of a normal
  distribution, and what the head says of each digit comes on top of them.
  One more number of the head moves its centre: it is the natural parameter,
  centre / spread^2, from the middle of the digits.

  Attributes:
    task: The fold.
    spread: Standard deviation of that distribution, in digits; 0 for none.
  """

  task: Task
  spread: float = 0.0

  @property
  def inputs(self) -> int:
    return len(self.task.digits) + bool(self.spread)

  def read(self, outputs: jax.Array) -> jax.Array:
    if self.spread:
      digits = np.array(self.task.digits, np.float32)
      away = digits - digits.mean()
      away = np.expand_dims(away, tuple(range(outputs.ndim - 1)))
      bell = outputs[..., -1:] * away - away**2 / (2 * self.spread**2)
      outputs = outputs[..., :-1] + bell
    return nn.log_softmax(outputs)

  def digits(self, inputs: jax.Array) -> jax.Array:
    return jnp.asarray(self.task.digits, jnp.int32)[inputs.argmax(-1)]

  def is_whole(self, time: int) -> bool:
    return time > LONG and self.task.name == "sum"

  def start(self, rows: int, time: int) -> jax.Array:
    return build_support(self.task, time).delta(rows)

  def running(self, inputs: jax.Array) -> jax.Array:
    """The fold after every frame, whatever the length.

    Args:
      inputs: [B, T, D] what `read` gives.

    Returns:
      [B, T, K] float32, logarithms of the probabilities of the K values of
      `distribution.build_support(task, T)`.
    """
    batch, time = inputs.shape[:2]
    step = functools.partial(self.step, time)
    over_time = inputs.swapaxes(0, 1)
    _, said = jax.lax.scan(step, self.start(batch, time), over_time)
    return said.swapaxes(0, 1)

  def step(self, time, carry, inputs):
    carry = build_support(self.task, time).move(carry, inputs)
    return carry, carry


@dataclasses.dataclass(frozen=True)
class AdditiveCore:
  """The carry is the running total of one number a frame, without bounds.

  Deep Sets (Zaheer et al. 2017) with the identity after the sum; the recurrence
  of a neural addition unit (Madsen & Johansen 2020) with all weights one.
  """

  inputs: int = 1

  def read(self, outputs: jax.Array) -> jax.Array:
    return outputs

  def digits(self, inputs: jax.Array) -> jax.Array:
    nearest = jnp.round(jnp.nan_to_num(inputs[..., 0]))
    return jnp.clip(nearest, 0, 9).astype(jnp.int32)

  def is_whole(self, time: int) -> bool:
    return False

  def start(self, rows: int, time: int) -> jax.Array:
    return jnp.zeros((rows, self.inputs), jnp.float32)

  def step(self, time, carry, inputs):
    carry = carry + inputs
    return carry, carry


class KnownFoldCell(nn.RNNCellBase):
  """A given core as `nn.RNN` runs it.

  Attributes:
    core: The core.
    time: T, frames of the longest sequence.
  """

  core: KnownFold
  time: int

  def __call__(self, carry, inputs):
    return self.core.step(self.time, carry, inputs)

  @nn.nowrap
  def initialize_carry(self, rng: Any, input_shape: tuple[int, ...]):
    return self.core.start(int(np.prod(input_shape[:-1])), self.time)

  @property
  def num_feature_axes(self) -> int:
    return 1


def _fold(task: Task, spread: float) -> FoldCore:
  require(
    isinstance(task, Task),
    "config.model.core",
    "fold",
    "folds digits, one a frame; take 'additive' or 'gru'",
  )
  return FoldCore(task, spread)


# (task, config.model.digit_prior_std) -> the core
KNOWN_FOLDS = {
  "fold": _fold,
  "additive": lambda task, _: AdditiveCore(max(1, task.size)),
}
