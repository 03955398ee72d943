import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.sequences import augment
from seqsum.sequences.augment import KNOTS, Augmentation

warp = jax.jit(augment.warp)
shift = jax.jit(augment.shift, static_argnums=2)


@pytest.mark.parametrize(
  ("move", "moved"),
  [
    ((0, 0), [[1, 2, 3], [4, 5, 6], [7, 8, 9]]),
    ((1, 0), [[0, 0, 0], [1, 2, 3], [4, 5, 6]]),
    ((0, -1), [[2, 3, 0], [5, 6, 0], [8, 9, 0]]),
    ((-2, 1), [[0, 7, 8], [0, 0, 0], [0, 0, 0]]),
  ],
)
def test_shift_by_hand(move, moved):
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


def test_a_warp_by_half_a_pixel_averages_two():
  image = jnp.array([[0, 100, 200, 40]], jnp.uint8).reshape(1, 1, 4, 1)
  found = warp(image, jnp.array([[1.0, 0, 0, 1, 0, 0.5]]))
  np.testing.assert_array_equal(found.ravel(), [50, 150, 120, 20])


@pytest.mark.parametrize("turn", [-20.0, 7.0])
def test_rotation_and_scale_agree_with_scipy(bundled, turn):
  # Two passes of linear interpolation blur a little more than one.
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


def test_equal_displacements_of_all_knots_are_a_shift(bundled):
  images = jnp.asarray(bundled.train.images[:5])
  down, right = (np.full((5, KNOTS**2), x, np.float32) for x in (2.0, -1.0))
  still = np.tile(np.array([1.0, 0, 0, 1, 0, 0], np.float32), (5, 1))
  found = warp(images, jnp.concatenate([still, down, right], axis=1))
  moves = jnp.tile(jnp.array([-2, 1]), (5, 1))
  np.testing.assert_array_equal(found, shift(images, moves, 3))


def test_a_knot_moves_only_the_pixels_up_to_its_neighbours():
  pixels = 4 * (KNOTS - 1) + 1  # knots are 4 pixels apart
  ramp = jnp.tile(10.0 * jnp.arange(pixels), (pixels, 1))
  knots = np.zeros((2, KNOTS, KNOTS), np.float32)
  knots[1, 2, 2] = 1.0
  moves = jnp.array([[1.0, 0, 0, 1, 0, 0, *knots.ravel()]])
  moved = warp(ramp[None, ..., None], moves)[0, ..., 0] - ramp
  assert moved[8, 8] == pytest.approx(10, abs=1e-4)
  assert moved[8, 6] == pytest.approx(5, abs=1e-4)  # half a cosine, half way
  assert moved[6, 6] == pytest.approx(2.5, abs=1e-4)
  outside = np.array(moved).copy()
  outside[5:12, 5:12] = 0
  np.testing.assert_allclose(outside, 0, atol=1e-4)


def test_elastic_distortion_agrees_with_scipy(bundled):
  from scipy.ndimage import map_coordinates

  image = bundled.train.images[3].astype(np.float32)
  moves = Augmentation(elastic=2.0).draw(jax.random.key(5), (1,))
  found = warp(jnp.asarray(image)[None], moves)[0, ..., 0]
  down, right = np.asarray(moves[0, 6:]).reshape(2, KNOTS, KNOTS)
  place = np.linspace(0, KNOTS - 1, 28)[:, None] - np.arange(KNOTS)
  near = np.where(abs(place) < 1, (1 + np.cos(np.pi * place)) / 2, 0)
  down, right = near @ down @ near.T, near @ right @ near.T
  y, x = np.mgrid[:28, :28].astype(float)
  y += down
  # The first pass displaces columns at the source row.
  x += map_coordinates(right, [y, x], order=1, mode="nearest")
  expected = map_coordinates(image[..., 0], [y, x], order=1)
  assert abs(found - expected).mean() < 5
  assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.99


def test_distortion_does_not_change_rotation_and_scale():
  draw = lambda **more: Augmentation(shift=2, rotate=9.0, **more).draw(
    jax.random.key(0), (300,)
  )
  moves = draw(elastic=1.5)
  assert moves.shape == (300, 6 + 2 * KNOTS**2)
  np.testing.assert_array_equal(moves[:, :6], draw())
  assert abs(moves[:, 6:]).max() == pytest.approx(1.5, abs=0.01)


def test_moves_are_within_their_bounds():
  moves = Augmentation(shift=2, rotate=30.0, scale=0.25).draw(
    jax.random.key(0), (5000,)
  )
  linear = np.asarray(moves[:, :4], np.float64).reshape(-1, 2, 2)
  sizes = np.linalg.norm(linear, axis=2)  # a row for each axis
  assert sizes.min() == pytest.approx(1 / 1.25, abs=1e-3)
  assert sizes.max() == pytest.approx(1 / 0.75, abs=1e-3)
  angles = np.rad2deg(np.arctan2(linear[:, 1, 0], linear[:, 1, 1]))
  assert (angles.min(), angles.max()) == pytest.approx((-30, 30), abs=0.1)
  assert abs(moves[:, 4:]).max() == pytest.approx(2, abs=0.01)
  assert len(np.unique(moves[:, 4])) > 4000


def test_shift_alone_is_by_whole_pixels():
  moves = Augmentation(shift=1).draw(jax.random.key(0), (50, 4))
  assert moves.shape == (50, 4, 2)
  assert set(np.unique(moves)) == {-1, 0, 1}
