"""Packed cells against Flax cells: parameters, values and gradients."""

import functools
import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_runs import first

from seqsum.models import packing
from seqsum.models.cores import CORES, GRUKeras1Cell
from seqsum.models.packed_cells import PaddedCell, packed_cell

ROWS = (6, 6, 4, 1)
LONG = (6, 6, 4) + (1,) * packing.MAX_UNROLL  # a loop, not unrolled
ACTIVATIONS = {"tanh": nn.tanh, "relu": nn.relu}
each_core = pytest.mark.parametrize("core", first(CORES.values()), ids=CORES)


def packed_layer(core, rows=ROWS, **kwargs):
  layer = packed_cell(core)(5, name="layer", **kwargs)
  return lambda x: layer(layer.project(packing.pack(x, rows)), rows)


def plain_layer(core, activation=nn.tanh, rows=ROWS, **kwargs):
  cell = core.cell(5, activation_fn=activation, name="layer", **kwargs)
  return lambda x: packing.pack(nn.RNN(cell)(x), rows)


class Net(nn.Module):
  make: functools.partial

  @nn.compact
  def __call__(self, x):
    return self.make()(x)


@pytest.fixture
def inputs():
  return jax.random.normal(jax.random.key(0), (6, 4, 3))


def nets(core, **kwargs):
  return [
    Net(functools.partial(layer, core, **kwargs))
    for layer in (packed_layer, plain_layer)
  ]


def noisy(params):
  """Adds noise, because a bias of zero cannot show that it is used."""
  leaves, tree = jax.tree.flatten(params)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  return tree.unflatten(
    [
      x + 0.3 * jax.random.normal(k, x.shape)
      for x, k in zip(leaves, keys, strict=True)
    ]
  )


@pytest.mark.parametrize(
  ("core", "activation"),
  first(itertools.product(CORES.values(), ACTIVATIONS.values())),
  ids=[f"{core}-{name}" for core in CORES for name in ACTIVATIONS],
)
def test_packed_and_plain_cells_are_equal(core, activation, inputs):
  check_equality(core, activation, inputs)


@pytest.mark.parametrize("rows", [ROWS, LONG], ids=["unrolled", "loop"])
@each_core
def test_cells_are_equal_on_a_gpu(core, rows, monkeypatch):
  """There, `scan_products` computes the gradients of kernels."""
  calls = []
  scan_products = packing.scan_products
  monkeypatch.setattr(
    packing, "scan_products", lambda *x: calls.append(1) or scan_products(*x)
  )
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  inputs = jax.random.normal(jax.random.key(0), (6, len(rows), 3))
  check_equality(core, nn.tanh, inputs, rows)
  assert calls


def check_equality(core, activation, inputs, rows=ROWS):
  packed, plain = nets(core, activation=activation, rows=rows)
  params = jax.jit(lambda: noisy(plain.init(jax.random.key(2), inputs)))()
  weight = jax.random.normal(jax.random.key(3), (sum(rows), 5))

  def read(net):
    def total(params, x):
      outputs = net.apply(params, x)
      return (outputs * weight).sum(), outputs

    return jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))(
      params, inputs
    )

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    read(packed),
    read(plain),
  )


@each_core
def test_every_core_has_a_packed_form(core):
  assert not isinstance(packed_cell(core)(5), PaddedCell)


@each_core
def test_the_cell_activation_changes_the_result(core, inputs):
  tanh, _ = nets(core)
  relu, _ = nets(core, activation=nn.relu)
  params = jax.jit(tanh.init)(jax.random.key(2), inputs)
  one, other = (jax.jit(net.apply)(params, inputs) for net in (tanh, relu))
  assert not np.allclose(one, other)


@each_core
def test_bfloat16_keeps_parameters_in_float32(core, inputs):
  packed, _ = nets(core, dtype=jnp.bfloat16)
  params = jax.jit(packed.init)(jax.random.key(2), inputs)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  rough, exact = (
    jax.jit(net.apply)(params, inputs) for net in (packed, nets(core)[0])
  )
  assert rough.dtype == jnp.bfloat16
  assert 0 < abs(rough - exact).max() < 0.05


def test_the_keras_1_gru_by_hand():
  """One unit, h = 0.5, x = 2, with both gates unsaturated."""
  weights = {
    "ir": {"kernel": 0.5, "bias": 0.1},
    "iz": {"kernel": -1.0, "bias": 0.2},
    "in": {"kernel": 0.3, "bias": -0.4},
    "hr": {"kernel": 0.8},
    "hz": {"kernel": 0.6},
    "hn": {"kernel": -2.0},
  }
  params = {
    name: {
      leaf: jnp.full((1, 1) if leaf == "kernel" else 1, value)
      for leaf, value in leaves.items()
    }
    for name, leaves in weights.items()
  }
  r = 0.2 * (0.5 * 2 + 0.1 + 0.8 * 0.5) + 0.5
  z = 0.2 * (-1.0 * 2 + 0.2 + 0.6 * 0.5) + 0.5
  n = np.tanh(0.3 * 2 - 0.4 - 2.0 * (r * 0.5))
  carry, out = GRUKeras1Cell(1).apply(
    {"params": params}, jnp.array([[0.5]]), jnp.array([[2.0]])
  )
  np.testing.assert_allclose(out, [[(1 - z) * n + z * 0.5]], rtol=1e-6)
  np.testing.assert_array_equal(carry, out)
  # A saturated update gate is exactly 1, and keeps the carry.
  params["iz"]["bias"] = jnp.array([10.0])
  carry, _ = GRUKeras1Cell(1).apply(
    {"params": params}, jnp.array([[0.5]]), jnp.array([[2.0]])
  )
  np.testing.assert_array_equal(carry, [[0.5]])
