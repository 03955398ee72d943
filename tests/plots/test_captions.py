"""Captions and the numbers in them."""

import numpy as np
import pytest

from seqsum.plots import scales
from seqsum.plots.captions import Captions, count_noun, value_name
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.scores import number


@pytest.mark.parametrize(
  ("value", "words"),
  [
    (0.2149, "0.215"),
    (67.12, "67.1"),
    (1234567.0, "1,234,567"),
    (3e31, "3e+31"),
    (np.nan, "not finite"),
    (-np.inf, "not finite"),
    (None, "not finite"),
  ],
)
def test_numbers_are_formatted_for_people(value, words):
  assert number(value) == words


def test_numbers_are_formatted_with_two_digits():
  assert [number(x, 2) for x in (0.123, 45.6, 213.0, 4380.2)] == [
    *("0.12", "46", "213", "4,380")
  ]


CAPTIONS = Captions("sum", ROUNDING, has_digits=True)


def test_captions_use_singular_and_plural():
  assert count_noun(1, "sequence") == "1 sequence"
  assert count_noun(2000, "sequence") == "2,000 sequences"
  numbers = {"mean squared error": "0.1", "exactly right": "100.0%"}
  headline = CAPTIONS.headline([], 1, numbers, "test")
  assert "on 1 sequence of unseen test digits" in headline
  assert CAPTIONS.sequences(1, 1, False).title == "The sequence."
  assert CAPTIONS.sequences(6, 6, False).title == "All 6 sequences."
  assert CAPTIONS.sequences(12, 90, False).title.startswith(
    "12 sequences drawn"
  )
  assert CAPTIONS.mistakes(1).title == "The largest error."


def test_one_length_has_one_accuracy():
  exact = np.array([True, False])
  same = CAPTIONS.errors(np.array([4, 4]), exact).text
  assert same.startswith("50.0% are exactly right at length 4;")
  both = CAPTIONS.errors(np.array([1, 4]), exact).text
  assert "100.0% are exactly right at length 1, 0.0% at length 4;" in both


def test_logarithmic_scale_is_named_only_if_there_is_one():
  assert "logarithmic" in CAPTIONS.learning(True).text
  assert "logarithmic" not in CAPTIONS.learning(False).text
  assert scales.is_logarithmic([0.0, 2.0, None])
  assert not scales.is_logarithmic([0.0, np.nan, None])


def test_captions_of_additions():
  captions = Captions("addition", ROUNDING, has_digits=True)
  assert captions.additions(2, 4, True).title.endswith("wrong ones first.")
  assert captions.additions(0, 4, True).title == "Some additions."
  assert "carry" in captions.additions(0, 4, True).text
  assert "carry" not in captions.additions(0, 4, False).text
  assert "columns 15 are shown" not in captions.additions(0, 15, True).text
  assert "Of 100 columns 15 are shown" in captions.additions(0, 100, True).text
  assert "the true digit of the sum." in captions.agreement(True).text


@pytest.mark.parametrize(
  ("task", "plural"),
  [("sum", "sums"), ("max", "maxima"), ("sorted", "answers")],
)
def test_plurals_of_tasks(task, plural):
  captions = Captions(task, ROUNDING, has_digits=True)
  numbers = {"mean squared error": "1", captions.right: "90%"}
  headline = captions.headline([], 100, numbers, "test")
  assert headline.endswith(f"90% of the {plural} are exactly right.")


def test_targets_have_nouns():
  nouns = [value_name(x) for x in ("sum", "max", "sorted", "subtraction")]
  assert nouns == ["sum", "maximum", "answer", "digit of the difference"]
