"""Attribution of a model's final prediction to the frames of a video.

Both methods compare a video with a blank one. The attributions of all frames
add up to the difference of the two predictions.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from seqsum.sequences.shapes import Frames, Key

# Frames [N, T, H, W, C] float32 in 0..1 -> [N] float32, the final prediction.
Predict = Callable[[Frames], jax.Array]


def integrated_gradients(
  predict: Predict, frames: Frames, steps: int = 32
) -> jax.Array:
  """Integrated gradients, summed over the pixels of each frame.

  The path scales the video's brightness from 0 to 1; the integral is a midpoint
  sum of `steps` terms (Sundararajan et al. 2017, equation 3).

  Args:
    frames: [T, H, W, C] float32.
    steps: Number of gradients.

  Returns:
    [T] float32.
  """
  slope = jax.grad(lambda x: predict(x[None])[0])

  def add(n, total):
    return total + slope(frames * (n + 0.5) / steps)

  total = jax.lax.fori_loop(0, steps, add, jnp.zeros_like(frames))
  return (total * frames).sum(axis=(1, 2, 3)) / steps


def shapley(
  predict: Predict, frames: Frames, key: Key, orders: int = 32
) -> jax.Array:
  """Monte Carlo estimate of the frames' Shapley values.

  The value of a set of frames is the prediction for the video in which all
  other frames are blank. Frames are added one by one in a random order, then in
  its reverse; each gets the change of the prediction. The mean over orders is
  unbiased (Castro et al. 2009; reversed orders: Mitchell et al. 2022).

  Args:
    frames: [T, H, W, C] float32.
    key: PRNG key of the orders.
    orders: Their number, even. Each needs T + 1 predictions.

  Returns:
    [T] float32.
  """
  time = len(frames)

  def marginal(order):  # [T], the order in which frames are added
    place = jnp.argsort(order)  # [T], of each frame in the order
    added = place[None, :] < jnp.arange(time + 1)[:, None]  # [T + 1, T]
    values = predict(jnp.where(added[..., None, None, None], frames[None], 0.0))
    return jnp.diff(values)[place]

  keys = jax.random.split(key, orders // 2)
  forward = jax.vmap(lambda key: jax.random.permutation(key, time))(keys)
  both = jnp.concatenate([forward, forward[:, ::-1]])
  return jax.lax.map(marginal, both).mean(axis=0)
