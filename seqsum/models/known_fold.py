"""Cores with the task's reduction built in: only the digits are learned.

A known fold is a recurrence without parameters over the outputs of the head.
`SequenceModel` runs it as an `nn.RNN` over a `KnownFoldCell`, `PackedModel`
by `packing.scan`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from seqsum.models.carry import CarryCore
from seqsum.models.distribution import build_support
from seqsum.sequences.tasks import Task

LONG = 32  # frames; `long_sum.py` computes the loss of longer sums


class KnownFold(Protocol):
  """A recurrence without parameters over the outputs of the head.

  Attributes:
    outputs: Features that the head must have.
  """

  @property
  def outputs(self) -> int: ...

  def inputs(self, outputs: jax.Array) -> jax.Array:
    """[..., outputs] outputs of the head -> [..., D] inputs of `step`."""

  def digits(self, inputs: jax.Array) -> jax.Array:
    """[..., D] inputs of `step` -> [...] int32, the predicted digits."""

  def is_folded_by_loss(self, time: int) -> bool:
    """Whether the loss of sequences of `time` frames computes the fold.

    The model then returns the inputs of `step` in place of its carries.
    """

  def start(self, rows: int, time: int) -> jax.Array:
    """[rows, K], the carry before the first of `time` frames."""

  def step(
    self, time: int, carry: jax.Array, inputs: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """[n, K] and [n, D] -> (new carry, output); both are the same array."""


@dataclasses.dataclass(frozen=True)
class FoldCore:
  """A known fold whose carry is the exact distribution of the task's value.

  The head predicts logits of the digit on each frame; `distribution.Support`
  has the recurrence. DeepProbLog (Manhaeve et al. 2018) computes the same by
  logic programming.

  A failure of long sums: a mixture of the digits 0 and 2 has the mean of a 1.
  The labels fix the mean of a digit's distribution long before its mode, and
  the logit of 1 meanwhile falls until its gradient vanishes. A Gaussian prior
  over the digits (`spread` > 0) prevents this: the logits are those of a normal
  distribution plus those of the head. One more output of the head moves its
  mean; it is the natural parameter (mean - middle of the digits) / spread^2.

  Attributes:
    task: The fold.
    spread: Standard deviation of the prior, in digits; 0 for none.
    in_loss: Whether the loss computes the fold for any length, because it needs
      the digit of every frame.
  """

  task: Task
  spread: float = 0.0
  in_loss: bool = False

  @property
  def outputs(self) -> int:
    return len(self.task.digits) + bool(self.spread)

  def inputs(self, outputs: jax.Array) -> jax.Array:
    if self.spread:
      digits = np.array(self.task.digits, np.float32)
      offset = digits - digits.mean()
      offset = np.expand_dims(offset, tuple(range(outputs.ndim - 1)))
      prior = outputs[..., -1:] * offset - offset**2 / (2 * self.spread**2)
      outputs = outputs[..., :-1] + prior
    return nn.log_softmax(outputs)

  def digits(self, inputs: jax.Array) -> jax.Array:
    return jnp.asarray(self.task.digits, jnp.int32)[inputs.argmax(-1)]

  def probabilities(self, inputs: jax.Array) -> jax.Array:
    """[..., D] -> [..., D], the probabilities of `task.digits`."""
    return jnp.exp(inputs)

  def is_folded_by_loss(self, time: int) -> bool:
    return self.in_loss or (time > LONG and self.task.name == "sum")

  def start(self, rows: int, time: int) -> jax.Array:
    return build_support(self.task, time).delta(rows)

  def running(self, inputs: jax.Array) -> jax.Array:
    """The fold's distribution after every frame, for any length.

    Args:
      inputs: [B, T, D] as returned by `inputs`.

    Returns:
      [B, T, K] float32, log-probabilities of the K values of
      `distribution.build_support(task, T)`.
    """
    batch, time = inputs.shape[:2]
    step = functools.partial(self.step, time)
    over_time = inputs.swapaxes(0, 1)
    _, carries = jax.lax.scan(step, self.start(batch, time), over_time)
    return carries.swapaxes(0, 1)

  def step(self, time, carry, inputs):
    carry = build_support(self.task, time).move(carry, inputs)
    return carry, carry


@dataclasses.dataclass(frozen=True)
class AdditiveCore:
  """A known fold whose carry is the running sum of the head's output.

  Deep Sets (Zaheer et al. 2017) with the identity after the sum; a neural
  addition unit (Madsen & Johansen 2020) whose weights are all one. Its `digits`
  are the outputs rounded and clipped to 0..9; nan becomes 0.

  Attributes:
    outputs: Numbers of a value; `digits` reads the first.
  """

  outputs: int = 1

  def inputs(self, outputs: jax.Array) -> jax.Array:
    return outputs

  def digits(self, inputs: jax.Array) -> jax.Array:
    nearest = jnp.round(jnp.nan_to_num(inputs[..., 0]))
    return jnp.clip(nearest, 0, 9).astype(jnp.int32)

  def is_folded_by_loss(self, time: int) -> bool:
    return False

  def start(self, rows: int, time: int) -> jax.Array:
    return jnp.zeros((rows, self.outputs), jnp.float32)

  def step(self, time, carry, inputs):
    carry = carry + inputs
    return carry, carry


class KnownFoldCell(nn.RNNCellBase):
  """A known fold as a cell of `nn.RNN`.

  Attributes:
    core: The known fold.
    time: T, frames of the longest sequence.
  """

  core: KnownFold
  time: int

  def __call__(self, carry, inputs):
    """[n, K] and [n, D] -> (new carry, output), see `KnownFold.step`."""
    return self.core.step(self.time, carry, inputs)

  @nn.nowrap
  def initialize_carry(self, rng: Any, input_shape: tuple[int, ...]):
    return self.core.start(math.prod(input_shape[:-1]), self.time)

  @property
  def num_feature_axes(self) -> int:
    return 1


# (task, config.model.digit_prior_std) -> the known fold of that name
KNOWN_FOLDS: dict[str, Callable[..., Any]] = {
  "fold": FoldCore,
  "additive": lambda task, _: AdditiveCore(max(1, task.size)),
  "carry": lambda task, _: CarryCore(task),
}
