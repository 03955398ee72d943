import collections

import jax
import numpy as np
import pytest
from short_runs import first

from seqsum.sequences import curriculum
from seqsum.sequences.addition import Addition
from seqsum.sequences.augment import Augmentation
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import PRODUCT, SUM


def draw(sampler, seed=0, images=None, **shard):
  return jax.jit(lambda k: sampler(k, *images, **shard))(jax.random.key(seed))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("task", [SUM, PRODUCT])
def test_frames_labels_and_targets_agree(images, packed, task):
  batch = draw(Sampler(task, 64, 1, 4, packed), images=images)
  assert batch.frames.shape == (64, 4, 28, 28, 1)
  assert batch.frames.dtype == np.uint8
  for frames, length, labels, targets in zip(
    *map(
      np.asarray, (batch.frames, batch.lengths, batch.labels, batch.targets)
    ),
    strict=True,
  ):
    shown = frames[:, 0, 0, 0] % 10  # every pixel of image i is i
    np.testing.assert_array_equal(shown[:length], labels[:length])
    value = task.initial
    for t in range(4):
      if t < length:
        value = task.combine(value, float(labels[t]))
      assert targets[t] == value
    assert not frames[length:].any()
    assert not labels[length:].any()


def test_a_batch_is_a_function_of_its_key(images):
  sampler = Sampler(SUM, 16)
  same = draw(sampler, 1, images), draw(sampler, 1, images)
  jax.tree.map(np.testing.assert_array_equal, *same)
  other = draw(sampler, 2, images)
  assert (other.targets != same[0].targets).any()


@pytest.mark.parametrize(
  ("batch", "low", "high"), [(128, 1, 4), (32, 1, 10), (7, 2, 5)]
)
def test_packed_lengths_are_stratified_and_sorted(batch, low, high):
  sampler = Sampler(SUM, batch, low, high)
  kinds = high - low + 1
  counts = collections.Counter()
  for seed in range(200):
    lengths = np.asarray(sampler.lengths(jax.random.key(seed)))
    assert (np.diff(lengths) <= 0).all()
    assert set(lengths) <= set(range(low, high + 1))
    shares = np.bincount(lengths, minlength=high + 1)[low:]
    assert abs(shares - batch / kinds).max() < 1
    real = [(lengths > t).sum() for t in range(high)]
    assert all(n <= r for n, r in zip(real, sampler.rows(), strict=True))
    counts.update(lengths.tolist())
  share = np.array([counts[n] for n in range(low, high + 1)]) / (200 * batch)
  np.testing.assert_allclose(share, 1 / kinds, atol=0.01)


def test_unpacked_lengths_are_uniform():
  sampler = Sampler(SUM, 40_000, 2, 5, packed=False)
  lengths = np.asarray(sampler.lengths(jax.random.key(0)))
  share = np.bincount(lengths, minlength=6) / lengths.size
  np.testing.assert_allclose(share, [0, 0, 0.25, 0.25, 0.25, 0.25], atol=0.01)


def test_rows_by_hand():
  assert Sampler(SUM, 128, 1, 4).rows() == (128, 96, 64, 32)
  assert Sampler(SUM, 128, 1, 4).rows(8) == (16, 12, 8, 4)
  assert Sampler(SUM, 12, 3, 5).rows() == (12, 12, 12, 8, 4)
  assert Sampler(SUM, 8, 2, 3, packed=False).rows() == (8, 8, 8)
  assert Sampler(SUM, 5, 1, 2).rows() == (5, 3)


def test_long_packed_sequences_have_hardly_any_padding():
  assert sum(Sampler(SUM, 1024, 1, 1024).rows()) == 1024 * 1025 // 2
  assert sum(Sampler(SUM, 128, 1, 1024).rows()) < 1.01 * 128 * 1025 / 2


def test_rows_of_whole_columns_by_hand():
  task = Addition(3)
  assert Sampler(task, 12, 2, 6).rows() == (12, 12, 8, 8, 4, 4)
  assert Sampler(task, 12, 2, 6).rows(4) == (3, 3, 2, 2, 1, 1)
  assert Sampler(task, 12, 4, 6).rows() == (12, 12, 12, 12, 6, 6)
  assert Sampler(task, 12, 6, 6).rows() == (12,) * 6


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("steps", [0, 3])
def test_additions_have_whole_columns(packed, steps):
  """Numbers of 2 to 4 digits; the curriculum begins with 1."""
  sampler = Sampler(Addition(4), 30, 4, 8, packed, curriculum_steps=steps)
  draw_lengths = jax.jit(sampler.lengths)
  for step in range(5):
    most = min(4, step + 1) if steps else 4
    counts = collections.Counter()
    for seed in range(50):
      lengths = np.asarray(draw_lengths(jax.random.key(seed), step))
      assert lengths.dtype == np.int32
      real = [(lengths > t).sum() for t in range(8)]
      assert all(n <= r for n, r in zip(real, sampler.rows(), strict=True))
      counts.update(lengths.tolist())
    expected = {2 * n for n in range(min(2, most), most + 1)}
    assert set(counts) == expected
    share = np.array([counts[n] for n in expected]) / (50 * 30)
    np.testing.assert_allclose(share, 1 / len(expected), atol=0.05)


