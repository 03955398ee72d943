import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_runs import first

from seqsum.models.distribution import LOWEST, build_support
from seqsum.sequences.tasks import PRODUCT, SUM, TASKS, Task

LARGEST = Task("largest", 0.0, np.maximum)
MOD3 = Task("mod 3", 0.0, lambda value, digit: (value + digit) % 3)


def logs(*frames):
  """Digit -> probability for each frame -> [1, T, 10] log-probabilities."""
  p = np.zeros((1, len(frames), 10), np.float32)
  for t, frame in enumerate(frames):
    for digit, share in frame.items():
      p[0, t, digit] = share
  with np.errstate(divide="ignore"):
    return jnp.asarray(np.maximum(np.log(p), LOWEST))


def fold(task, digits):
  """[B, T, D] -> the support and its log-probabilities after each step."""
  support = build_support(task, digits.shape[1])
  carry, steps = support.delta(len(digits)), []
  move = jax.jit(support.move)
  for t in range(digits.shape[1]):
    carry = move(carry, digits[:, t])
    steps.append(carry)
  return support, steps


def likely(support, logarithms):
  shares = np.exp(np.asarray(logarithms[0], np.float64))
  return {
    float(value): pytest.approx(share, rel=1e-5)
    for value, share in zip(support.values, shares, strict=True)
    if share > 1e-9
  }


TWO = {3: 0.75, 4: 0.25}, {1: 0.6, 2: 0.4}


def test_the_sum_of_two_frames_by_hand():
  support, (first, second) = fold(SUM, logs(*TWO))
  np.testing.assert_array_equal(support.values, np.arange(19))
  assert likely(support, first) == {3: 0.75, 4: 0.25}
  assert likely(support, second) == {
    4: 0.75 * 0.6,
    5: 0.75 * 0.4 + 0.25 * 0.6,
    6: 0.25 * 0.4,
  }


def test_the_product_of_two_frames_by_hand():
  support, (_, second) = fold(PRODUCT, logs(*TWO))
  assert len(support.values) == 37
  assert likely(support, second) == {3: 0.45, 6: 0.30, 4: 0.15, 8: 0.10}


def test_zero_times_anything_by_hand():
  frames = {0: 0.5, 2: 0.5}, {0: 0.2, 3: 0.8}, {0: 0.1, 1: 0.9}
  support, (_, second, third) = fold(PRODUCT, logs(*frames))
  assert likely(support, second) == {0: 0.5 + 0.5 * 0.2, 6: 0.4}
  assert likely(support, third) == {0: 0.6 + 0.4 * 0.1, 6: 0.36}


@pytest.mark.parametrize(
  "task", first([SUM, PRODUCT, LARGEST, MOD3, TASKS["distinct"]], 4)
)
def test_a_fold_equals_the_sum_over_all_sequences(task):
  """All thousand sequences of three digits, each with its probability."""
  digits = jax.nn.log_softmax(jax.random.normal(jax.random.key(0), (1, 3, 10)))
  support, steps = fold(task, digits)
  shares = np.exp(np.asarray(digits[0], np.float64))
  expected = np.zeros(len(support.values))
  for sequence in itertools.product(range(10), repeat=3):
    value = task.initial
    for digit in sequence:
      value = task.combine(value, float(digit))
    place = np.searchsorted(support.values, value)
    expected[place] += np.prod(shares[range(3), list(sequence)])
  np.testing.assert_allclose(np.exp(steps[-1][0]), expected, atol=1e-6)


def test_distinct_digits_by_hand():
  """Sets are sums of bits: {} is 0, {1} is 1, {2} is 2, {1, 2} is 3."""
  frames = {0: 0.5, 2: 0.5}, {1: 0.2, 2: 0.8}, {0: 0.1, 1: 0.9}
  support, (_, second, third, *_) = fold(
    TASKS["distinct"], logs(*frames, *6 * [{0: 1}])
  )
  assert support.is_union
  assert likely(support, second) == {1: 0.1, 2: 0.4 + 0.4, 3: 0.1}
  assert likely(support, third) == {1: 0.1, 2: 0.08, 3: 0.1 + 0.72}


@pytest.mark.parametrize("digits", first([[0, 2, 7], [*range(10)]]))
def test_a_set_gains_a_member_as_by_the_table(digits):
  task = dataclasses.replace(TASKS["distinct"], digits=tuple(digits))
  support = build_support(task, 9)
  assert support.is_union
  keys = jax.random.split(jax.random.key(0))
  sets = jax.random.normal(keys[0], (3, len(support.values)))
  digit = jax.nn.log_softmax(4 * jax.random.normal(keys[1], (3, len(digits))))
  each = np.exp(np.asarray(sets[:, None] + digit[..., None], np.float64))
  expected = np.zeros((3, len(support.values)))
  for n, after in enumerate(support.after):
    for row in range(3):
      np.add.at(expected[row], after, each[row, n])
  found = jax.jit(support.move)(sets, digit)
  np.testing.assert_allclose(found, np.log(expected), atol=1e-5)


def test_a_task_on_some_of_the_digits_by_hand():
  task = Task("sum", 0.0, SUM.combine, digits=(1, 5))
  support, (_, second) = fold(task, jnp.log(jnp.array([[[0.5, 0.5]] * 2])))
  np.testing.assert_array_equal(support.values, [0, 1, 2, 5, 6, 10])
  assert likely(support, second) == {2: 0.25, 6: 0.5, 10: 0.25}


def test_long_products_are_distinct_up_to_float32():
  support = build_support(
    Task("product", 1.0, PRODUCT.combine, tuple(range(1, 10))), 20
  )
  assert np.all(np.diff(support.values) > 0)
  place = support.start
  for _ in range(20):
    place = support.after[8, place]
  assert support.values[place] == np.float32(9.0**20)
  assert support.after[1, place] == len(support.values)


def test_tiny_probabilities_have_gradients():
  """Thirty frames are predicted to be 0, but the label says all 9."""
  digits = jnp.full((1, 30, 10), -50.0).at[..., 0].set(0.0)

  def likelihood(logits):
    _, steps = fold(SUM, jax.nn.log_softmax(logits))
    return steps[-1][0, 270]

  value, gradient = jax.jit(jax.value_and_grad(likelihood))(digits)
  np.testing.assert_allclose(value, -50.0 * 30, rtol=1e-5)
  np.testing.assert_allclose(gradient[0, :, 9], 1, atol=1e-5)
  np.testing.assert_allclose(gradient[0, :, 0], -1, atol=1e-5)
  assert np.isfinite(gradient).all()
