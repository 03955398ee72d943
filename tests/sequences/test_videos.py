import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.sequences import scenes as scene
from seqsum.sequences.scenes import NOTHING, distinct_sum, importance
from seqsum.sequences.videos import VideoSampler

SHOWN = np.array([[4, 4, NOTHING, 2, 4, NOTHING, 0, 2]])


def test_targets_by_hand():
  np.testing.assert_allclose(distinct_sum(SHOWN), [[4, 4, 4, 6, 6, 6, 6, 6]])
  a, b = 4 / 3, 2 / 2
  np.testing.assert_allclose(
    importance(SHOWN), [[a, a, 0, b, a, 0, 0, b]], rtol=1e-6
  )


def test_frames_without_digits_have_zero_targets():
  nothing = np.full((1, 3), NOTHING)
  assert not distinct_sum(nothing).any()
  assert not importance(nothing).any()


@pytest.fixture(scope="module")
def white():
  """An image of each digit; all its pixels are 100 + digit."""
  labels = np.arange(10, dtype=np.int32)
  images = np.zeros((10, 28, 28, 1), np.uint8) + 100
  return images + labels[:, None, None, None].astype(np.uint8), labels


def draw(sampler, images, labels, key=0):
  return jax.jit(lambda key: sampler(key, images, labels))(jax.random.key(key))


def test_frames_and_targets_agree(white):
  sampler = VideoSampler(8, time=12, windows=3, side=40)
  batch = draw(sampler, *white)
  assert batch.frames.shape == (8, 12, 40, 40, 1)
  assert batch.frames.dtype == jnp.uint8
  assert (np.asarray(batch.lengths) == 12).all()
  shown = np.full((8, 12), NOTHING)
  noisy = 0
  for video, time in np.ndindex(8, 12):
    frame = np.asarray(batch.frames[video, time, ..., 0])
    inside = (frame >= 100) & (frame <= 109)
    if frame.any() and inside.sum() == 28 * 28 and not frame[~inside].any():
      rows, columns = np.nonzero(inside)
      assert np.ptp(rows) == np.ptp(columns) == 27  # a whole digit
      shown[video, time] = frame[inside][0] - 100
    elif frame.any():
      noisy += 1
      assert len(np.unique(frame)) > 200
  assert noisy > 10
  assert (shown == NOTHING).sum() - noisy > 10  # blank
  np.testing.assert_allclose(batch.targets[..., 0], distinct_sum(shown))
  np.testing.assert_allclose(batch.targets[..., 1], importance(shown))


def test_digits_move_between_frames(white):
  images, labels = white
  batch = draw(VideoSampler(16, time=6, windows=1, side=40), images, labels)
  corners = [
    {
      tuple(np.argwhere(frame)[0])
      for frame, worth in zip(video, worths, strict=True)
      if worth > 0
    }
    for video, worths in zip(
      np.asarray(batch.frames), np.asarray(batch.targets[..., 1]), strict=True
    )
  ]
  assert sum(len(places) > 1 for places in corners) > 8


def test_shards_are_rows_of_the_batch(white):
  sampler = VideoSampler(8, time=6, windows=2, side=28)
  batch = draw(sampler, *white, key=1)
  deal = jax.jit(lambda key, shard: sampler(key, *white, shard=shard, shards=4))
  shares = [deal(jax.random.key(1), i) for i in range(4)]
  for name in ("frames", "targets", "lengths"):
    dealt = np.stack([getattr(share, name) for share in shares], axis=1)
    expected = getattr(batch, name)
    np.testing.assert_array_equal(dealt.reshape(expected.shape), expected)


@pytest.mark.slow
def test_moments_equal_those_of_drawn_targets(white):
  sampler = VideoSampler(2_000, time=24, windows=4, side=28)

  @jax.jit
  def draw_targets(key):
    scenes = scene.draw_scenes(key, 2_000, 4, 6, 10)
    return sampler.task.targets(scenes.digits(white[1]))

  targets = draw_targets(jax.random.key(7))
  mean, deviation = sampler.task.moments()
  np.testing.assert_allclose(targets.mean(axis=(0, 1)), mean, rtol=0.05)
  np.testing.assert_allclose(targets.std(axis=(0, 1)), deviation, rtol=0.05)
  alone = VideoSampler(4, with_importance=False)
  assert alone.task.size == 0
  np.testing.assert_allclose(alone.task.moments()[0], mean[0])
  assert draw(alone, *white).targets.shape == (4, 24)
