"""Charts of predictions frame by frame."""

import io
import itertools

import numpy as np
import pytest
from drawn import boxes
from PIL import Image
from short_runs import first

from seqsum.plots import (
  fold_flow,
  prediction,
)
from seqsum.sequences.tasks import TASKS


def test_labels_of_the_flow_do_not_overlap_its_lines():
  labels = np.array([[9, 2, 8, 5]])
  shares = np.eye(10)[labels]
  shares[0, 2] = 0
  shares[0, 2, [8, 3]] = 0.6, 0.4
  frames = np.zeros((1, 4, 28, 28, 1), np.uint8)
  figure = fold_flow.flow.figure(
    frames, np.array([4]), labels, shares, TASKS["sum"]
  )
  axes = figure.axes[0]
  named = boxes(figure, "9", "11", "19 60%", "14 40%", "24 60%", "19 40%")
  named = [x for x in named if axes.bbox.contains(x.x1, (x.y0 + x.y1) / 2)]
  assert len(named) >= 5
  for curve in axes.lines:
    (start, end) = axes.transData.transform(np.array(curve.get_data()).T)
    for share in np.linspace(0, 1, 200):
      x, y = start + share * (end - start)
      assert not any(box.contains(x, y) for box in named)


@pytest.mark.parametrize(
  ("name", "label"),
  [
    ("parity", "parity so far"),
    ("max", "max so far"),
    ("sorted", "value of fold 'sorted'"),  # a digit, or 10
  ],
)
def test_the_flow_of_other_folds(name, label):
  labels = np.array([[3, 6, 1]])
  frames = np.zeros((1, 3, 28, 28, 1), np.uint8)
  shares = np.eye(10)[labels]
  figure = fold_flow.flow.figure(
    frames, np.array([3]), labels, shares, TASKS[name]
  )
  axes = figure.axes[0]
  assert axes.get_ylabel() == label
  assert (axes.get_yticks() % 1 == 0).all()
  last = {"parity": "0", "max": "6", "sorted": "10"}[name]
  assert last in [x.get_text() for x in axes.texts]


def test_lowest_bar_is_inside_the_axes_which_include_0():
  frames = np.zeros((2, 8, 8, 1), np.uint8)
  shares = np.eye(10)[[7, 8]]
  figure = prediction.draw.figure(
    frames, np.array([7.0, 8.0]), np.arange(10.0), shares, "sum"
  )
  axes = figure.axes[0]
  low, high = axes.get_ylim()
  assert low < 0 < 8.5 < high
  drawn = min(x.get_y() for x in axes.patches if x.get_facecolor()[3])
  assert low < drawn


@pytest.mark.parametrize("with_distribution", first([True, False]))
def test_animation_shows_the_frames_one_by_one(with_distribution):
  frames = np.random.default_rng(0).integers(0, 255, (3, 28, 28, 1), np.uint8)
  shares = np.eye(28)[[3, 9, 21]] if with_distribution else None
  gif = prediction.animate(
    frames, np.array([3.0, 9.0, 21.0]), np.arange(28.0), shares, "sum"
  )
  assert len(gif) < 2_000_000
  with Image.open(io.BytesIO(gif)) as film:
    assert film.n_frames == 15
    film.seek(14)
    assert film.info["duration"] == 2500
    last = film.convert("RGB")
    film.seek(4)
    assert film.info["duration"] == 700
    assert film.convert("RGB").tobytes() != last.tobytes()
  one = prediction._draw_moment.figure(
    frames, np.array([3.0, 9.0, 21.0]), np.arange(28.0), shares, "sum", True, 2
  )
  assert len(one.axes[0].images) == 2  # the third is yet to come
  assert "9" in [x.get_text() for x in one.axes[1].texts]


@pytest.mark.parametrize("count", [12, 16])
def test_numbers_of_many_frames_do_not_overlap(count):
  frames = np.zeros((count, 8, 8, 1), np.uint8)
  predictions = np.full(count, 38.61)
  figure = prediction.draw.figure(frames, predictions, np.zeros(0), None, "sum")
  numbers = boxes(figure, "38.61")
  assert len(numbers) == count
  for left, right in itertools.pairwise(numbers):
    assert left.x1 < right.x0
