import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqsum.runtime.errors import InputError
from seqsum.summarization import keyshots


@settings(deadline=None, max_examples=200)
@given(
  st.lists(st.tuples(st.integers(-3, 20), st.integers(1, 9)), max_size=9),
  st.integers(0, 40),
)
def test_knapsack_equals_brute_force(items, capacity):
  values, lengths = np.array(items, int).reshape(-1, 2).T
  taken = keyshots.knapsack(values, lengths, capacity)
  assert lengths[taken].sum() <= capacity
  best = max(
    values[list(some)].sum()
    for count in range(len(items) + 1)
    for some in itertools.combinations(range(len(items)), count)
    if lengths[list(some)].sum() <= capacity
  )
  assert values[taken].sum() == best
  assert (values[taken] > 0).all()


def test_knapsack_by_hand():
  # The most valuable item is 6, but 5 + 4 is more.
  values, lengths = np.array([6, 5, 4, 1]), np.array([5, 3, 3, 1])
  taken = keyshots.knapsack(values, lengths, 6)
  assert taken.tolist() == [False, True, True, False]
  assert not keyshots.knapsack(values, lengths, 0).any()
  assert keyshots.knapsack(values, lengths, 99).all()
  assert keyshots.knapsack(values[:0], lengths[:0], 5).shape == (0,)


def test_knapsack_equals_published_solution():
  """P01 and P02 of Burkardt's data set "knapsack_01".

  P01 is also the test of li-plus/DSNet, tests/helpers/test_vsumm_helper.py.
  """
  for values, lengths, capacity, best in (
    (
      [92, 57, 49, 68, 60, 43, 67, 84, 87, 72],
      [23, 31, 29, 44, 53, 38, 63, 85, 89, 82],
      165,
      [1, 1, 1, 1, 0, 1, 0, 0, 0, 0],
    ),
    ([24, 13, 23, 15, 16], [12, 7, 11, 8, 9], 26, [0, 1, 1, 1, 0]),
  ):
    taken = keyshots.knapsack(np.array(values), np.array(lengths), capacity)
    assert taken.astype(int).tolist() == best


def test_a_knapsack_too_large_raises():
  many = np.ones(40_000, int)
  with pytest.raises(InputError, match="too many"):
    keyshots.knapsack(many, many, 40_000)


def test_budget_rounds_down():
  assert [keyshots.budget(n) for n in (1, 6, 13, 14, 20, 4729)] == [
    1,  # at least one frame
    1,
    1,
    2,
    3,
    709,
  ]
  assert keyshots.budget(100, 0.29) == 29  # 28.999999999999996
  assert keyshots.budget(7, 1) == 7
  for share in (0, 1.5, float("nan")):
    with pytest.raises(InputError, match="share="):
      keyshots.budget(10, share)


def test_shots_are_kept_whole():
  # Means 4, 8, 6, 2; of 10 frames 5 may be kept: 8 and 6 need 2 and 3.
  scores = np.array([4, 4, 4, 8, 8, 5, 6, 7, 2, 2])
  shots = np.array([[0, 2], [3, 4], [5, 7], [8, 9]])
  kept = keyshots.keep(scores, shots, 0.5)
  assert kept.astype(int).tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 0, 0]
  # Of 2 frames, the last shot would fit too; 8 is more.
  assert np.flatnonzero(keyshots.keep(scores, shots, 0.2)).tolist() == [3, 4]
  # No shot is one frame long.
  assert not keyshots.keep(scores, shots, 0.15).any()
  assert keyshots.keep(scores, shots, 1).all()


def test_without_shots_the_highest_scores_are_kept():
  scores = np.array([1, 3, 2, 3, 3, 0])
  assert np.flatnonzero(keyshots.keep(scores, share=0.5)).tolist() == [1, 3, 4]
  assert np.flatnonzero(keyshots.keep(scores, share=0.4)).tolist() == [1, 3]
  assert np.flatnonzero(keyshots.keep(-scores)).tolist() == [5]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=50), st.data())
def test_a_summary_stays_within_its_budget(scores, data):
  frames = len(scores)
  cuts = sorted(
    data.draw(st.sets(st.integers(1, max(1, frames - 1)))) - {frames}
  )
  shots = np.stack([[0, *cuts], [*(c - 1 for c in cuts), frames - 1]], axis=1)
  share = data.draw(st.floats(0.01, 1))
  limit = keyshots.budget(frames, share)
  kept = keyshots.keep(scores, shots, share)
  assert kept.shape == (frames,)
  assert kept.sum() <= limit
  for first, last in shots:
    assert len(set(kept[first : last + 1])) == 1
  assert keyshots.keep(scores, None, share).sum() == limit


@pytest.mark.parametrize(
  ("shots", "words"),
  [
    ([[0, 4], [4, 9]], r"shot 1 is 4..9: it overlaps .* ends at 4"),
    ([[0, 4], [6, 9]], r"shot 1 is 6..9: it leaves a gap after .* ends at 4"),
    ([[1, 9]], "shot 0 is 1..9: it must start at 0"),
    ([[0, 4], [5, 4], [5, 9]], "shot 1 is 5..4: it ends before it starts"),
    ([[0, 8]], "ends at frame 8, the last frame is 9"),
    ([[0, 10]], "ends at frame 10, the last frame is 9"),
    ([[0, -1], [0, 9]], "shot 0 is 0..-1: it ends before it starts"),
    ([0, 9], r"shape \[2\]"),
    (np.zeros((0, 2), int), "shape"),
  ],
)
def test_shots_must_cover_the_video_once(shots, words):
  with pytest.raises(InputError, match=words):
    keyshots.keep(np.ones(10), np.array(shots))


def test_scores_must_be_finite():
  with pytest.raises(InputError, match="the score of frame 2 is nan"):
    keyshots.keep([0, 1, np.nan, np.inf])


def test_f_scores_by_hand():
  kept = np.array([1, 1, 0, 0, 0], bool)
  users = np.array(
    [
      [1, 1, 0, 0, 0],  # the same
      [0, 1, 1, 1, 0],  # precision 1/2, recall 1/3: 2 / 5
      [0, 0, 1, 1, 1],
      [0, 0, 0, 0, 0],
    ],
    bool,
  )
  np.testing.assert_allclose(keyshots.f_scores(kept, users), [1, 0.4, 0, 0])
  # The test of li-plus/DSNet, tests/helpers/test_vsumm_helper.py.
  kept = np.array([0, 1, 1, 0, 1], bool)
  np.testing.assert_allclose(
    keyshots.f_scores(kept, np.array([[1, 1, 0, 1, 1]], bool)), 4 / 7
  )
  none = np.zeros(5, bool)
  np.testing.assert_allclose(keyshots.f_scores(none, users), 0)


def test_negative_scores_are_raised():
  shots = np.array([[0, 4], [5, 5], [6, 6], [7, 19]])
  scores = np.repeat([-3.0, -1.0, -2.0, -4.0], [5, 1, 1, 13])
  kept = keyshots.keep(scores, shots, 0.1)
  np.testing.assert_array_equal(np.flatnonzero(kept), [5, 6])
  raised = keyshots.keep(scores + 4, shots, 0.1)
  np.testing.assert_array_equal(kept, raised)
