"""Additions as on paper."""

import io

import numpy as np
import pytest
from drawn import words
from matplotlib.text import Text
from PIL import Image

from seqsum.plots.addition import MOST_COLUMNS, additions, place_columns
from seqsum.plots.figures import INK, VERMILION
from seqsum.sequences.addition import Addition

FRAMES = np.random.default_rng(0).integers(0, 255, (1, 4, 8, 8, 1), np.uint8)
LABELS = np.array([[7, 5, 4, 8]])  # 47 + 85


def add(digits):
  """[M, T] -> [M, D], the final sums."""
  count, time = digits.shape
  sums = Addition(time // 2).running(digits, np.full(count, time))
  return np.asarray(sums)[:, -1]


def drawn(digits, labels=LABELS, frames=FRAMES, with_digits=True):
  known = (digits, labels) if with_digits else ()
  lengths = np.full(len(labels), labels.shape[1])
  data = frames, lengths, add(digits), add(labels), *known
  return additions.figure(*data)


def texts(figure):
  """Text -> colour, of all that is written."""
  return {x.get_text(): x.get_color() for x in figure.findobj(Text)}


def test_a_right_addition_has_digits_carries_and_a_tick():
  figure = drawn(LABELS)
  found = words(figure)
  legend, (carry_1, carry_2, *rest) = found[:3], sorted(found[3:])
  assert "✓ exactly right" in legend
  assert (carry_1, carry_2) == ("+", "1")
  assert sorted(rest) == sorted([*"1", *"4785", *"132", "✓"])
  assert len(figure.axes[0].images) == 4


def test_frames_are_drawn_most_significant_column_first():
  frames = np.zeros((1, 4, 8, 8, 1), np.uint8)
  frames[0, :, 0, 0, 0] = 10, 20, 30, 40  # of the digits 7, 5, 4, 8
  figure = drawn(LABELS, frames=frames)
  places = {}
  for image in figure.axes[0].images:
    left, _, _, top = image.get_extent()
    places[float(image.get_array()[0, 0, 0])] = round(top, 3), round(left, 3)
  in_reading_order = sorted(places, key=places.get)
  darkest_last = sorted(places, reverse=True)  # more ink is darker
  seven, five, four, eight = darkest_last
  assert in_reading_order == [four, seven, eight, five]


def test_mistakes_name_the_true_digits():
  """47 read as 42: the sum is 127, the carry out of the units is lost."""
  figure = drawn(np.array([[2, 5, 4, 8]]))
  colors = texts(figure)
  for text in ("2≠7", "0≠1", "≠3", "≠2", "✗"):
    assert colors[text] == VERMILION, text
  assert "✓" not in colors


def test_learned_recurrence_has_the_sum_only():
  found = words(drawn(np.array([[2, 5, 4, 8]]), with_digits=False))
  assert sorted(found[3:]) == sorted(["+", *"127", "≠3", "≠2", "✗"])


def test_unknown_truth_has_neither_legend_nor_mark():
  figure = additions.figure(
    FRAMES, np.array([4]), add(LABELS), None, digits=LABELS
  )
  assert sorted(words(figure)) == sorted(["+", "1", "1", *"4785", *"132"])
  assert texts(figure)["3"] == INK


def test_leading_zero_is_written_only_if_it_is_wrong():
  right = words(drawn(np.array([[1, 2, 1, 2]]), np.array([[1, 2, 1, 2]])))
  assert sorted(right[3:]) == sorted(["+", *"1212", *"33", "✓"])
  lost = texts(drawn(np.array([[7, 5, 1, 3]])))  # 17 + 35 = 52
  assert lost["≠1"] == VERMILION
  assert lost["0"] == VERMILION


def test_predictions_that_are_no_digits():
  sums = np.array([[np.nan, -0.2, 4e9]])
  figure = additions.figure(FRAMES, np.array([4]), sums, add(LABELS))
  assert {"?", "0", "99", "✗"} <= set(words(figure))


def test_all_columns_of_short_numbers_are_placed_without_gaps():
  assert place_columns(2, np.array([0])) == {2: 0, 1: 1, 0: 2, -1: 3}
  assert list(place_columns(15, np.zeros(0, int)).values()) == list(range(17))


def test_long_numbers_show_columns_near_the_first_mistakes():
  places = place_columns(100, np.array([20, 50, 80, 99]))
  shown = [column for column in places if 0 <= column < 100]
  assert len(shown) == MOST_COLUMNS
  assert set(shown) == {c + d for c in (20, 50, 80) for d in range(-2, 3)}
  last = list(places)
  assert last[0] == 100
  assert last[-1] == -1
  figure = drawn(*[np.zeros((1, 200), int) + 1] * 2, np.repeat(FRAMES, 50, 1))
  assert "85 columns" in words(figure)
  assert len(figure.axes[0].images) == 2 * MOST_COLUMNS


@pytest.mark.slow
def test_nothing_is_written_outside_the_picture():
  rng = np.random.default_rng(0)
  for columns, count in ((1, 5), (4, 3), (15, 2), (100, 2)):
    labels = rng.integers(10, size=(count, 2 * columns))
    digits = np.where(rng.random(labels.shape) < 0.1, 9 - labels, labels)
    frames = np.zeros((count, 2 * columns, 8, 8, 1), np.uint8)
    figure = drawn(digits, labels, frames)
    page = figure.bbox
    for text in figure.findobj(Text):
      if text.get_text():
        box = text.get_window_extent()
        assert page.x0 <= box.x0 <= box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0 <= box.y1 <= page.y1, text.get_text()


def test_dark_picture_has_the_same_size():
  sums = add(LABELS)
  data = FRAMES, np.array([4]), sums, sums, LABELS, LABELS
  light, dark = (
    Image.open(io.BytesIO(png)) for png in additions.light_and_dark(*data)
  )
  assert light.size == dark.size
  assert dark.convert("RGB").getpixel((0, 0)) == (0x1D, 0x21, 0x26)
