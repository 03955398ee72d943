import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.sequences.addition import Addition, Subtraction


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
