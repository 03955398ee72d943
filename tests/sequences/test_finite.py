import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.sequences import finite
from seqsum.sequences.finite import FixedSequences
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import SUM

IMAGES = 100
shuffle = jax.jit(finite.shuffle, static_argnums=3)


def sequences(fixed, steps, seed=0, images=IMAGES):
  """The sequences of `steps` batches, as tuples of image indices."""
  index = jax.jit(lambda step: fixed.index(jax.random.key(seed), step, images))
  return [
    [
      tuple(row[:length].tolist())
      for row, length in zip(
        np.asarray(index(step)), fixed.lengths, strict=True
      )
    ]
    for step in range(steps)
  ]


def test_images_are_used_once_and_each_epoch_has_all_sequences():
  fixed = FixedSequences(25, 5, 4, 4)
  batches = sequences(fixed, 10)
  first = [s for batch in batches[:5] for s in batch]
  second = [s for batch in batches[5:] for s in batch]
  assert sorted(i for s in first for i in s) == list(range(IMAGES))
  assert sorted(first) == sorted(second)
  assert first != second


def test_batches_span_the_end_of_an_epoch():
  fixed = FixedSequences(25, 10, 4, 4)
  seen = [s for batch in sequences(fixed, 5) for s in batch]
  assert collections.Counter(collections.Counter(seen).values()) == {2: 25}


def test_images_are_reused_in_another_order():
  fixed = FixedSequences(75, 25, 4, 4)  # three hundred frames
  seen = [s for batch in sequences(fixed, 3) for s in batch]
  assert len(set(seen)) == 75
  counts = collections.Counter(i for s in seen for i in s)
  assert set(counts.values()) == {3}


def test_lengths_have_equal_shares():
  fixed = FixedSequences(40, 8, 1, 4)
  np.testing.assert_array_equal(fixed.lengths, [4, 4, 3, 3, 2, 2, 1, 1])
  seen = [s for batch in sequences(fixed, 5) for s in batch]
  assert sorted(i for s in seen for i in s) == list(range(IMAGES))
  assert collections.Counter(map(len, seen)) == dict.fromkeys((1, 2, 3, 4), 10)


def test_sequences_are_a_function_of_the_key():
  fixed = FixedSequences(25, 5, 4, 4)
  same = sequences(fixed, 5, 0), sequences(fixed, 5, 0)
  assert same[0] == same[1]
  other = sequences(fixed, 5, 1)
  assert not set(same[0][0]) & {s for batch in other for s in batch}


@pytest.mark.parametrize("batch", [7, 32, 128])
@pytest.mark.parametrize(("low", "high"), [(1, 4), (2, 5), (3, 3)])
def test_lengths_fit_into_the_rows(batch, low, high):
  sampler = Sampler(SUM, batch, low, high, num_sequences=1000)
  lengths = sampler.fixed_sequences.lengths
  assert set(lengths) == set(range(low, high + 1))
  real = [(lengths > t).sum() for t in range(high)]
  assert all(n <= r for n, r in zip(real, sampler.rows(), strict=True))


def test_a_batch_has_the_images_of_its_index(images):
  sampler = Sampler(SUM, 8, 1, 4, num_sequences=40)
  key, run_key = jax.random.key(0), jax.random.key(1)
  draw = jax.jit(lambda key: sampler(key, *images, step=3, run_key=run_key))
  one, again = draw(key), draw(jax.random.key(9))
  np.testing.assert_array_equal(one.frames, again.frames)
  index = jax.jit(sampler.fixed_sequences.index, static_argnums=2)(
    run_key, 3, len(images[0])
  )
  real = np.arange(4) < np.asarray(one.lengths)[:, None]
  np.testing.assert_array_equal(
    np.asarray(one.frames)[real][:, 0, 0, 0], np.asarray(index)[real]
  )
  fresh = jax.jit(sampler)(key, *images)  # evaluation: no step
  assert (fresh.labels != one.labels).any()


@pytest.mark.parametrize("count", [1, 2, 3, 16, 17, 1000, 55_000])
def test_a_shuffle_is_a_permutation(count):
  numbers = jnp.arange(count)
  shuffled = []
  for seed in range(2):
    keys = jnp.broadcast_to(jax.random.key(seed), numbers.shape)
    counts = jnp.full(numbers.shape, count)
    shuffled.append(np.asarray(shuffle(keys, numbers, counts, count)))
    np.testing.assert_array_equal(np.sort(shuffled[-1]), numbers)
  if count >= 1000:
    assert (shuffled[0] == shuffled[1]).mean() < 0.01
    assert (shuffled[0] == np.asarray(numbers)).mean() < 0.01


def test_a_shuffle_is_not_correlated_with_the_order():
  count = 10_000
  keys = jnp.broadcast_to(jax.random.key(3), (count,))
  counts = jnp.full((count,), count)
  found = np.asarray(shuffle(keys, jnp.arange(count), counts, count))
  assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.04
  table, *_ = np.histogram2d(np.arange(count), found, bins=10)
  # Cells hold 100 each; the deviation of a cell is about 9.
  assert abs(table - 100).max() < 45


def test_shuffles_of_different_sizes_are_permutations():
  counts = jnp.repeat(jnp.array([5, 300]), jnp.array([5, 300]))
  numbers = jnp.concatenate([jnp.arange(5), jnp.arange(300)])
  keys = jnp.broadcast_to(jax.random.key(0), numbers.shape)
  found = np.asarray(shuffle(keys, numbers, counts, 300))
  np.testing.assert_array_equal(np.sort(found[:5]), np.arange(5))
  np.testing.assert_array_equal(np.sort(found[5:]), np.arange(300))
