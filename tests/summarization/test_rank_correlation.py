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
def test_kendall_equals_tau_b_over_all_pairs(scores, data):
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
def test_monotonic_transforms_change_nothing(scores):
  scores = np.array(scores)
  truth = np.arange(len(scores))
  for coefficient in (kendall, spearman):
    expected = pytest.approx(coefficient(scores, truth), nan_ok=True)
    assert coefficient(np.exp(scores), truth) == expected
    assert -coefficient(-scores, truth) == expected


def test_mean_over_annotators_skips_constant_scores():
  scores = np.array([1, 2, 3, 4])
  truth = np.array([[1, 2, 3, 4], [1, 2, 4, 3], [5, 5, 5, 5]])
  assert kendall(scores, truth) == pytest.approx((1 + 4 / 6) / 2)
  assert spearman(scores, truth) == pytest.approx(0.9)


@pytest.mark.parametrize("coefficient", [kendall, spearman])
def test_constant_scores_and_nan_return_nan(coefficient):
  assert np.isnan(coefficient([2, 2, 2], [1, 2, 3]))
  assert np.isnan(coefficient([1, 2, 3], [[4, 4, 4]]))
  assert np.isnan(coefficient([1], [1]))
  assert np.isnan(coefficient([1, 2, np.nan], [1, 2, 3]))
  assert np.isnan(coefficient([1, 2, 3], [[1, 2, 3], [1, 2, np.nan]]))


def test_middle_by_hand():
  np.testing.assert_allclose(
    rank_correlation.middle(5), [0.2, 0.6, 1, 0.6, 0.2]
  )
  np.testing.assert_allclose(
    rank_correlation.middle(4), [0.25, 0.75, 0.75, 0.25]
  )
  assert rank_correlation.middle(1) == [1]
  assert rank_correlation.middle(0).shape == (0,)


def test_a_prediction_without_an_order_has_zero():
  assert rank_correlation.correlate([2, 2, 2], [1, 2, 3]) == (0, 0)
  assert rank_correlation.correlate([2, 2, 2], [[4, 4, 4], [1, 2, 3]]) == (0, 0)
  for scores, truth in (([2, 2], [4, 4]), ([np.nan, np.nan], [1, 2])):
    assert np.isnan(rank_correlation.correlate(scores, truth)).all()
  assert rank_correlation.correlate([1, 2, 3], [1, 2, 3]) == pytest.approx(
    (1, 1)
  )
