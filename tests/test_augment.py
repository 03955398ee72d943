import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.augment import Moves, shift, warp


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


def test_a_warp_by_whole_pixels_is_a_shift(bundled):
  images = jnp.asarray(bundled.train.images[:9])
  moves = jnp.array([(y, x) for y in (-2, 0, 1) for x in (-1, 0, 3)])
  warps = jnp.tile(jnp.array([1.0, 0, 0, 1]), (9, 1))
  warps = jnp.concatenate([warps, -moves.astype(jnp.float32)], axis=1)
  found = warp(images, warps)
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, shift(images, moves, 3))


def test_half_a_pixel_is_the_mean_of_two():
  image = jnp.array([[0, 100, 200, 40]], jnp.uint8).reshape(1, 1, 4, 1)
  found = warp(image, jnp.array([[1.0, 0, 0, 1, 0, 0.5]]))
  np.testing.assert_array_equal(found.ravel(), [50, 150, 120, 20])


@pytest.mark.parametrize("turn", [-20.0, 7.0])
def test_turns_and_scales_are_those_of_scipy(bundled, turn):
  """Two passes of linear interpolation blur a little more than one."""
  from scipy.ndimage import affine_transform

  image = bundled.train.images[3, ..., 0].astype(np.float32)
  cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
  linear = np.array([[cos * 1.1, -sin * 1.1], [sin * 0.9, cos * 0.9]])
  offset = np.array([0.7, -1.3])
  middle = np.array([13.5, 13.5])
  expected = affine_transform(
    image, linear, middle - linear @ middle + offset, order=1
  )
  moves = jnp.array([[*linear.ravel(), *offset]])
  found = warp(image.astype(np.uint8)[None, ..., None], moves)[0, ..., 0]
  found = np.asarray(found, np.float32)
  assert abs(found - expected).mean() < 5
  assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


def test_moves_are_within_their_bounds():
  moves = Moves(shift=2, turn=30.0, scale=0.25).draw(jax.random.key(0), (5000,))
  linear = np.asarray(moves[:, :4], np.float64).reshape(-1, 2, 2)
  sizes = np.linalg.norm(linear, axis=2)  # a row for each axis
  assert sizes.min() == pytest.approx(1 / 1.25, abs=1e-3)
  assert sizes.max() == pytest.approx(1 / 0.75, abs=1e-3)
  angles = np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 1, 1]))
  assert (angles.min(), angles.max()) == pytest.approx((-30, 30), abs=0.1)
  assert abs(moves[:, 4:]).max() == pytest.approx(2, abs=0.01)
  assert len(np.unique(moves[:, 4])) > 4000


def test_without_turns_moves_are_whole_pixels():
  moves = Moves(shift=1).draw(jax.random.key(0), (50, 4))
  assert moves.shape == (50, 4, 2)
  assert set(np.unique(moves)) == {-1, 0, 1}
