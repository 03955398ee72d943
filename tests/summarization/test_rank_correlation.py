import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqsum.summarization import rank_correlation
from seqsum.summarization.rank_correlation import kendall, spearman

few = st.lists(st.integers(0, 4), min_size=2, max_size=8)


def test_coefficients_by_hand():
  truth = np.array([1, 2, 3, 4])
  for coefficient in (kendall, spearman):
    assert coefficient(10 * truth, truth) == pytest.approx(1)
    assert coefficient(-truth, truth) == pytest.approx(-1)
  # One pair of six is the wrong way round: (5 - 1) / 6.
  swapped = np.array([1, 2, 4, 3])
  assert kendall(swapped, truth) == pytest.approx(4 / 6)
  # 1 - 6 * (1 + 1) / (4 * 15).
  assert spearman(swapped, truth) == pytest.approx(0.8)


def test_ties_by_hand():
  # Five pairs agree, one is tied in the scores: 5 / sqrt(5 * 6).
  assert kendall([1, 1, 2, 3], [1, 2, 3, 4]) == pytest.approx(5 / 30**0.5)
  # Ranks 1.5, 1.5, 3, 4: covariance 4.5, squares 4.5 and 5.
  expected = 4.5 / (4.5 * 5) ** 0.5
  assert spearman([1, 1, 2, 3], [1, 2, 3, 4]) == pytest.approx(expected)


@settings(deadline=None, max_examples=50)
@given(few, st.data())
def test_tau_b_counts_pairs(scores, data):
  size = len(scores)
  truth = data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
  pairs = list(itertools.combinations(range(size), 2))
  a, b = (
    np.array([np.sign(x[i] - x[j]) for i, j in pairs]) for x in (scores, truth)
  )
  room = (a != 0).sum() * (b != 0).sum()
  expected = (a * b).sum() / room**0.5 if room else np.nan
  assert kendall(scores, truth) == pytest.approx(expected, nan_ok=True)


@settings(deadline=None, max_examples=30)
@given(few)
def test_only_the_order_counts(scores):
  scores = np.array(scores)
  truth = np.arange(len(scores))
  for coefficient in (kendall, spearman):
    expected = pytest.approx(coefficient(scores, truth), nan_ok=True)
    assert coefficient(np.exp(scores), truth) == expected
    assert -coefficient(-scores, truth) == expected


def test_annotators_are_averaged_and_those_without_an_order_left_out():
  scores = np.array([1, 2, 3, 4])
  truth = np.array([[1, 2, 3, 4], [1, 2, 4, 3], [5, 5, 5, 5]])
  assert kendall(scores, truth) == pytest.approx((1 + 4 / 6) / 2)
  assert spearman(scores, truth) == pytest.approx(0.9)


@pytest.mark.parametrize("coefficient", [kendall, spearman])
def test_nan_says_that_there_is_no_order(coefficient):
  assert np.isnan(coefficient([2, 2, 2], [1, 2, 3]))
  assert np.isnan(coefficient([1, 2, 3], [[4, 4, 4]]))
  assert np.isnan(coefficient([1], [1]))
  assert np.isnan(coefficient([1, 2, np.nan], [1, 2, 3]))
  assert np.isnan(coefficient([1, 2, 3], [[1, 2, 3], [1, 2, np.nan]]))


def test_shapes_must_go_together():
  for scores, truth in (
    ([1, 2], [1, 2, 3]),
    ([[1, 2]], [1, 2]),
    ([], []),
    ([1, 2], np.zeros((0, 2))),
  ):
    with pytest.raises(ValueError, match="expected"):
      kendall(np.array(scores), np.array(truth))


def test_chance_is_near_zero_and_the_same_again():
  truth = np.arange(30)
  reached = rank_correlation.chance(truth)
  assert abs(reached) < 4 * 0.07 / 30**0.5
  assert reached == rank_correlation.chance(truth)
  assert reached != rank_correlation.chance(truth, seed=1)
  assert reached != rank_correlation.chance(truth, spearman)
  # Two frames are in order or not: the mean of one draw is 1 or -1.
  assert abs(rank_correlation.chance(np.arange(2), draws=1)) == 1


def test_people_are_judged_by_the_others():
  truth = np.array([[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 4, 3], [0, 0, 0, 0]])
  # 1 and 4/6 for the first two, twice 4/6 for the third.
  expected = (2 * (1 + 4 / 6) / 2 + 4 / 6) / 3
  assert rank_correlation.human(truth) == pytest.approx(expected)
  with pytest.raises(ValueError, match="U at least 2"):
    rank_correlation.human(truth[:1])
  assert np.isnan(rank_correlation.human(np.zeros((2, 3))))


def test_the_middle_by_hand():
  np.testing.assert_allclose(
    rank_correlation.middle(5), [0.2, 0.6, 1, 0.6, 0.2]
  )
  np.testing.assert_allclose(
    rank_correlation.middle(4), [0.25, 0.75, 0.75, 0.25]
  )
  assert rank_correlation.middle(1) == [1]
  assert rank_correlation.middle(0).shape == (0,)
