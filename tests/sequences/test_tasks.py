import dataclasses
import itertools
import time

import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.runtime.errors import InputError
from seqsum.sequences.target_values import (
  distributions,
  fold_values,
  mean_target,
)
from seqsum.sequences.tasks import PRODUCT, SUM, TASKS


def test_running_sum_and_product_by_hand():
  digits = jnp.array([[3, 4, 0, 9], [9, 9, 7, 7]])
  lengths = jnp.array([4, 2])
  np.testing.assert_array_equal(
    SUM.running(digits, lengths), [[3, 7, 7, 16], [9, 18, 18, 18]]
  )
  np.testing.assert_array_equal(
    PRODUCT.running(digits, lengths), [[3, 12, 0, 0], [9, 81, 81, 81]]
  )


@pytest.mark.parametrize(
  ("name", "first", "second"),
  [
    ("max", [3, 3, 3, 8], [2, 2, 5, 9]),
    ("parity", [1, 0, 1, 1], [0, 0, 1, 0]),
    ("mod10", [3, 4, 7, 5], [2, 4, 9, 8]),
    ("threes", [1, 1, 2, 2], [0, 0, 0, 0]),
    ("sorted", [1, 0, 0, 0], [1, 1, 1, 1]),
    ("distinct", [3, 4, 4, 12], [2, 2, 7, 16]),
  ],
)
def test_other_running_folds_by_hand(name, first, second):
  digits = jnp.array([[3, 1, 3, 8], [2, 2, 5, 9]])
  found = TASKS[name].running(digits, jnp.array([4, 4]))
  np.testing.assert_array_equal(found, [first, second])
  found = TASKS[name].running(digits, jnp.array([2, 3]))
  np.testing.assert_array_equal(found[0, 1:], first[1])
  np.testing.assert_array_equal(found[1, 2:], second[2])
  assert found.dtype == jnp.float32


def test_targets_and_values_of_a_fold_that_is_observed():
  """Of `sorted`: the last digit, or 10 once one was less than before."""
  task = TASKS["sorted"]
  np.testing.assert_array_equal(fold_values(task, 1), np.arange(10))
  np.testing.assert_array_equal(fold_values(task, 2), np.arange(11))
  np.testing.assert_array_equal(task.reachable(1), [1])
  np.testing.assert_array_equal(task.reachable(4), [0, 1])
  mean, _ = task.moments(2, 2)
  assert mean == pytest.approx(55 / 100)
  found = mean_target(task, np.arange(10), 2, 2)
  assert found == pytest.approx(0.55, abs=0.01)


def test_a_set_of_digits_is_a_sum_of_bits():
  """The digit d is 2**(d - 1); a 0 is no member."""
  task = TASKS["distinct"]
  np.testing.assert_array_equal(fold_values(task, 1), [0, *2.0 ** np.arange(9)])
  np.testing.assert_array_equal(fold_values(task, 9), np.arange(512))
  np.testing.assert_array_equal(task.observe(np.array([0, 5, 511])), [0, 4, 45])


def test_a_product_of_seven_nines_is_exact():
  digits = jnp.full((1, 7), 9)
  assert PRODUCT.running(digits, jnp.array([7]))[0, -1] == 9**7


def test_reachable_values_by_hand():
  np.testing.assert_array_equal(SUM.reachable(4), np.arange(37))
  assert len(PRODUCT.reachable(2, min_len=2)) == 37
  assert len(PRODUCT.reachable(4, min_len=4)) == 226
  np.testing.assert_array_equal(PRODUCT.reachable(1), np.arange(10))


def test_distributions_of_two_digits_by_hand():
  (one, share), (values, shares) = distributions(SUM, 2)
  np.testing.assert_array_equal(one, np.arange(10))
  np.testing.assert_allclose(share, 0.1)
  ways = 10 - abs(np.arange(19) - 9)  # 1, 2, ..., 10, ..., 2, 1
  np.testing.assert_array_equal(values, np.arange(19))
  np.testing.assert_allclose(shares, ways / 100)
  *_, (values, shares) = distributions(PRODUCT, 2)
  odds = dict(zip(values, shares, strict=True))
  # 0 times anything; 2x6, 3x4 and back; 9x9.
  np.testing.assert_allclose([odds[0], odds[12], odds[81]], [0.19, 0.04, 0.01])


def test_moments_by_hand():
  """A digit has variance 8.25; a length of 1..4 has mean 2.5, variance 1.25."""
  np.testing.assert_allclose(SUM.moments(1), (4.5, np.sqrt(8.25)))
  variance = 2.5 * 8.25 + 1.25 * 4.5**2
  np.testing.assert_allclose(SUM.moments(4), (2.5 * 4.5, np.sqrt(variance)))
  # E[(xy)^2] = E[x^2]^2, and E[x^2] = 28.5.
  deviation = np.sqrt(28.5**2 - 4.5**4)
  np.testing.assert_allclose(PRODUCT.moments(2, 2), (4.5**2, deviation))
  constant = dataclasses.replace(SUM, digits=(3,))
  assert constant.moments(2, 2) == (6, 1)  # divisible by the deviation


@pytest.mark.parametrize("per_step", [False, True])
def test_mean_target_is_that_of_given_labels(per_step):
  labels = np.array([1, 1, 1, 5, 8, 2])  # of mean 3
  steps = 2 if per_step else 2.5  # of lengths 1..4; of their prefixes
  found = mean_target(SUM, labels, 4, per_step=per_step)
  np.testing.assert_allclose(found, 3 * steps)
  found = mean_target(PRODUCT, labels, 3, 2, per_step)
  # Lengths 2 and 3; per step also both first digits and the longer's second.
  exact = (3 + 3 + 9 + 9 + 27) / 5 if per_step else (9 + 27) / 2
  np.testing.assert_allclose(found, exact, rtol=0.03)
  far = mean_target(SUM, np.arange(10), 1_000, 1_000)
  np.testing.assert_allclose(far, 4_500)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
@pytest.mark.parametrize("per_step", [False, True])
def test_moments_equal_those_of_all_sequences(task, per_step):
  targets, weights = [], []
  for length in (2, 3):
    for digits in itertools.product(range(10), repeat=length):
      value = task.initial
      for step, digit in enumerate(digits, 1):
        value = task.combine(value, digit)
        if per_step or step == length:
          targets.append(task.observe(value))
          weights.append(10.0**-length)
  mean = np.average(targets, weights=weights)
  variance = np.average((np.array(targets) - mean) ** 2, weights=weights)
  np.testing.assert_allclose(
    task.moments(3, 2, per_step), (mean, np.sqrt(variance))
  )


def test_too_many_values_are_refused():
  with pytest.raises(InputError, match=r"max_len=100: the product of \d\d "):
    PRODUCT.reachable(100)


def test_a_task_on_some_of_the_digits_by_hand():
  task = dataclasses.replace(PRODUCT, digits=tuple(range(1, 10)))
  np.testing.assert_array_equal(task.reachable(1), np.arange(1, 10))
  assert 0 not in task.reachable(3)
  np.testing.assert_allclose(task.moments(1), (5.0, np.sqrt(60 / 9)))
  np.testing.assert_array_equal(SUM.reachable(1, min_len=0), np.arange(10))


def test_values_that_take_minutes_to_count_are_refused_quickly():
  began = time.process_time()
  with pytest.raises(InputError, match="max_len=65536: counting the values"):
    SUM.reachable(65_536)
  assert time.process_time() - began < 30
  np.testing.assert_array_equal(SUM.reachable(300), np.arange(2_701))
