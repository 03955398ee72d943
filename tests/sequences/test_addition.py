import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.models.carry import log_likelihood
from seqsum.sequences.addition import (
  Addition,
  Subtraction,
  column_order,
  find_carries,
)


def test_47_plus_85_by_hand():
  """Frames 7, 5, 4, 8: 7, then 12, then 52, then 132."""
  found = Addition(2).running(jnp.array([[7, 5, 4, 8]]), jnp.array([4]))
  np.testing.assert_array_equal(
    found, [[[7, 0, 0], [2, 1, 0], [2, 5, 0], [2, 3, 1]]]
  )


def test_carries_run_through_all_columns():
  frames = jnp.array([[9, 1, 9, 0, 9, 0, 9, 0]])  # 9999 + 1
  found = Addition(4).running(frames, jnp.array([8]))
  np.testing.assert_array_equal(found[0, -1], [0, 0, 0, 0, 1])


def test_padding_repeats_the_final_sum():
  frames = jnp.array([[7, 5, 4, 8]])
  found = Addition(2).running(frames, jnp.array([2]))
  np.testing.assert_array_equal(
    found, [[[7, 0, 0], [2, 1, 0], [2, 1, 0], [2, 1, 0]]]
  )


@pytest.mark.parametrize("task", [Addition(30), Subtraction(30)])
def test_random_numbers_of_thirty_digits(task):
  rng = np.random.default_rng(0)
  frames = rng.integers(10, size=(5, 60))
  frames[0, 1::2] = frames[0, ::2]  # equal numbers
  found = task.running(jnp.asarray(frames), jnp.full(5, 60))[:, -1]
  for row, digits in zip(frames, np.asarray(found), strict=True):
    first, second = (
      int("".join(map(str, row[start::2][::-1]))) for start in (0, 1)
    )
    total = int("".join(str(int(x)) for x in digits[::-1]))
    if task.subtracts:
      assert total == 10**30 + first - second
    else:
      assert total == first + second


def test_two_written_numbers_are_put_into_columns():
  order = column_order(2)
  assert np.array([4, 7, 8, 5])[order].tolist() == [7, 5, 4, 8]
  written = np.array([1, 2, 3, 4, 5, 6])
  ordered = written[column_order(3)]
  assert ordered.tolist() == [3, 6, 2, 5, 1, 4]
  np.testing.assert_array_equal(ordered[np.argsort(column_order(3))], written)


def test_carries_by_hand():
  assert find_carries(np.array([7, 5, 4, 8])).tolist() == [0, 1, 1]  # 47 + 85
  frames = np.array([[9, 1, 9, 0], [1, 2, 3, 4]])  # 99 + 1, 31 + 42
  assert find_carries(frames).tolist() == [[0, 1, 1], [0, 0, 0]]


def test_carries_are_what_the_sum_adds_to_its_columns():
  frames = np.random.default_rng(0).integers(10, size=(5, 12))
  sums = Addition(6).running(jnp.asarray(frames), jnp.full(5, 12))[:, -1]
  carries = find_carries(frames)
  totals = frames.reshape(5, 6, 2).sum(-1) + carries[:, :-1]
  np.testing.assert_array_equal(totals % 10, sums[:, :-1])
  np.testing.assert_array_equal(carries[:, -1], sums[:, -1])


def test_more_frames_have_more_columns():
  assert Addition(2).with_room_for(4) == Addition(2)
  assert Addition(2).with_room_for(3) == Addition(2)
  assert Addition(2).with_room_for(5).columns == 3


def test_frames_beyond_the_columns_are_refused():
  digits = jnp.zeros((1, 4), int)
  with pytest.raises(ValueError, match="4 frames need more than 1 columns"):
    Addition(1).running(digits, jnp.array([4]))
  with pytest.raises(ValueError, match="4 frames need more than 1 columns"):
    log_likelihood(jnp.zeros((1, 4, 10)), jnp.zeros((1, 2)), jnp.array([4]))


def test_moments_are_those_of_whole_columns():
  """Half of the sums have one column: a mean of 4.5 and a carry of 0.45."""
  mean, deviation = Addition(2).moments(4, 2)
  np.testing.assert_allclose(mean, [4.5, (0.45 + 4.5) / 2, 0.25], atol=0.1)
  assert (deviation > 0).all()
  assert (
    Addition(2).mean_target(np.array([5]), 4, 4, False) == [0, 1, 1]
  ).all()


def test_47_minus_85_by_hand():
  """Frames 7, 5, 4, 8: 7, then 2, then 42, then -38, which is 62 - 100."""
  task = Subtraction(2)
  frames, lengths = jnp.array([[7, 5, 4, 8]] * 2), jnp.array([4, 1])
  found = task.running(frames, lengths)
  np.testing.assert_array_equal(
    found[0], [[7, 0, 1], [2, 0, 1], [2, 4, 1], [2, 6, 0]]
  )
  np.testing.assert_array_equal(found[1], [[7, 0, 1]] * 4)
  assert task.name == "subtraction"


def test_borrows_run_through_all_columns():
  frames = jnp.array([[0, 1, 0, 0, 0, 0]])  # 0 - 1 is 999 - 1000
  found = Subtraction(3).running(frames, jnp.array([6]))
  np.testing.assert_array_equal(found[0, -1], [9, 9, 9, 0])
