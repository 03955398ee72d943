import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.sequences import permutation

permute = jax.jit(permutation.permute, static_argnums=3)


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 1000, 55_000])
def test_every_number_comes_once(count):
  numbers = jnp.arange(count)
  shuffled = []
  for seed in range(2):
    keys = jnp.broadcast_to(jax.random.key(seed), numbers.shape)
    counts = jnp.full(numbers.shape, count)
    shuffled.append(np.asarray(permute(keys, numbers, counts, count)))
    np.testing.assert_array_equal(np.sort(shuffled[-1]), numbers)
  if count >= 1000:
    assert (shuffled[0] == shuffled[1]).mean() < 0.01
    assert (shuffled[0] == np.asarray(numbers)).mean() < 0.01


def test_it_looks_like_chance():
  """No trace of the order: ranks of neighbours, and where each tenth goes."""
  count = 10_000
  keys = jnp.broadcast_to(jax.random.key(3), (count,))
  counts = jnp.full((count,), count)
  found = np.asarray(permute(keys, jnp.arange(count), counts, count))
  assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.04
  table, *_ = np.histogram2d(np.arange(count), found, bins=10)
  # Cells hold 100 each; the deviation of a cell is about 9.
  assert abs(table - 100).max() < 45


def test_counts_may_differ():
  counts = jnp.repeat(jnp.array([5, 300]), jnp.array([5, 300]))
  numbers = jnp.concatenate([jnp.arange(5), jnp.arange(300)])
  keys = jnp.broadcast_to(jax.random.key(0), numbers.shape)
  found = np.asarray(permute(keys, numbers, counts, 300))
  np.testing.assert_array_equal(np.sort(found[:5]), np.arange(5))
  np.testing.assert_array_equal(np.sort(found[5:]), np.arange(300))
