import jax.numpy as jnp
import numpy as np

from seqsum.sequences.addition import Addition


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


def test_random_numbers_of_thirty_digits():
  rng = np.random.default_rng(0)
  frames = rng.integers(10, size=(5, 60))
  found = Addition(30).running(jnp.asarray(frames), jnp.full(5, 60))[:, -1]
  for row, digits in zip(frames, np.asarray(found), strict=True):
    first, second = (
      int("".join(map(str, row[start::2][::-1]))) for start in (0, 1)
    )
    total = int("".join(str(int(x)) for x in digits[::-1]))
    assert total == first + second


def test_moments_are_those_of_whole_columns():
  """Half of the sums have one column: a mean of 4.5 and a carry of 0.45."""
  mean, deviation = Addition(2).moments(4, 2)
  np.testing.assert_allclose(mean, [4.5, (0.45 + 4.5) / 2, 0.25], atol=0.1)
  assert (deviation > 0).all()
  assert (
    Addition(2).mean_target(np.array([5]), 4, 4, False) == [0, 1, 1]
  ).all()
