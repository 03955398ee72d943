"""A shuffle of 0..n-1 of which any part can be computed by itself."""

import jax
import jax.numpy as jnp

from seqsum.sequences.shapes import Key

ROUNDS = 6


def permute(key: Key, number: jax.Array, count: jax.Array, most: int):
  """Where a shuffle takes a number.

  A Feistel network over the smallest square of a power of two that has room,
  walked until the number lies within `count` (Black & Rogaway 2002). No array
  of all numbers is sorted, so a batch costs no more of a long shuffle than of a
  short one.

  Args:
    key: [...] keys; of each, another shuffle.
    number: [...] int32, in 0..count-1.
    count: [...] int32, how many are shuffled.
    most: The largest count; static.

  Returns:
    [...] int32 in 0..count-1; for one key and count, each of them once.
  """
  bits = max(1, (most - 1).bit_length() + 1 >> 1)
  mask = jnp.uint32((1 << bits) - 1)
  seeds = jax.vmap(lambda k: jax.random.bits(k, (ROUNDS,)))(key.ravel())
  seeds = seeds.reshape(*key.shape, ROUNDS)

  def mix(x):  # the finalizer of MurmurHash3
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)

  def encrypt(x):
    left, right = x >> bits, x & mask
    for i in range(ROUNDS):
      left, right = right, left ^ (mix(right ^ seeds[..., i]) & mask)
    return left << bits | right

  count = count.astype(jnp.uint32)
  found = jax.lax.while_loop(
    lambda x: (x >= count).any(),
    lambda x: jnp.where(x >= count, encrypt(x), x),
    encrypt(number.astype(jnp.uint32)),
  )
  return found.astype(jnp.int32)
