"""Recurrent layers over packed batches, as fast twins of Flax's cells."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqsum.models import packing
from seqsum.models.cores import (
  Core,
  GRUKeras1Cell,
  hard_sigmoid,
  recurrent_init,
)
from seqsum.models.encoder import kernel_init
from seqsum.models.whole_sequence import (
  PackedAttention,
  PackedBidirectional,
  WholeCore,
)
from seqsum.sequences.shapes import Lengths, Packed, Rows

Gates = tuple[Packed, ...]  # projections of the inputs, one for each gate
Biases = Mapping[str, bool]  # name of a product -> whether it has a bias


class _Affine(nn.Module):
  """The parameters of an `nn.Dense`, returned instead of applied."""

  features: int
  use_bias: bool
  kernel_init: nn.initializers.Initializer

  @nn.compact
  def __call__(self, inputs: int) -> tuple[jax.Array, jax.Array | None]:
    kernel = self.param("kernel", self.kernel_init, (inputs, self.features))
    if not self.use_bias:
      return kernel, None
    return kernel, self.param("bias", nn.initializers.zeros, (self.features,))


class PackedCell(nn.Module):
  """`nn.RNN(cell)` over a packed batch.

  It has the parameters of the cell under the cell's name, and the same values.
  Inputs are projected for all steps and sequences at once, products with the
  same array are one, and a step computes real frames only.

  A subclass lists its products and defines `step`.

  Attributes:
    features: Width of the carry.
    activation: Activation of the candidate state.
    dtype: Computation dtype; parameters are float32.
    of_inputs: The products with the inputs.
    of_carry: The products with the carry, grouped by the array they multiply.
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
    """[N, F] -> [N, features] for each gate."""
    kernel, biases = self._affine(self.of_inputs, inputs.shape[-1])
    return _split(inputs.astype(self.dtype) @ kernel, biases)

  def __call__(
    self, gates: Gates, rows: Rows, lengths: Lengths | None = None
  ) -> Packed:
    """Projected inputs -> [N, features], the output at each step."""
    affines = [self._affine(group, self.features) for group in self.of_carry]
    kernels, biases = [k for k, _ in affines], [b for _, b in affines]
    carry = self.start(rows[0])

    def step(products, biases, carry, gates):
      of_gates = (
        lambda x, product=product, group=group: _split(product(x), group)
        for product, group in zip(products, biases, strict=True)
      )
      return self.step(*of_gates, carry, gates)

    if jax.default_backend() == "cpu":
      products = [lambda x, k=k: x @ k for k in kernels]
      step = functools.partial(step, products, biases)
      return packing.scan(step, carry, gates, rows)
    return packing.scan_products(step, kernels, biases, carry, gates, rows)

  @nn.nowrap
  def start(self, rows: int) -> Any:
    """The carry before the first step."""
    return jnp.zeros((rows, self.features), self.dtype)

  @nn.nowrap
  def step(self, *args) -> tuple[Any, jax.Array]:
    """`(*products, carry, gates of one step) -> (carry, output)`, n rows.

    Each group of `of_carry` has one product: [n, features] -> a tuple of
    [n, features], in the group's order.
    """
    raise NotImplementedError

  def _affine(
    self, group: Biases, width: int
  ) -> tuple[jax.Array, tuple[jax.Array | None, ...]]:
    """The kernels of all gates of a group as one [width, F], and the biases."""
    affines = [getattr(self, name)(width) for name in group]
    kernels, biases = jax.tree.map(
      lambda x: x.astype(self.dtype), tuple(zip(*affines, strict=True))
    )
    return jnp.concatenate(kernels, axis=1), biases


def _split(x: jax.Array, biases: Sequence[jax.Array | None]) -> Gates:
  """[N, F] -> [N, features] for each gate, with its bias added."""
  return tuple(
    part if bias is None else part + bias[None, :]
    for part, bias in zip(
      jnp.split(x, len(biases), axis=-1), biases, strict=True
    )
  )


class PackedGRU(PackedCell):
  """`nn.GRUCell`, the variant of cuDNN and of today's Keras.

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


class PackedGRUKeras1(PackedCell):
  """`GRUKeras1Cell`."""

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

      i = sigmoid(W_ii x + W_hi h + b_hi), and f and o alike
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


class PaddedCell(nn.Module):
  """Any Flax cell over a packed batch; it computes the padding as well.

  Attributes:
    cell: Constructor of the cell.
    features, activation, dtype: See `PackedCell`.
  """

  cell: Callable[..., nn.RNNCellBase]
  features: int
  activation: Callable[[jax.Array], jax.Array] = nn.tanh
  dtype: DTypeLike = jnp.float32

  def setup(self):
    self.layer = self.cell(
      self.features,
      activation_fn=self.activation,
      kernel_init=kernel_init,
      recurrent_kernel_init=recurrent_init,
      dtype=self.dtype,
    )
    nn.share_scope(self, self.layer)  # the cell's parameters, under its name
    self.rnn = nn.RNN(self.layer)

  def project(self, inputs: Packed) -> Packed:
    """Returns the inputs; the cell projects them step by step."""
    return inputs

  def __call__(
    self, inputs: Packed, rows: Rows, lengths: Lengths | None = None
  ) -> Packed:
    """[N, F] -> [N, features], the output at each step."""
    outputs: Any = self.rnn(packing.unpack(inputs, rows, rows[0]))
    return packing.pack(outputs, rows)


PACKED_CELLS: dict[Callable[..., nn.RNNCellBase], Callable[..., PackedCell]] = {
  nn.GRUCell: PackedGRU,
  GRUKeras1Cell: PackedGRUKeras1,
  nn.LSTMCell: PackedLSTM,
  nn.SimpleCell: PackedSimple,
}


PackedLayer = PackedCell | PaddedCell | PackedBidirectional | PackedAttention


def packed_cell(core: Core | WholeCore) -> Callable[..., PackedLayer]:
  """Constructor of the fastest layer for a core."""
  if isinstance(core, WholeCore):
    if core.cell is None:
      return PackedAttention
    return functools.partial(PackedBidirectional, packed_cell(core.cell))
  if core.cell in PACKED_CELLS:
    return PACKED_CELLS[core.cell]
  return functools.partial(PaddedCell, core.cell)
