import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.summarization.attribution import integrated_gradients, shapley

FRAMES = jnp.asarray([0.1, 0.5, 0.0, 0.8]).reshape(4, 1, 1, 1)
WEIGHTS = jnp.asarray([3.0, -2.0, 5.0, 1.0])


def linear(frames):
  return frames[..., 0, 0, 0] @ WEIGHTS + 7


def distinct(frames):
  """The sum of the distinct values, of which a frame is 0.1, 0.2, ..."""
  seen = jnp.round(frames[..., 0, 0, 0] * 10)  # [N, T]
  values = jnp.arange(1, 10)
  there = (seen[:, :, None] == values[None, None, :]).any(axis=1)
  return there.astype(jnp.float32) @ values.astype(jnp.float32)


@pytest.mark.parametrize(
  "share",
  [
    lambda answer, frames: integrated_gradients(answer, frames, 4),
    lambda answer, frames: shapley(answer, frames, jax.random.key(0), 2),
  ],
)
def test_attribution_of_a_linear_model_is_exact(share):
  np.testing.assert_allclose(
    share(linear, FRAMES), [0.3, -1.0, 0.0, 0.8], atol=1e-6
  )


def test_integrated_gradients_split_a_product_in_halves():
  """x y has the gradient (y, x); each frame gets half of x y."""
  product = lambda frames: frames[:, 0, 0, 0, 0] * frames[:, 1, 0, 0, 0]
  frames = jnp.asarray([0.4, 0.5]).reshape(2, 1, 1, 1)
  np.testing.assert_allclose(
    integrated_gradients(product, frames, 8), [0.1, 0.1], atol=1e-6
  )


def test_attributions_add_up_to_the_prediction():
  curved = lambda frames: jnp.tanh(linear(frames)) * frames.sum((1, 2, 3, 4))
  answer = curved(FRAMES[None])[0] - curved(jnp.zeros_like(FRAMES)[None])[0]
  found = integrated_gradients(curved, FRAMES, 256).sum()
  np.testing.assert_allclose(found, answer, rtol=1e-3)
  found = shapley(curved, FRAMES, jax.random.key(1), 4).sum()
  np.testing.assert_allclose(found, answer, rtol=1e-5)


def test_shapley_values_equal_the_mean_over_all_orders():
  frames = jnp.asarray([0.3, 0.3, 0.0, 0.5, 0.3]).reshape(5, 1, 1, 1)
  exact = np.zeros(5)
  orders = list(itertools.permutations(range(5)))
  for order in orders:
    there = np.zeros((1, 5, 1, 1, 1), bool)
    before = float(distinct(jnp.zeros_like(frames)[None])[0])
    for frame in order:
      there[0, frame] = True
      after = float(distinct(jnp.where(there, frames, 0.0))[0])
      exact[frame] += (after - before) / len(orders)
      before = after
  np.testing.assert_allclose(exact, [1, 1, 0, 5, 1])
  found = shapley(distinct, frames, jax.random.key(2), 400)
  np.testing.assert_allclose(found, exact, atol=0.15)
