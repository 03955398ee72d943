"""One float32 target for every frame, from targets of several shapes."""

import warnings

import numpy as np
import pytest

from seqsum.data.targets import per_frame
from seqsum.runtime.errors import InputError


def test_a_target_of_a_sequence_is_repeated_for_every_frame():
  got = per_frame("x", np.array([4, 7]), np.array([1, 3]), 3)
  assert got.dtype == np.float32
  np.testing.assert_array_equal(got, [[4, 4, 4], [7, 7, 7]])


def test_padding_has_the_last_target():
  got = per_frame("x", np.array([[1, 2, 3], [4, 5, 6.5]]), np.array([2, 1]), 3)
  np.testing.assert_array_equal(got, [[1, 2, 2], [4, 4, 4]])
  # Values in the padding are ignored.
  padded = np.array([[1, np.nan], [2, 3]])
  got = per_frame("x", padded, np.array([1, 2]), 2)
  np.testing.assert_array_equal(got, [[1, 1], [2, 3]])


def test_targets_may_be_vectors_or_booleans():
  vectors = np.arange(8).reshape(2, 2, 2)
  got = per_frame("x", vectors, np.array([2, 1]), 2)
  np.testing.assert_array_equal(got, [[[0, 1], [2, 3]], [[4, 5], [4, 5]]])
  got = per_frame("x", np.array([True, False]), np.array([1, 1]), 1)
  np.testing.assert_array_equal(got, [[1], [0]])


@pytest.mark.parametrize(
  ("targets", "words"),
  [
    (np.zeros(3), r"shape \(3,\), expected \(2,\), \(2, 4\) or \(2, 4, D\)"),
    (np.zeros((2, 3)), "shape"),
    (np.zeros((2, 4, 1, 1)), "shape"),
    (np.zeros((2, 4, 0)), "shape"),
    (np.zeros(2, complex), "complex128, expected numbers"),
    (np.array(["a", "b"]), "expected numbers"),
    (np.array([0, np.inf]), "of sequence 1 contain inf or nan"),
    (np.array([np.nan, 0]), "of sequence 0 contain inf or nan"),
    (np.array([0, 1e39]), "squared errors do not fit into float32: subtr"),
    (np.array([1e30, 1e30]), "squared errors do not fit into float32: subtr"),
    (np.array([0, -1e16]), "in -1e.16..0, whose squared errors do not fit"),
    (np.array([0, 1e-25]), "squared errors do not fit .*: multiply them"),
  ],
)
def test_invalid_targets_are_refused(targets, words):
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    with pytest.raises(InputError, match=f"^mine {words}|^mine .*{words}"):
      per_frame("mine", targets, np.array([4, 4]), 4)


OFFSET = 1_700_000_000  # a time in seconds


@pytest.mark.parametrize(
  ("targets", "words"),
  [
    (OFFSET + np.arange(4), "whole numbers in 1700000000..1700000003, which"),
    (OFFSET + np.arange(4.0), r"\(the minimum is 1700000000\)"),
    (OFFSET + np.arange(4) / 8, "1700000000.38, which float32 rounds by up to"),
    (np.array([16_777_216, 16_777_217, 1, 2]), "rounds by up to 1: subtract"),
    (
      np.full(4, 16_777_217),
      "rounds by up to 1",
    ),  # rounded, although none become equal
    (-np.array([16_777_217.0, 3, 1, 2]), "in -16777217..-1, .* up to 1"),
    (np.array([2**63 - 1, 2**63 - 2, 0, 1]), "squared errors"),
    (np.array([2**64 - 1, 2**64 - 2, 0, 1], np.uint64), "squared errors"),
    (np.array([10**15 - 1, 0, 1, 2]), "whole numbers"),
    (1 + 1e-9 * np.arange(4), "float32 rounds by up to"),
    (np.stack([np.arange(4), OFFSET + np.arange(4)], 1), "component 1, are"),
  ],
)
def test_targets_that_float32_rounds_are_refused(targets, words):
  if targets.ndim == 2:  # vectors at every frame
    targets = np.repeat(targets[:, None], 3, axis=1)
  lengths = np.full(4, 3)
  with pytest.raises(InputError, match=words) as caught:
    per_frame("mine: targets", targets, lengths, 3)
  assert "\n" not in str(caught.value)
  # The remedy in the message works.
  moved = targets.astype(object) - targets.min(axis=0).astype(object)
  if (moved < 2**24).all() and np.ptp(targets) > 0:
    per_frame("x", moved.astype(float), lengths, 3)


@pytest.mark.parametrize(
  "targets",
  [
    np.arange(20) + 16_777_197,  # up to 2**24
    np.arange(20) << 40,  # exact in float32
    np.array([0.1] * 20),
    np.random.default_rng(0).uniform(0, 3, 20_000),  # a few become equal
    np.random.default_rng(0).uniform(2e7, 1e9, 200),
    1000 + np.random.default_rng(0).uniform(0, 1, 200),
    np.random.default_rng(0).normal(0, 1e-9, 200),
    np.arange(20) % 2 == 0,
    np.arange(20).astype(np.float16) / 7,
  ],
)
def test_targets_that_float32_represents(targets):
  got = per_frame("x", targets, np.ones(len(targets), int), 1)
  np.testing.assert_array_equal(got[:, 0], targets.astype(np.float32))


def test_the_precision_of_padding_is_not_checked():
  targets = np.array([[1, OFFSET + 1], [2, 3]])
  got = per_frame("x", targets, np.array([1, 2]), 2)
  np.testing.assert_array_equal(got, [[1, 1], [2, 3]])
