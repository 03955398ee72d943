"""Long sums by fast convolution, against the scan and against float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.models import long_sum
from seqsum.models.distribution import build_support
from seqsum.sequences.tasks import SUM

TIME = 44
LENGTHS = np.array([44, 33, 1])


def make(sharp, time=TIME, rows=3):
  logits = sharp * jax.random.normal(jax.random.key(0), (rows, time, 10))
  return jax.nn.log_softmax(logits)


@jax.jit
def scan(digits, lengths):
  """[B, K], the reference: the carry at each sequence's last real step."""
  support = build_support(SUM, digits.shape[1])

  def step(carry, inputs):
    digit, is_real = inputs
    moved = support.move(carry, digit)
    return jnp.where(is_real[:, None], moved, carry), None

  real = np.arange(digits.shape[1])[:, None] < lengths[None, :]
  start = support.delta(len(digits))
  return jax.lax.scan(step, start, (digits.swapaxes(0, 1), real))[0]


read = jax.jit(lambda digits: long_sum.read(digits, SUM.digits, LENGTHS))
means, modes = jax.jit(long_sum.means), jax.jit(long_sum.modes)


@jax.jit
@functools.partial(jax.value_and_grad, has_aux=True)
def fast(digits, target):
  found = long_sum.log_likelihood(read(digits), target)
  return found.sum(), found


@jax.jit
@functools.partial(jax.value_and_grad, has_aux=True)
def slow(digits, target):
  scanned = scan(digits, LENGTHS)
  place = target.astype(jnp.int32)[:, None]
  found = jnp.take_along_axis(scanned, place, axis=1)[:, 0]
  return found.sum(), found


@pytest.mark.parametrize("sharp", [0.1, 3.0, 12.0])
@pytest.mark.parametrize("deviations", [0.0, 3.0, -8.0])
def test_likelihood_and_gradient_equal_those_of_the_scan(sharp, deviations):
  digits = make(sharp)
  middle = means(read(digits))
  target = np.round(middle + deviations * np.sqrt(8.25 * LENGTHS))
  target = np.clip(target, 0, 9 * LENGTHS).astype(np.float32)
  (_, value), gradient = fast(digits, target)
  (_, expected), other = slow(digits, target)
  np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(gradient, other, atol=2e-3)
  assert not np.asarray(gradient)[1, 33:].any()


@pytest.mark.parametrize("sharp", [0.1, 3.0, 12.0])
def test_mode_and_mean_equal_those_of_the_scan(sharp):
  digits = make(sharp)
  scanned = np.exp(np.asarray(scan(digits, LENGTHS), np.float64))
  np.testing.assert_array_equal(modes(read(digits)), scanned.argmax(1))
  mean = scanned @ np.arange(scanned.shape[1])
  np.testing.assert_allclose(means(read(digits)), mean, rtol=1e-4)


def test_the_distribution_of_1024_digits_equals_float64():
  digits = make(3.0, time=1024, rows=1)
  expected = np.ones(1)
  for shares in np.exp(np.asarray(digits[0], np.float64)):
    expected = np.convolve(expected, shares)
  found = jax.jit(long_sum.distribution)(digits)[0]
  np.testing.assert_allclose(found, expected, atol=3e-5 * expected.max())
  # Some of these probabilities underflow in float32.
  most_likely = expected.argmax()
  log_likelihood = jax.jit(long_sum.log_likelihood)
  for place in most_likely + np.array([-1500, -400, 0, 37, 900]):
    value = log_likelihood(digits, jnp.array([float(place)]))
    np.testing.assert_allclose(value, np.log(expected[place]), rtol=1e-4)


def test_impossible_sums_have_a_small_finite_likelihood():
  """All frames are predicted to be even, and the sums are odd."""
  logits = jnp.full((3, TIME, 10), -60.0).at[..., ::2].set(0.0)
  digits = jax.nn.log_softmax(logits)
  (_, value), gradient = fast(digits, jnp.array([101.0, 101.0, 5.0]))
  assert (value < -15).all()
  assert np.isfinite(gradient).all()


def test_smallest_and_largest_sums_have_exact_likelihoods():
  digits = make(1.0)
  (_, found), _ = fast(digits, jnp.array([0.0, 9.0 * 33, 9.0]))
  expected = [digits[0, :, 0].sum(), digits[1, :33, 9].sum(), digits[2, 0, 9]]
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_padding_is_ignored():
  noisy = make(3.0).at[1, 33:].set(7.0)
  np.testing.assert_array_equal(
    long_sum.read(noisy, SUM.digits, LENGTHS),
    long_sum.read(make(3.0), SUM.digits, LENGTHS),
  )
