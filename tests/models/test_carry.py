"""Addition with a latent carry, against all combinations of digits."""

import itertools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.models import carry
from seqsum.sequences.addition import Addition, Subtraction


def random_digits(batch, time, scale=3.0):
  logits = jax.random.normal(jax.random.key(time), (batch, time, 10))
  return jax.nn.log_softmax(scale * logits)


def by_enumeration(digits, time, kind):
  """{digits of the sum: probability} of one sequence of `time` real frames."""
  found = {}
  task = kind(digits.shape[0] // 2)
  combinations = np.array(list(itertools.product(range(10), repeat=time)))
  frames = np.zeros((len(combinations), digits.shape[0]), int)
  frames[:, :time] = combinations
  sums = task.running(jnp.asarray(frames), jnp.full(len(frames), time))[:, -1]
  weights = np.exp(
    sum(np.asarray(digits)[t, combinations[:, t]] for t in range(time))
  )
  for total, weight in zip(np.asarray(sums), weights, strict=True):
    key = tuple(total.astype(int))
    found[key] = found.get(key, 0.0) + float(weight)
  return found


@pytest.mark.parametrize("kind", [Addition, Subtraction])
@pytest.mark.parametrize(
  "time",
  [3, *(pytest.param(time, marks=pytest.mark.slow) for time in (1, 2, 4))],
)
def test_the_likelihood_is_that_of_all_combinations(time, kind):
  digits = random_digits(1, 4)
  expected = by_enumeration(digits[0], time, kind)
  assert sum(expected.values()) == pytest.approx(1, abs=1e-5)
  sums = jnp.array(list(expected), jnp.float32)
  many = jnp.broadcast_to(digits, (len(sums), *digits.shape[1:]))
  lengths = jnp.full(len(sums), time)
  found = carry.log_likelihood(many, sums, lengths, kind.subtracts)
  np.testing.assert_allclose(
    np.exp(found), list(expected.values()), rtol=1e-4, atol=1e-9
  )


def test_a_sum_of_known_digits_is_certain():
  digits = jnp.log(jax.nn.one_hot(jnp.array([[7, 5, 4, 8]]), 10) + 1e-30)
  likely = carry.log_likelihood(digits, jnp.array([[2, 3, 1]]), jnp.array([4]))
  np.testing.assert_allclose(likely, 0, atol=1e-5)
  wrong = carry.log_likelihood(digits, jnp.array([[2, 3, 0]]), jnp.array([4]))
  assert wrong < -60


@pytest.mark.slow
def test_long_sums_have_finite_gradients():
  digits = random_digits(2, 1000, scale=1.0)
  frames = jnp.full((2, 1000), 4)
  lengths = jnp.array([1000, 1000])
  sums = Addition(500).running(frames, lengths)[:, -1]
  loss = lambda x: (
    -carry.log_likelihood(jax.nn.log_softmax(x), sums, lengths).sum()
  )
  value, gradient = jax.value_and_grad(loss)(digits)
  assert np.isfinite(value)
  assert np.isfinite(gradient).all()
  assert (np.abs(gradient).max(axis=(0, 2)) > 0).all()  # every frame learns


@pytest.mark.parametrize("kind", [Addition, Subtraction])
def test_shifting_every_digit_by_a_code_changes_only_carries(kind):
  """5 + 5 is 10: the last digit of every column stays. Differences keep it
  under all shifts. The carry tells the code."""
  logits = jax.random.normal(jax.random.key(0), (1, 2, 10))
  digits = jax.nn.log_softmax(logits)

  def last_and_carry(shift):
    shifted = jnp.roll(digits, shift, axis=-1)
    totals = carry.column_totals(shifted, jnp.array([2]), 1, kind.subtracts)
    totals = jnp.append(totals[0, 0], carry.LOWEST).reshape(2, 10)
    return (jax.nn.logsumexp(totals, axis=axis) for axis in (0, 1))

  plain_last, plain_carry = last_and_carry(0)
  for shift in range(1, 10):
    last, next_carry = last_and_carry(shift)
    is_equal = np.allclose(last, plain_last, atol=1e-5)
    assert is_equal == (shift in kind.shifts), shift
    assert not np.allclose(next_carry, plain_carry, atol=1e-3)


def test_waves_express_all_logits_and_the_lowest_is_the_largest():
  waves = carry.waves().astype(np.float64)
  logits = np.random.default_rng(0).normal(size=10)
  coefficients, *_ = np.linalg.lstsq(waves.T, logits - logits.mean())
  np.testing.assert_allclose(
    coefficients @ waves, logits - logits.mean(), atol=1e-6
  )
  digits = np.arange(10)
  np.testing.assert_allclose(waves[0], np.cos(2 * np.pi * digits / 10))
  np.testing.assert_allclose(waves[1], np.sin(2 * np.pi * digits / 10))
  assert np.abs(waves[2:]).max() == pytest.approx(carry.HIGHER)


def test_digits_are_read_under_the_likelier_code():
  core = carry.CarryCore(Addition(1))
  angle = 2 * np.pi * 3 / 10
  outputs = np.zeros((2, core.outputs), np.float32)
  outputs[:, :2] = 20 * np.cos(angle), 20 * np.sin(angle)
  outputs[1, -1] = 1.0  # class k is the digit k + 5
  np.testing.assert_array_equal(core.digits(core.inputs(outputs)), [3, 8])
  core = carry.CarryCore(Subtraction(1))
  outputs = np.tile(outputs[:1], (10, 1))
  outputs = np.append(outputs, np.zeros((10, 8), np.float32), axis=1)
  outputs[:, carry.WAVES :] = np.eye(10)
  found = core.digits(core.inputs(outputs))
  np.testing.assert_array_equal(found, (3 + np.arange(10)) % 10)


def test_a_mixture_of_two_digits_is_a_local_optimum_of_the_last_digit():
  """The fault that `CarryCore` avoids by learning the lowest wave first."""

  def likelihood(weights):  # of a + b; the digit is a + shift mod 10
    found = np.zeros(10)
    np.add.at(
      found, np.add.outer(range(10), range(10)) % 10, np.outer(*weights)
    )
    return found[0]

  mixture = np.eye(10)[[2, 8]].mean(axis=0)
  best = likelihood([mixture, mixture])
  assert best == pytest.approx(0.5)
  for shift in range(10):
    if shift not in (2, 8):
      moved = 0.99 * mixture + 0.01 * np.eye(10)[shift]
      assert likelihood([moved, moved]) < best


@pytest.mark.slow
def test_probabilities_of_sums_are_those_of_the_codes():
  core = carry.CarryCore(Addition(1))
  inputs = core.inputs(jax.random.normal(jax.random.key(1), (1, 2, 11)))
  code = np.exp(nn.log_softmax(inputs[0, :, 10:].mean(axis=0)))
  expected = {}
  for k, share in enumerate(code):
    digits = jnp.roll(inputs[..., :10], 5 * k, axis=-1)[0]
    for total, probability in by_enumeration(digits, 2, Addition).items():
      expected[total] = expected.get(total, 0.0) + share * probability
  sums = jnp.array(list(expected), jnp.float32)
  many = jnp.broadcast_to(inputs, (len(sums), *inputs.shape[1:]))
  found = np.exp(core.log_probability(many, sums))
  np.testing.assert_allclose(found, list(expected.values()), rtol=1e-4)
  assert found.sum() == pytest.approx(1, abs=1e-5)


def test_probabilities_of_digits_are_shifted_by_the_code():
  core = carry.CarryCore(Addition(1))
  inputs = core.inputs(jax.random.normal(jax.random.key(1), (2, 11)))
  found = core.probabilities(inputs)
  np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
  classes, code = np.exp(inputs[:, :10]), np.exp(inputs[:, 10:])
  seven = code[:, 0] * classes[:, 7] + code[:, 1] * classes[:, 2]
  np.testing.assert_allclose(found[:, 7], seven, rtol=1e-5)
