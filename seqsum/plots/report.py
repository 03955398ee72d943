"""What a run leaves behind to be read: metrics, frames, filters -> index.html.

Here are the choice of what is shown and the words; other files draw, and `page`
lays out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from etils import epath

from seqsum.plots import errors, figures, fold_flow, learning
from seqsum.plots.page import Picture, page
from seqsum.runtime.files import write_atomically
from seqsum.sequences.tasks import ROUNDING, Task
from seqsum.training.metrics import is_exact, number, of_sequence

MOST_STRIPS = 12  # on each of the two pictures of sequences


def write_report(
  folder: epath.PathLike,
  *,
  name: str,
  task: str,
  history: Sequence[Mapping[str, Any]],
  evaluation: Any,
  frames: Callable[[np.ndarray], np.ndarray],
  filters: Mapping[str, np.ndarray],
  facts: Mapping[str, str],
  references: Mapping[str, float],
  best_step: int | None = None,
  fold: tuple[Task, Callable[[np.ndarray], np.ndarray]] | None = None,
) -> dict[str, bytes]:
  """Writes `index.html` and the pictures that it shows, as PNG files.

  A picture that cannot be drawn is left out, with a warning.

  Args:
    folder: Where to; made if it is not there.
    name: The run's.
    task: What the fold is called, "sum".
    history: Lines of metrics.jsonl, however few; inf and nan as None.
    evaluation: An `evaluate.Predictions`: of test sequences, or of validation
      sequences if the run is not finished.
    frames: `[M] which sequences -> [M, T, H, W, C]` uint8 or float.
    filters: The first layer's kernels "before" and "after", [kh, kw, C, F].
    facts: Label -> value, for the table at the end.
    references: Name -> mse of others on the same task.
    best_step: The step whose parameters were tested, or None if the run is not
      finished; the page then says so.
    fold: Of a model to which it is given, and `[M, T, H, W, C] frames -> [M, T,
      D]`, the probabilities of the fold's digits.

  Returns:
    The pictures, name -> PNG.
  """
  lengths = evaluation.lengths
  target = evaluation.final(evaluation.targets)
  prediction = evaluation.final(evaluation.predictions)
  near = evaluation.tolerance
  exact = is_exact(prediction, target, near)
  whole = near == ROUNDING
  own = evaluation.labels is None
  things = "sequences" if own else "digits"
  right = "exactly right" if whole else f"within {near:.2g}"
  rounds = "rounds to" if whole else f"is within {near:.2g} of"
  with np.errstate(all="ignore"):  # a run that diverged has a report too
    error = prediction.astype(np.float64) - target
    miss = of_sequence(np.abs(error))
    numbers = {
      "mean squared error": number(np.square(error).mean()),
      right: f"{exact.mean():.1%}",
      "mean absolute error": number(miss.mean()),
      "sequences": f"{len(exact):,}",
    }
    before, after = filters["before"], filters["after"]
    moved = np.linalg.norm(after - before) / np.linalg.norm(before)

  random, worst = _choose(lengths, miss)
  strips = frames(np.concatenate([random, worst]))

  def readings(which: np.ndarray, strips: np.ndarray) -> tuple[Any, ...]:
    targets, predictions = evaluation.targets, evaluation.predictions
    return strips, lengths[which], targets[which], predictions[which], near

  shortest, longest = lengths.min(), lengths.max()
  pictures = [
    _Plan(
      "learning",
      learning.learning_curves,
      (history, references, best_step, near),
      "Line charts of mean squared error and exact accuracy over epochs.",
      "Learning.",
      "The error of the training sequences and of "
      f"{'' if own else 'sequences of '}validation {things}, on a "
      f"logarithmic scale, and the share that is {right}.",
    ),
    _Plan(
      "agreement",
      errors.agreement,
      (target, prediction, task, near),
      f"Scatter plot of predicted {task} against true {task}.",
      "Predicted and true.",
      f"Each point is a {'sequence' if target.ndim == 1 else 'part of one'}; "
      f"what lies in the grey band along the diagonal {rounds} the true "
      f"{task}.",
    ),
    _Plan(
      "errors",
      errors.errors,
      (lengths, target, prediction, task, near),
      f"Bars of exact accuracy by length, error and count by true {task}.",
      "Where the errors are.",
      f"{exact[lengths == shortest].mean():.1%} are {right} at length "
      f"{shortest}, {exact[lengths == longest].mean():.1%} at length "
      f"{longest}; {_plural(task)} that are seldom seen rest on few "
      "sequences.",
    ),
    _Plan(
      "sequences",
      figures.sequences,
      readings(random, strips[: len(random)]),
      "Rows of frames with a number under each.",
      f"{len(random)} sequences drawn at random.",
      "The network reads one frame after the other and is never told which "
      f"is the last; its last word counts, ✓ if it {rounds} the true {task}."
      + " Of vectors the first part is shown."
      * (target.ndim > 1),
    ),
    _Plan(
      "mistakes",
      figures.sequences,
      readings(worst, strips[len(random) :]),
      "Rows of frames with a number under each.",
      f"The {len(worst)} largest errors.",
      "Look for the frame at which the prediction leaves the truth.",
    ),
    _Plan(
      "filters",
      figures.filters,
      (before, after),
      "Two rows of small coloured squares, before and after.",
      "The first layer's filters, before and after training.",
      f"Training changed the weights by {moved:.0%} of their norm."
      if np.isfinite(moved)
      else "Some weights are not finite; they are left blank.",
    ),
  ]
  # Frames that are lists of numbers are nothing to look at.
  is_image = min(strips.shape[2:4]) > 1
  hidden = () if is_image else ("sequences", "mistakes", "filters")
  pictures = [picture for picture in pictures if picture.name not in hidden]
  if fold and (some := _choose_flow(lengths, exact, evaluation)).size:
    task_given, read = fold
    seen = frames(some)
    pictures.insert(
      4,
      _Plan(
        "flow",
        fold_flow.flow,
        (seen, lengths[some], evaluation.labels[some], read(seen), task_given),
        "Circles of likely values after each frame, joined by lines.",
        "How the distribution flows.",
        f"Circles are the values of the {task} so far, as large as they are "
        "likely; the true one has a ring. Over each step stand its frame and "
        "what the network takes it for, a digit that nobody told it.",
      ),
    )
  if (shown := _digits(evaluation)) is not None:
    pictures.insert(
      3,
      _Plan(
        "digits",
        errors.confusion,
        shown,
        "A table of digits and of what each was taken for.",
        "Digits and what they were taken for.",
        "Each row is a digit, each column what the network takes it for"
        + (", which no label told it" if max(lengths) > 1 else "")
        + "; off the diagonal are its mistakes.",
      ),
    )
  pictures = [drawn for plan in pictures if (drawn := _draw(plan))]
  split = "validation" if best_step is None else "test"
  notes = []
  if references:
    others = [f"{number(x)} ({who})" for who, x in references.items()]
    notes.append("Mean squared error of others: " + ", ".join(others) + ".")
  if best_step is None:
    notes.append(
      f"This run is not finished: these are validation {things}. The test "
      f"{things} are read once, at the end."
    )
  html = page(
    name,
    f"{_when(history)} the mean squared error on {len(exact):,} "
    f"{'' if own else 'sequences of '}unseen {split} {things} is "
    f"{numbers['mean squared error']}; "
    f"{numbers[right]} of the {_plural(task)} are {right}.",
    notes,
    numbers,
    pictures,
    facts,
  )
  folder = epath.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  for picture in pictures:
    write_atomically(folder / f"{picture.name}.png", picture.png)
  write_atomically(folder / "index.html", html)
  return {picture.name: picture.png for picture in pictures}


class _Plan(NamedTuple):
  """A picture that is not drawn yet; the words are those of `page.Picture`."""

  name: str
  chart: figures.Chart
  data: tuple[Any, ...]
  alt: str
  title: str
  caption: str


def _draw(plan: _Plan) -> Picture | None:
  """Draws a picture; None, with a warning, if that cannot be done."""
  try:
    light, dark = plan.chart.both(*plan.data)
  except Exception as error:  # whatever it is, the run is worth more
    logging.warning(
      "report/%s.png is left out, drawing it failed: %s: %s",
      *(plan.name, type(error).__name__, error),
    )
    return None
  return Picture(plan.name, light, dark, plan.alt, plan.title, plan.caption)


def _digits(evaluation: Any) -> tuple[np.ndarray, np.ndarray] | None:
  """[K] each: the digits shown, and what each was taken for; None if unknown.

  They are known where a core is given the fold, and where each sequence is one
  digit and its value the target.
  """
  labels, lengths = evaluation.labels, evaluation.lengths
  if labels is None:
    return None
  if evaluation.digits is not None:
    real = np.arange(labels.shape[1]) < lengths[:, None]
    return labels[real], evaluation.digits[real]
  one = lengths.max() == 1 and evaluation.targets.ndim == 2
  if not one or (evaluation.targets[:, 0] != labels[:, 0]).any():
    return None
  said = evaluation.predictions[:, 0]
  known = np.isfinite(said)
  nearest = np.clip(np.rint(said[known]), 0, 9).astype(int)
  return labels[known, 0], nearest


def _plural(task: str) -> str:
  """'sums', 'sums of distinct digits'."""
  first, *rest = task.split(" ", 1)
  return " ".join([f"{first}s", *rest])


def _choose(
  lengths: np.ndarray, miss: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Which sequences to show: some at random, and the worst; [M] each."""
  count = min(MOST_STRIPS, len(miss))
  some = np.random.default_rng(0).choice(len(miss), count, replace=False)
  worst = np.argsort(np.where(np.isnan(miss), np.inf, miss), kind="stable")
  return some[np.argsort(lengths[some], kind="stable")], worst[::-1][:count]


def _choose_flow(
  lengths: np.ndarray, exact: np.ndarray, evaluation: Any
) -> np.ndarray:
  """Three long sequences: a sure one, a doubtful one, and a near miss."""
  longest = min(lengths.max(), figures.MOST_FRAMES)
  long = np.flatnonzero(lengths == longest)
  loss = evaluation.final(evaluation.losses)[long]
  right, wrong = long[exact[long]], long[~exact[long]]
  order = np.argsort(loss[exact[long]], kind="stable")
  miss = np.argsort(loss[~exact[long]], kind="stable")
  return np.concatenate([right[order[:1]], right[order[-1:]], wrong[miss[:1]]])


def _when(history: Sequence[Mapping[str, Any]]) -> str:
  """How far training has come, to begin a sentence with."""
  lines = [line for line in history if line["split"] != "test"]
  if not lines:
    return "Before any training"
  epoch, last = lines[-1]["epoch"], lines[-1]["split"]
  if last == "train":  # no validation has closed the epoch
    return f"During epoch {epoch}"
  return f"After {epoch} epoch{'s' * (epoch > 1)}"
