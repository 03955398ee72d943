"""Which frames an answer rests on, asked of a model from outside.

Both ways set a video beside one that is blank all through, and share the
difference of the two answers among the frames: what all frames get adds up to
it.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from seqsum.sequences.shapes import Frames, Key

# Frames [N, T, H, W, C] float32 in 0..1 -> [N] float32, a model's last word.
Answer = Callable[[Frames], jax.Array]


def integrated_gradients(
  answer: Answer, frames: Frames, steps: int = 32
) -> jax.Array:
  """Integrated gradients, summed over the pixels of each frame.

  The path is the video brightening from blank; the integral is taken by the
  midpoints of `steps` pieces (Sundararajan et al. 2017, equation 3).

  Args:
    answer: The model.
    frames: [T, H, W, C] float32.
    steps: More are more exact, and take as much longer.

  Returns:
    [T] float32.
  """
  slope = jax.grad(lambda x: answer(x[None])[0])

  def add(n, total):
    return total + slope(frames * (n + 0.5) / steps)

  total = jax.lax.fori_loop(0, steps, add, jnp.zeros_like(frames))
  return (total * frames).sum(axis=(1, 2, 3)) / steps


def shapley(
  answer: Answer, frames: Frames, key: Key, orders: int = 32
) -> jax.Array:
  """Shapley values of the frames, estimated.

  The worth of some frames is the answer to the video in which all others are
  blank. Frames are added one by one in a random order and then in its reverse,
  and get what the answer changes by; the mean over orders is an unbiased
  estimate (Castro et al. 2009; reversed orders: Mitchell et al. 2022).

  Args:
    answer: The model.
    frames: [T, H, W, C] float32.
    key: Of the orders.
    orders: How many; even. Each takes T + 1 readings of the video.

  Returns:
    [T] float32.
  """
  if orders < 2 or orders % 2:
    raise ValueError(f"orders={orders}, must be even and at least 2")
  time = len(frames)

  def one(order):  # [T], the order in which frames are added
    place = jnp.argsort(order)  # [T], when each frame is
    there = place[None, :] < jnp.arange(time + 1)[:, None]  # [T + 1, T]
    worths = answer(jnp.where(there[..., None, None, None], frames[None], 0.0))
    return jnp.diff(worths)[place]

  keys = jax.random.split(key, orders // 2)
  forward = jax.vmap(lambda key: jax.random.permutation(key, time))(keys)
  both = jnp.concatenate([forward, forward[:, ::-1]])
  return jax.lax.map(one, both).mean(axis=0)
