import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.augment import shift


@pytest.mark.parametrize(
  ("move", "moved"),
  [
    ((0, 0), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
    ((1, 0), [[0, 0, 0], [1, 2, 3], [4, 5, 6]]),
    ((0, -1), [[2, 3, 0], [5, 6, 0], [8, 9, 0]]),
    ((-2, 1), [[0, 7, 8], [0, 0, 0], [0, 0, 0]]),
  ],
)
def test_an_image_moves_down_and_to_the_right(move, moved):
  image = jnp.arange(1, 10, dtype=jnp.uint8).reshape(1, 3, 3, 1)
  found = shift(image, jnp.array([move]), 2)
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found[0, ..., 0], moved)


def test_each_image_has_its_own_move():
  images = jnp.ones((2, 4, 4, 3)) * jnp.arange(4)[None, None, :, None]
  still, right = shift(images, jnp.array([[0, 0], [0, 1]]), 1)
  np.testing.assert_array_equal(still, images[0])
  np.testing.assert_array_equal(right[:, 1:], images[1, :, :-1])
