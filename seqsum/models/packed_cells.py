"""Recurrent layers that Flax does not have: over packed batches."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqsum.models import packing
from seqsum.models.packing import Rows
from seqsum.sequences.shapes import Packed

Gates = tuple[Packed, ...]  # what the inputs give to each gate
Biases = Mapping[str, bool]  # the names of some products -> has it a bias?
Product = Callable[[jax.Array], tuple[jax.Array, ...]]
kernel_init = nn.initializers.glorot_uniform()  # as Keras
recurrent_init = nn.initializers.orthogonal()


class _Affine(nn.Module):
  """The parameters of an `nn.Dense`, handed out instead of applied."""

  features: int
  use_bias: bool
  init: nn.initializers.Initializer

  @nn.compact
  def __call__(self, inputs: int) -> tuple[jax.Array, jax.Array | None]:
    kernel = self.param("kernel", self.init, (inputs, self.features))
    if not self.use_bias:
      return kernel, None
    return kernel, self.param("bias", nn.initializers.zeros, (self.features,))


class PackedCell(nn.Module):
  """`nn.RNN(cell)` over a packed batch, at a third of the cost.

  The same mathematics and, under the cell's name, the same parameters as the
  cell in Flax, so that checkpoints of one load into the other. What does not
  depend on the carry is computed for all steps and sequences at once; products
  with the same array are one; steps touch only rows that are alive.

  A subclass names its products and says how it steps.

  Attributes:
    features: Width of the carry.
    activation: What makes the new content; the gates have their own.
    dtype: Of the computation; parameters stay float32.
    of_inputs: The products with the inputs.
    of_carry: The products with the carry, those of the same array together.
  """

  features: int
  activation: Callable[[jax.Array], jax.Array] = nn.tanh
  dtype: DTypeLike = jnp.float32

  of_inputs: ClassVar[Biases] = {}
  of_carry: ClassVar[tuple[Biases, ...]] = ()

  def setup(self):
    for group, init in (
      (self.of_inputs, kernel_init),
      *((group, recurrent_init) for group in self.of_carry),
    ):
      for name, use_bias in group.items():
        setattr(self, name, _Affine(self.features, use_bias, init))

  def project(self, inputs: Packed) -> Gates:
    """[N, F] -> [N, features] for each gate: what the inputs give to it."""
    return self._product(self.of_inputs, inputs.shape[-1])(
      inputs.astype(self.dtype)
    )

  def __call__(self, gates: Gates, rows: Rows) -> Packed:
    """What `project` gives -> [N, features], the output of each step."""
    products = [self._product(group, self.features) for group in self.of_carry]
    step = functools.partial(self.step, *products)
    return packing.scan(step, self.start(rows[0]), gates, rows)

  @nn.nowrap
  def start(self, rows: int) -> Any:
    """The carry before the first step."""
    return jnp.zeros((rows, self.features), self.dtype)

  @nn.nowrap
  def step(self, *args) -> tuple[Any, jax.Array]:
    """`(*products, carry, gates of one step) -> (carry, output)`, n rows.

    There is a product for each group of `of_carry`: [n, features] -> a tuple of
    [n, features], in the group's order.
    """
    raise NotImplementedError

  def _product(self, group: Biases, width: int) -> Product:
    """One product of [N, width] with the kernels of all gates of a group."""
    affines = [getattr(self, name)(width) for name in group]
    kernels, biases = jax.tree.map(
      lambda x: x.astype(self.dtype), tuple(zip(*affines, strict=True))
    )
    kernel = jnp.concatenate(kernels, axis=1)

    def product(x):
      parts = jnp.split(x @ kernel, len(kernels), axis=-1)
      return tuple(
        part if bias is None else part + bias[None, :]
        for part, bias in zip(parts, biases, strict=True)
      )

    return product


class PackedGRU(PackedCell):
  """`nn.GRUCell`, and as cuDNN and Keras have it today.

      r = sigmoid(W_ir x + b_ir + W_hr h)
      z = sigmoid(W_iz x + b_iz + W_hz h)
      n = tanh(W_in x + b_in + r * (W_hn h + b_hn))
      h' = (1 - z) * n + z * h

  (Cho et al. 2014, but with the reset gate r applied after the product.)
  """

  of_inputs: ClassVar[Biases] = {"ir": True, "iz": True, "in": True}
  of_carry: ClassVar = ({"hr": False, "hz": False, "hn": True},)

  @nn.nowrap
  def step(self, product, carry, gates):
    (ir, iz, in_), (r, z, n) = gates, product(carry)
    r = nn.sigmoid(ir + r)
    z = nn.sigmoid(iz + z)
    n = self.activation(in_ + r * n)
    carry = (1 - z) * n + z * carry
    return carry, carry


def hard_sigmoid(x: jax.Array) -> jax.Array:
  """Theano's and Keras 1's; `nn.hard_sigmoid` has a slope of 1/6."""
  return jnp.clip(0.2 * x + 0.5, 0, 1)


class PackedGRUKeras1(PackedCell):
  """`cores.GRUKeras1Cell`, the GRU that the post had.

      r = hard_sigmoid(W_ir x + b_ir + W_hr h)
      z = hard_sigmoid(W_iz x + b_iz + W_hz h)
      n = tanh(W_in x + b_in + W_hn (r * h))
      h' = (1 - z) * n + z * h

  (Cho et al. 2014 with the gates' activation of Keras 1.)
  """

  of_inputs: ClassVar[Biases] = {"ir": True, "iz": True, "in": True}
  of_carry: ClassVar = ({"hr": False, "hz": False}, {"hn": False})

  @nn.nowrap
  def step(self, to_gates, to_content, carry, gates):
    (ir, iz, in_), (r, z) = gates, to_gates(carry)
    r = hard_sigmoid(ir + r)
    z = hard_sigmoid(iz + z)
    (n,) = to_content(r * carry)
    n = self.activation(in_ + n)
    carry = (1 - z) * n + z * carry
    return carry, carry


class PackedLSTM(PackedCell):
  """`nn.LSTMCell`: Hochreiter & Schmidhuber 1997, Gers et al. 2000.

      i = sigmoid(W_ii x + W_hi h + b_hi), and so f and o
      g = tanh(W_ig x + W_hg h + b_hg)
      c' = f * c + i * g
      h' = o * tanh(c')

  The carry is (c, h).
  """

  of_inputs: ClassVar[Biases] = dict.fromkeys(("ii", "if", "ig", "io"), False)
  of_carry: ClassVar = (dict.fromkeys(("hi", "hf", "hg", "ho"), True),)

  @nn.nowrap
  def start(self, rows):
    return (super().start(rows),) * 2

  @nn.nowrap
  def step(self, product, carry, gates):
    c, h = carry
    i, f, g, o = map(jnp.add, gates, product(h))
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * self.activation(g)
    h = nn.sigmoid(o) * self.activation(c)
    return (c, h), h


class PackedSimple(PackedCell):
  """`nn.SimpleCell`: h' = tanh(W_i x + b_i + W_h h), Elman 1990."""

  of_inputs: ClassVar[Biases] = {"i": True}
  of_carry: ClassVar = ({"h": False},)

  @nn.nowrap
  def step(self, product, carry, gates):
    carry = self.activation(gates[0] + product(carry)[0])
    return carry, carry
