"""Facts about sequences from files, and the shares of their batches."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from configs import sum_tiny
from seqsum.runtime.errors import InputError
from seqsum.sequences.augment import Augmentation
from seqsum.sequences.recorded import RecordedSampler, SequenceSpec, describe
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.experiment import build_experiment, build_objective

SHAPE = (2, 3, 1)
LENGTHS = np.array([2, 1, 3], np.int32)
TRAIN = np.array([0, 1])


def make_spec(targets, train=TRAIN):
  return describe(SHAPE, False, LENGTHS, np.array(targets, np.float32), train)


def test_whole_numbers_by_hand():
  """The training targets are 1, 3 and 8; the others are held out or padding."""
  spec = make_spec([[1, 3, 77], [8, 77, 77], [0.5, 99, -5]])
  assert spec.shape == SHAPE
  assert (spec.longest, spec.shortest, spec.size) == (3, 1, 0)
  assert spec.tolerance == ROUNDING
  assert spec.least == 1
  assert spec.values == (1, 3, 8)
  mean, deviation = spec.moments()
  assert mean.shape == deviation.shape == ()
  assert mean == 4
  assert deviation == pytest.approx(np.sqrt((9 + 1 + 16) / 3))
  np.testing.assert_array_equal(spec.reachable(3), [1, 3, 8])


def test_the_tolerance_of_other_numbers_is_a_tenth_of_their_deviation():
  spec = make_spec([[0, 0, 0], [1.5, 0, 0], [9, 9, 9]], np.array([0, 1]))
  assert spec.deviation == (pytest.approx(1.5 * np.sqrt(2) / 3),)
  assert spec.tolerance == pytest.approx(0.15 * np.sqrt(2) / 3)
  assert spec.values == (0, 1.5)


def test_numbers_that_float32_rounds_do_not_count_as_whole():
  spec = make_spec([[2e7 + 0.5, 0, 0], [4e7 + 0.5, 0, 0], [0, 0, 0]])
  assert spec.tolerance == pytest.approx(np.std([2e7, 0, 4e7]) / 10)
  assert (
    make_spec([[2**24 - 1, 0, 0], [5, 0, 0], [0, 0, 0]]).tolerance == ROUNDING
  )


def test_vectors_by_hand():
  spec = make_spec(
    [[[1, 5], [3, 5], [0, 0]], [[2, 5], [0, 0], [0, 0]], [[9, 9]] * 3]
  )
  assert spec.size == 2
  assert spec.tolerance == ROUNDING
  assert spec.values == ()
  mean, deviation = spec.moments()
  np.testing.assert_allclose(mean, [2, 5])
  np.testing.assert_allclose(spec.deviation, [np.sqrt(2 / 3), 0])
  np.testing.assert_allclose(deviation, [np.sqrt(2 / 3), 1])  # none is 0
  part = make_spec([[[0, 0.5]] * 3, [[2, 0.5]] * 3, [[9, 9]] * 3])
  deviations = np.array([np.std([0, 0, 2]), 0])
  assert part.tolerance == pytest.approx(deviations.mean() / 10)


def test_a_spec_survives_json():
  for targets in ([[1, 3, 0], [8, 0, 0], [0, 9, 5]], [[[0.1, 2]] * 3] * 3):
    spec = make_spec(targets)
    record = json.loads(json.dumps(spec.as_json()))
    assert SequenceSpec.of_json(record) == spec
    assert SequenceSpec.of_json(record | {"more": 1}) == spec
    del record["mean"]
    with pytest.raises(KeyError):
      SequenceSpec.of_json(record)


def experiment(spec, **flags):
  config = sum_tiny.get_config()
  config.data.kind, config.data.name = "files", "npz:mine.npz"
  config.sequence.shift = 0
  config.model.conv.kernels, config.model.conv.strides = (1, 1), (1, 1)
  for name, value in flags.items():
    path = name.split("__")
    node = config
    for key in path[:-1]:
      node = node[key]
    node[path[-1]] = value
  return build_experiment(ConfigDict(config), spec)


NUMBERS = make_spec([[1, 3, 0], [8, 0, 0], [0, 9, 5]])
VECTORS = make_spec([[[0.5, -2]] * 3, [[1.5, 4]] * 3, [[0, 0]] * 3])


@pytest.mark.parametrize(
  ("spec", "flags", "words"),
  [
    (VECTORS, {"loss": "cross_entropy"}, "cross_entropy'.* plain numbers"),
    (
      VECTORS,
      {"task__target": "log"},
      "not -2; use 'standard'",
    ),
    (NUMBERS, {"model__core": "fold"}, "core='fold'"),
    (
      NUMBERS,
      {"sequence__curriculum": 0.5},
      "curriculum=0.5: needs config.data.kind='digits'",
    ),
    (
      NUMBERS,
      {"sequence__num_sequences": 8},
      "num_sequences=8: needs",
    ),
    (NUMBERS, {"sequence__shift": 2}, "shift=2: must be below the frame's 2"),
  ],
)
def test_incompatible_options_raise_one_line(spec, flags, words):
  with pytest.raises(InputError, match=words) as caught:
    experiment(spec, **flags)
  assert "\n" not in str(caught.value)


def test_cross_entropy_has_at_most_a_thousand_classes():
  count = 1001
  lengths = np.ones(count, np.int32)
  targets = np.arange(count, dtype=np.float32)[:, None]
  spec = describe(SHAPE, False, lengths, targets, np.arange(count))
  with pytest.raises(InputError, match="at most 1,000 different values"):
    experiment(spec, loss="cross_entropy")
  spec = describe(SHAPE, False, lengths, targets, np.arange(1000))
  assert experiment(spec, loss="cross_entropy").objective.outputs == 1000


def test_the_loss_of_a_vector_is_the_mean_of_its_parts():
  outputs = jnp.array([[[0.5, 4.0]]])
  targets = jnp.array([[[1.0, 1.0]]])
  plain = build_objective("mse", task=VECTORS)
  assert plain.outputs == 2
  np.testing.assert_allclose(plain.loss(outputs, targets), [[(0.25 + 9) / 2]])
  np.testing.assert_allclose(plain.predict(outputs), outputs)
  # Means 5/6 and 0, deviations sqrt(2)/3 and sqrt(8), of (0.5, -2) twice and
  # (1.5, 4) once.
  standard = build_objective("mae", "standard", task=VECTORS)
  scaled = [(1 - 5 / 6) / (np.sqrt(2) / 3), 1 / np.sqrt(8)]
  zero = jnp.zeros((1, 1, 2))
  np.testing.assert_allclose(
    standard.loss(zero, targets), [[np.mean(scaled)]], rtol=1e-5
  )
  np.testing.assert_allclose(
    standard.predict(jnp.ones((1, 1, 2))),
    [[[5 / 6 + np.sqrt(2) / 3, np.sqrt(8)]]],
    rtol=1e-5,
  )


@pytest.mark.parametrize(
  "augmentation", [Augmentation(), Augmentation(shift=1)]
)
@pytest.mark.parametrize("floats", [False, True])
def test_shards_are_rows_of_the_batch(augmentation, floats):
  rng = np.random.default_rng(0)
  frames = rng.integers(0, 256, (8, 3, 4, 6, 3))
  frames = np.float32(frames / 7 - 9) if floats else frames.astype(np.uint8)
  data = (
    frames,
    rng.integers(1, 4, 8).astype(np.int32),
    rng.normal(size=(8, 3, 2)).astype(np.float32),
  )
  spec = describe((4, 6, 3), floats, *data[1:], np.arange(8))
  sampler = RecordedSampler(spec, 8, augmentation)
  assert sampler.rows(4) == (2, 2, 2)
  key = jax.random.key(3)
  batch = sampler(key, *data)
  assert batch.frames.dtype == data[0].dtype
  assert batch.labels is None
  same = np.array_equal(batch.frames, frames)
  assert same == (augmentation.shift == 0)
  for shard in range(4):
    part = sampler(key, *data, shard=shard, shards=4)
    for name in ("frames", "lengths", "targets"):
      ours, theirs = getattr(part, name), getattr(batch, name)
      np.testing.assert_array_equal(ours, theirs[shard::4])
  still = sampler.held_out(8)(key, *data)
  np.testing.assert_array_equal(still.frames, frames)
