"""The recurrent cells that a model can have, each written in two ways."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqsum.models.packed_cells import (
  PackedCell,
  PackedGRU,
  PackedGRUKeras1,
  PackedLSTM,
  PackedSimple,
  hard_sigmoid,
  kernel_init,
  recurrent_init,
)


class GRUKeras1Cell(nn.RNNCellBase):
  """The GRU of Keras 1: `packed_cells.PackedGRUKeras1` has the equations.

  The reset gate is applied to the carry before the product, as Cho et al. 2014
  have it, and gates are hard sigmoids. Parameters are named as those of
  `nn.GRUCell`; the attributes too.
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


class Core(NamedTuple):
  """A recurrent cell; both ways have the same parameters and values.

  Attributes:
    name: What `config.model.core` calls it.
    plain: Flax's, for `nn.RNN`: the reference.
    packed: The fast one, over packed batches.
  """

  name: str
  plain: Callable[..., nn.RNNCellBase]
  packed: Callable[..., PackedCell]


GRU = Core("gru", nn.GRUCell, PackedGRU)
CORES = {
  core.name: core
  for core in (
    GRU,
    Core("gru_keras1", GRUKeras1Cell, PackedGRUKeras1),
    Core("lstm", nn.LSTMCell, PackedLSTM),
    Core("simple", nn.SimpleCell, PackedSimple),
  )
}