def test_fixed_additions_have_whole_columns(images):
  sampler = Sampler(Addition(3), 3, 2, 6, num_sequences=3)
  batch = draw(sampler, images=images, step=0, run_key=jax.random.key(1))
  np.testing.assert_array_equal(batch.lengths, [6, 4, 2])
  shown = np.asarray(batch.frames)[..., 0, 0, 0]  # every pixel of image i is i
  real = np.arange(6) < np.asarray(batch.lengths)[:, None]
  assert len(set(shown[real])) == 12  # each image at most once


def test_augmentation_shifts_each_frame_independently(bundled):
  still = draw(Sampler(SUM, 64), 4, bundled.train)
  moved = draw(
    Sampler(SUM, 64, augmentation=Augmentation(shift=1)), 4, bundled.train
  )
  for name in ("lengths", "labels", "targets"):
    np.testing.assert_array_equal(getattr(still, name), getattr(moved, name))
  frames = np.pad(still.frames, ((0, 0), (0, 0), (1, 1), (1, 1), (0, 0)))
  seen = collections.Counter()
  for i, length in enumerate(np.asarray(still.lengths)):
    for t in range(length):
      found = [
        (1 - y, 1 - x)
        for y in range(3)
        for x in range(3)
        if (frames[i, t, y : y + 28, x : x + 28] == moved.frames[i, t]).all()
      ]
      assert len(found) == 1
      seen.update(found)
    assert not np.asarray(moved.frames)[i, length:].any()
  assert len(seen) == 9


@pytest.mark.parametrize("packed", first([True, False]))
@pytest.mark.parametrize(
  "changes",
  first(
    [
      {},
      {"augmentation": Augmentation(shift=2)},
      {"augmentation": Augmentation(shift=2, rotate=15.0, scale=0.1)},
      {"augmentation": Augmentation(elastic=2.0)},
      {"num_sequences": 50, "run_key": jax.random.key(1), "step": 7},
    ],
    fast=3,
  ),
)
def test_shards_are_rows_of_the_batch(images, packed, changes):
  fields = {
    k: v for k, v in changes.items() if k in ("augmentation", "num_sequences")
  }
  sampler = Sampler(SUM, 16, packed=packed, **fields)
  given = {k: v for k, v in changes.items() if k not in fields}
  batch = draw(sampler, 3, images, **given)
  # As on many devices, the index of the share is not static.
  deal = jax.jit(
    lambda key, shard: sampler(key, *images, shard=shard, shards=4, **given)
  )
  for shard in range(4):
    share = deal(jax.random.key(3), shard)
    jax.tree.map(
      lambda a, b, shard=shard: np.testing.assert_array_equal(a[shard::4], b),
      batch,
      share,
    )


def test_the_maximum_length_rises_in_equal_stages():
  found = [int(curriculum.longest(step, 9, 4)) for step in range(12)]
  assert found == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
  assert curriculum.longest(0, 9, 1) == 1


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
  ("batch", "low", "high"), [(48, 1, 4), (7, 2, 5), (32, 3, 3)]
)
def test_curriculum_lengths_are_uniform_and_fit_into_the_rows(
  batch, low, high, packed
):
  # The maximum length at step n is n + 1.
  sampler = Sampler(SUM, batch, low, high, packed, curriculum_steps=high - 1)
  draw_lengths = jax.jit(sampler.lengths)
  for longest in range(1, high + 1):
    shortest = min(low, longest)
    counts = collections.Counter()
    for seed in range(100):
      lengths = np.asarray(draw_lengths(jax.random.key(seed), longest - 1))
      assert lengths.dtype == np.int32
      real = [(lengths > t).sum() for t in range(high)]
      assert all(n <= r for n, r in zip(real, sampler.rows(), strict=True))
      counts.update(lengths.tolist())
    share = np.array([counts[n] for n in range(high + 2)]) / (100 * batch)
    expected = np.zeros(high + 2)
    expected[shortest : longest + 1] = 1 / (longest - shortest + 1)
    np.testing.assert_allclose(share, expected, atol=0.02 if packed else 0.06)


def test_frames_beyond_the_curriculum_are_blank(images):
  sampler = Sampler(SUM, 8, 2, 4, curriculum_steps=6)
  grow = jax.jit(lambda key, step: sampler(key, *images, step=step))
  for step, longest in ((0, 1), (2, 2), (5, 3), (6, 4), (None, 4)):
    batch = grow(jax.random.key(0), step)
    assert batch.frames.shape == (8, 4, 28, 28, 1)
    assert batch.lengths.max() == longest
    assert not batch.frames[:, longest:].any()
    assert not batch.labels[:, longest:].any()
  grown, plain = (
    draw(sampler, images=images),
    draw(Sampler(SUM, 8, 2), 0, images),
  )
  jax.tree.map(np.testing.assert_array_equal, grown, plain)
