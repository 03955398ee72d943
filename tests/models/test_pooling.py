import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.models.pooling import max_pool


def test_pooling_by_hand():
  """The third row and column are left over."""
  x = jnp.array([[1, 5, 9], [3, 2, 9], [9, 9, 9]], jnp.float32)
  np.testing.assert_array_equal(max_pool(x.reshape(1, 3, 3, 1), 2), [[[[5]]]])


@pytest.mark.parametrize("side", [1, 2, 3])
def test_it_is_flaxs_pooling_and_so_is_its_gradient(side):
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
