"""Recurrent cells: `config.model.core` names one of `CORES`.

`whole_sequence.py` has the cores that also see later frames.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqsum.models.encoder import kernel_init
from seqsum.sequences.shapes import Lengths

recurrent_init = nn.initializers.orthogonal()  # Keras's default


class Core(NamedTuple):
  """A recurrent cell.

  Attributes:
    name: The core's name in `config.model.core` and in names of parameters.
    cell: Constructor, with the arguments of `nn.GRUCell`.
  """

  name: str
  cell: Callable[..., nn.RNNCellBase]

  def layer(
    self,
    width: int,
    activation: Callable[[jax.Array], jax.Array],
    dtype: DTypeLike,
    name: str,
  ) -> Callable[[jax.Array, Lengths | None], Any]:
    """A layer in the module that calls this: ([B, T, F], lengths) -> [B, T, G].

    The padding comes last, so that the lengths change no real step.
    """
    cell = self.cell(
      width,
      activation_fn=activation,
      kernel_init=kernel_init,
      recurrent_kernel_init=recurrent_init,
      dtype=dtype,
      name=name,
    )
    return lambda x, lengths: nn.RNN(cell)(x)


def hard_sigmoid(x: jax.Array) -> jax.Array:
  """That of Theano and Keras 1; `nn.hard_sigmoid` has a slope of 1/6."""
  return jnp.clip(0.2 * x + 0.5, 0, 1)


class GRUKeras1Cell(nn.RNNCellBase):
  """The GRU of Keras 1, which the original post used.

      r = hard_sigmoid(W_ir x + b_ir + W_hr h)
      z = hard_sigmoid(W_iz x + b_iz + W_hz h)
      n = tanh(W_in x + b_in + W_hn (r * h))
      h' = (1 - z) * n + z * h

  (Cho et al. 2014, with hard sigmoids.) Attributes and parameters have the
  names of those of `nn.GRUCell`.
  """

  features: int
  activation_fn: Callable[[jax.Array], jax.Array] = nn.tanh
  kernel_init: nn.initializers.Initializer = kernel_init
  recurrent_kernel_init: nn.initializers.Initializer = recurrent_init
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, carry, inputs):
    dense = functools.partial(nn.Dense, self.features, dtype=self.dtype)
    of_x = functools.partial(dense, kernel_init=self.kernel_init)
    of_h = functools.partial(
      dense, use_bias=False, kernel_init=self.recurrent_kernel_init
    )
    r = hard_sigmoid(of_x(name="ir")(inputs) + of_h(name="hr")(carry))
    z = hard_sigmoid(of_x(name="iz")(inputs) + of_h(name="hz")(carry))
    n = of_x(name="in")(inputs) + of_h(name="hn")(r * carry)
    carry = (1 - z) * self.activation_fn(n) + z * carry
    return carry, carry

  @nn.nowrap
  def initialize_carry(self, rng, input_shape):
    return jnp.zeros((*input_shape[:-1], self.features))

  @property
  def num_feature_axes(self) -> int:
    return 1


GRU = Core("gru", nn.GRUCell)
CORES = {
  core.name: core
  for core in (
    GRU,
    Core("gru_keras1", GRUKeras1Cell),
    Core("lstm", nn.LSTMCell),
    Core("simple", nn.SimpleCell),
  )
}
