import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.models.conv import (
  MAX_TAPS,
  Conv,
  add_bias,
  banded,
  fastest,
  max_pool,
  plain,
  shifted,
)


@pytest.mark.parametrize("conv", [shifted, banded])
def test_convolution_by_hand(conv):
  x = jnp.arange(9.0).reshape(1, 3, 3, 1)
  kernel = jnp.array([[1.0, 2.0], [0.0, -1.0]]).reshape(2, 2, 1, 1)
  # x[i, j] + 2 x[i, j+1] - x[i+1, j+1]
  np.testing.assert_array_equal(conv(x, kernel)[0, :, :, 0], [[-2, 0], [4, 6]])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("form", [shifted, banded])
def test_a_form_has_the_values_and_gradients_of_plain(form, channels):
  keys = jax.random.split(jax.random.key(0), 3)
  x = jax.random.normal(keys[0], (2, 9, 7, channels))
  kernel = jax.random.normal(keys[1], (4, 2, channels, 5))
  weight = jax.random.normal(keys[2], (2, 6, 6, 5))
  results = []
  for conv in (form, plain):

    def total(x, kernel, conv=conv):
      out = conv(x, kernel)
      return (out * weight).sum(), out

    read = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))
    gradients, out = read(x, kernel)
    results.append((out, *gradients))
  for ours, xlas in zip(*results, strict=True):
    np.testing.assert_allclose(ours, xlas, rtol=1e-5, atol=1e-5)


def test_the_gradient_of_a_bias_is_the_sum_over_leading_axes():
  g = jax.random.normal(jax.random.key(0), (3, 4, 5, 2))
  bias = jnp.array([1.0, 2.0])
  out, back = jax.vjp(add_bias, jnp.zeros_like(g), bias)
  np.testing.assert_array_equal(out[0, 0, 0], bias)
  to_x, to_bias = back(g)
  np.testing.assert_array_equal(to_x, g)
  np.testing.assert_allclose(to_bias, g.sum((0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("backend", ["cpu", "gpu", "tpu"])
@pytest.mark.parametrize(
  ("side", "stride", "channels"), [(4, 1, 1), (3, 1, 8), (3, 2, 2)]
)
def test_conv_has_the_parameters_and_values_of_flax(
  side, stride, channels, backend, monkeypatch
):
  monkeypatch.setattr(jax, "default_backend", lambda: backend)
  init = nn.initializers.glorot_uniform()
  x = jax.random.normal(jax.random.key(0), (2, 11, 10, channels))
  ours = Conv(6, (side, side), stride, init)
  flax = nn.Conv(
    6, (side, side), strides=stride, padding="VALID", kernel_init=init
  )
  params = jax.jit(flax.init)(jax.random.key(1), x)
  mine = jax.jit(ours.init)(jax.random.key(1), x)
  jax.tree.map(np.testing.assert_array_equal, params, mine)
  read, expected = jax.jit(ours.apply), jax.jit(flax.apply)
  np.testing.assert_allclose(read(params, x), expected(params, x), atol=1e-5)


def test_forms_of_a_convolution():
  few = (4, 4, 1, 8)
  assert 4 * 4 <= MAX_TAPS < 3 * 3 * 8
  assert fastest(few, 1, 28, "cpu") is fastest(few, 1, 300, "cpu") is shifted
  assert fastest(few, 1, 28, "gpu") is banded
  assert fastest((3, 3, 8, 16), 1, 25, "gpu") is banded
  for shape, stride, width, backend in (
    (few, 2, 28, "cpu"),
    (few, 2, 28, "gpu"),
    (few, 1, 28, "tpu"),
    (few, 1, 64, "gpu"),
    ((3, 3, 8, 16), 1, 25, "cpu"),
    ((3, 3, 16, 32), 1, 25, "gpu"),
  ):
    assert fastest(shape, stride, width, backend).func is plain


def test_pooling_by_hand():
  """The third row and column are dropped."""
  x = jnp.array([[1, 5, 9], [3, 2, 9], [9, 9, 9]], jnp.float32)
  np.testing.assert_array_equal(max_pool(x.reshape(1, 3, 3, 1), 2), [[[[5]]]])


@pytest.mark.parametrize("side", [1, 2, 3])
def test_max_pool_has_the_values_and_gradients_of_flax(side):
  keys = jax.random.split(jax.random.key(0))
  x = jax.random.normal(keys[0], (2, 9, 7, 3))
  flaxs = lambda x: nn.max_pool(x, (side, side), (side, side))
  weight = jax.random.normal(keys[1], flaxs(x).shape)
  results = [
    (pool(x), jax.grad(lambda x, pool=pool: (pool(x) * weight).sum())(x))
    for pool in (lambda x: max_pool(x, side), flaxs)
  ]
  jax.tree.map(np.testing.assert_array_equal, *results)


def test_equal_maxima_share_the_gradient():
  gradient = jax.grad(lambda x: max_pool(x, 2).sum())(jnp.ones((1, 2, 2, 1)))
  assert gradient.sum() == 1
