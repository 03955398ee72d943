"""Learning curves and the charts of errors."""

import math

import numpy as np
import pytest
from drawn import boxes, history_line, words

from seqsum.plots import (
  errors,
  learning,
)
from seqsum.plots import errors as error_charts


def test_learning_curve_shows_an_error_of_0():
  done = [history_line(1, "train", 4.0), history_line(2, "validation", 0.0)]
  figure = learning.learning_curves.figure(done, {"guess": 9.0}, 2)
  axes = figure.axes[0]
  assert {"best\n0", "guess\n9"} <= set(words(figure))
  low, high = axes.get_ylim()
  assert low < 0 < 9 < high
  assert 0 in axes.get_yticks()
  named, _ = boxes(figure, "best\n0", "0")[:2]
  zero = axes.transData.transform((0, 0))[1]
  assert named.y0 < zero < named.y1  # the word is beside its point


def test_mean_error_has_a_standard_error():
  targets = np.repeat([3.0, 8.0], [25, 4])
  errors = np.concatenate([np.arange(25) / 25, [1, 2, 3, 4]])
  ones = np.ones(29, int)
  figure = error_charts.errors.figure(ones, targets, targets + errors, "sum")
  _, dots, _ = figure.axes
  (lines,) = [x for x in dots.collections if len(x.get_segments()) == 2]
  for (low, high), some in zip(
    lines.get_segments(), (errors[:25], errors[25:]), strict=True
  ):
    error = some.std(ddof=1) / math.sqrt(len(some))
    np.testing.assert_allclose(low[1], some.mean() - error, rtol=1e-6)
    np.testing.assert_allclose(high[1], some.mean() + error, rtol=1e-6)
  hollow = [x for x in dots.lines if x.get_markerfacecolor() == "white"]
  assert [x.get_xdata().tolist() for x in hollow] == [[8.0]]
  assert "hollow: of fewer than 10" in dots.get_title("left")


@pytest.mark.parametrize("each", [1, 20])
def test_error_panel_is_the_largest(each):
  """Also where all means are of few sequences, or none is."""
  targets = np.repeat(np.linspace(0, 3, 60), each)
  lengths = 3 + np.arange(len(targets)) % 6
  figure = error_charts.errors.figure(
    lengths, targets, targets + 0.02 * lengths, "value", 0.086
  )
  bars, dots, counts = (x.get_position().height for x in figure.axes)
  assert dots > 0.3
  assert bars > 0.15
  assert counts > 0.05


def test_confusion_matrix_by_hand():
  labels, digits = np.array([[0, 0, 0, 9], [0, 0, 1, 9]])
  figure = error_charts.confusion.figure(labels, digits)
  axes = figure.axes[0]
  cells = {x.get_position(): x.get_text() for x in axes.texts}
  assert cells == {(0, 0): "2", (1, 0): "1", (9, 9): "1"}  # across, down
  assert axes.get_title("left") == "4 digits, 75.00% right"


def test_out_of_range_and_non_finite_predictions_are_marked(small):
  draw = lambda *predictions: errors.agreement(
    np.arange(len(predictions)) % 2, np.array(predictions), "sum"
  )
  for far in (1e9, -1e9):  # an arrow at the edge, where its target is
    assert draw(far, np.nan) != draw(np.nan, far)
  assert draw(np.nan, np.nan) == draw(np.nan, np.inf)
  assert draw(np.nan, np.nan) != draw(np.nan, np.nan, np.nan)  # a count


def test_large_targets_are_drawn(small):
  targets = np.arange(1000.0) ** 2 // 150
  ones = np.ones(1000, int)
  assert targets.max() > 6000
  few = errors.errors(ones, targets, targets + 0.1, "product")
  assert few != errors.errors(ones, targets, targets + 0.3, "product")
  near = errors.agreement(targets, targets, "product")
  assert near != errors.agreement(targets, targets * 1.5, "product")


def test_points_are_drawn_above_the_diagonal():
  values = np.arange(5.0)
  axes = error_charts.agreement.figure(values, values, "value", 0.1).axes[0]
  (diagonal,) = axes.lines
  band, *points = axes.collections
  assert len(points) == 6  # exact, wrong; each with two edges
  assert band.get_zorder() < diagonal.get_zorder()
  assert all(x.get_zorder() > diagonal.get_zorder() for x in points)


def test_markers_at_the_edge_are_whole():
  targets = np.arange(5.0)
  predictions = targets + [0, 0, 0, 0, 99]
  axes = error_charts.agreement.figure(targets, predictions, "value", 0.1).axes[
    0
  ]
  high = axes.get_ylim()[1]
  (marker,) = [
    x for x in axes.collections[1:] if (x.get_offsets()[:, 1] == high).any()
  ]
  assert not marker.get_clip_on()
