"""The text of a report: its headline, and a caption for every picture."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqsum.plots.addition import MISTAKES, MOST_COLUMNS
from seqsum.sequences.addition import COLUMN_TASKS
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.scores import number

NOUNS = {  # for a target, of tasks whose name is none
  "max": "maximum",
  "mod10": "sum modulo 10",
  "threes": "count of threes",
  "sorted": "answer",
  "addition": "sum",
  "subtraction": "difference",
}
PLURALS = {"maximum": "maxima", "parity": "parities"}


class Caption(NamedTuple):
  """The words that go with a picture."""

  alt: str  # replaces the picture for those who cannot see it
  title: str  # a phrase, ending in a full stop
  text: str  # one or two sentences


def count_noun(n: int, noun: str) -> str:
  """'1 sequence', '2,000 sequences'."""
  return f"{n:,} {noun}{'s' * (n != 1)}"


def exact_name(tolerance: float) -> str:
  """What exact predictions are called: "exactly right", "within 0.1"."""
  return "exactly right" if tolerance == ROUNDING else f"within {tolerance:.2g}"


def value_name(task: str) -> str:
  """What a predicted number is called: "sum", "digit of the difference"."""
  noun = NOUNS.get(task, task)
  return f"digit of the {noun}" if task in COLUMN_TASKS else noun


@dataclasses.dataclass(frozen=True)
class Captions:
  """Captions of one run.

  Attributes:
    task: The task's name, such as "sum".
    tolerance: The largest error that counts as exact.
    has_digits: Whether sequences are of digits, or from your own files.
  """

  task: str
  tolerance: float
  has_digits: bool

  @property
  def right(self) -> str:
    return exact_name(self.tolerance)

  @property
  def _rounds_to(self) -> str:
    if self.tolerance == ROUNDING:
      return "rounds to"
    return f"is within {self.tolerance:.2g} of"

  def _held_out(self, split: str) -> str:
    return f"{split} digits" if self.has_digits else f"{split} sequences"

  def headline(
    self,
    history: Sequence[Mapping[str, Any]],
    sequences: int,
    numbers: Mapping[str, str],
    split: str,
  ) -> str:
    """The result in one sentence.

    Args:
      history: Lines of metrics.jsonl.
      sequences: The number evaluated.
      numbers: Has "mean squared error", and exact accuracy under `right`.
      split: 'validation' or 'test'.
    """
    if self.has_digits:
      where = f"{count_noun(sequences, 'sequence')} of unseen {split} digits"
    else:
      where = count_noun(sequences, f"unseen {split} sequence")
    return (
      f"{_progress(history)} the mean squared error on {where} is "
      f"{numbers['mean squared error']}; {numbers[self.right]} of the "
      f"{_plural(NOUNS.get(self.task, self.task))} are {self.right}."
    )

  def notes(
    self, references: Mapping[str, float], is_finished: bool
  ) -> list[str]:
    """Paragraphs below the headline."""
    notes = []
    if references:
      others = [f"{number(x)} ({who})" for who, x in references.items()]
      notes.append("Mean squared error of others: " + ", ".join(others) + ".")
    if not is_finished:
      test = self._held_out("test")
      notes.append(
        f"This run is not finished: these are {self._held_out('validation')}. "
        f"The {test} are evaluated once, at the end."
      )
    return notes

  def learning(self, is_logarithmic: bool) -> Caption:
    validation = self._held_out("validation")
    if self.has_digits:
      validation = f"sequences of {validation}"
    scale = ", on a logarithmic scale" * is_logarithmic
    return Caption(
      "Line charts of mean squared error and exact accuracy over epochs.",
      "Learning.",
      f"The error on training sequences and on {validation}{scale}; and the "
      f"fraction that is {self.right}.",
    )

  def agreement(self, is_vector: bool) -> Caption:
    name = value_name(self.task)
    return Caption(
      f"Scatter plot of predicted {name} against true {name}.",
      "Predicted and true.",
      f"Each point is a {'part of a ' * is_vector}sequence; a prediction in "
      f"the grey band along the diagonal {self._rounds_to} the true {name}.",
    )

  def errors(self, lengths: np.ndarray, exact: np.ndarray) -> Caption:
    ends = np.unique([lengths.min(), lengths.max()])
    accuracy = [f"{exact[lengths == n].mean():.1%}" for n in ends]
    text = f"{accuracy[0]} are {self.right} at length {ends[0]}"
    if len(ends) > 1:
      text += f", {accuracy[1]} at length {ends[1]}"
    name = value_name(self.task)
    return Caption(
      f"Bars of exact accuracy by length, error and count by true {name}.",
      "Where the errors are.",
      f"{text}; means of rare {_plural(name)} are over few sequences.",
    )

  def digits(self, is_sequence: bool) -> Caption:
    unlabelled = ", which had no label in training" if is_sequence else ""
    return Caption(
      "Confusion matrix of digits.",
      "Confusion of digits.",
      f"A row for each digit{unlabelled}, a column for each prediction; "
      "mistakes are off the diagonal.",
    )

  def flow(self) -> Caption:
    return Caption(
      "Circles of likely values after each frame, joined by lines.",
      "How the distribution evolves.",
      f"Circles are values of the fold '{self.task}', larger where more "
      "probable; the true one has a ring. Above each "
      "step: its frame, and the predicted digit, which had no label in "
      "training.",
    )

  def sequences(self, shown: int, total: int, is_vector: bool) -> Caption:
    title = f"{count_noun(shown, 'sequence')} drawn at random."
    if shown == total:
      title = f"All {shown} sequences." if shown > 1 else "The sequence."
    return Caption(
      "Rows of frames with a number under each.",
      title,
      "The network reads the frames one by one; nothing marks the last. Only "
      f"the last prediction counts: ✓ if it {self._rounds_to} the true "
      f"{NOUNS.get(self.task, self.task)}."
      + " Of vectors the first part is shown."
      * is_vector,
    )

  def mistakes(self, shown: int) -> Caption:
    return Caption(
      "Rows of frames with a number under each.",
      f"The {shown} largest errors." if shown > 1 else "The largest error.",
      "Look for the frame at which the prediction departs from the true value.",
    )

  def additions(self, wrong: int, columns: int, has_digits: bool) -> Caption:
    """Of additions with up to `columns` columns, `wrong` of them wrong.

    `has_digits`: the digits of the frames are predicted, too.
    """
    text = "The network reads the frames from right to left, column by column. "
    if has_digits:
      text += (
        "Above each column is its carry, below each frame the predicted digit, "
        "which had no label in training. "
      )
    text += "Below the rule is the predicted sum; 4≠9 is a 4 in place of a 9."
    if columns > MOST_COLUMNS:
      text += (
        f" Of {columns} columns {MOST_COLUMNS} are shown: those around the "
        f"first {MISTAKES} mistakes from the right, or the last ones."
      )
    return Caption(
      "Additions as on paper: two rows of frames, a rule and the digits of the "
      "predicted sum.",
      "Some additions, wrong ones first." if wrong else "Some additions.",
      text,
    )

  def filters(self, before: np.ndarray, after: np.ndarray) -> Caption:
    change = np.linalg.norm(after - before) / np.linalg.norm(before)
    return Caption(
      "Two rows of small coloured squares, before and after training.",
      "The first layer's filters, before and after training.",
      f"Training changed the weights by {change:.0%} of their norm."
      if np.isfinite(change)
      else "Some weights are not finite; they are left blank.",
    )


def _plural(name: str) -> str:
  """'sums', 'sums of distinct digits'."""
  if name in PLURALS:
    return PLURALS[name]
  first, *rest = name.split(" ", 1)
  return " ".join([f"{first}s", *rest])


def _progress(history: Sequence[Mapping[str, Any]]) -> str:
  """How far training got, as the beginning of a sentence."""
  lines = [line for line in history if line["split"] != "test"]
  if not lines:
    return "Before any training"
  epoch, split = lines[-1]["epoch"], lines[-1]["split"]
  if split == "train":  # the epoch's validation is still to come
    return f"During epoch {epoch}"
  return f"After {count_noun(epoch, 'epoch')}"
