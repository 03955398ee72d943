"""The report of a run: metrics, predictions, filters -> index.html and PNGs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging
from etils import epath

from seqsum.plots import (
  addition,
  errors,
  figures,
  filters,
  fold_flow,
  frames,
  learning,
  page,
  scales,
)
from seqsum.plots.captions import Caption, Captions, value_name
from seqsum.runtime.files import write_atomically
from seqsum.sequences.addition import COLUMN_TASKS, Addition
from seqsum.sequences.tasks import Task
from seqsum.training.metrics import is_exact, of_sequence
from seqsum.training.scores import number

MOST_SEQUENCES = 12  # on each of the two pictures of sequences
MOST_ADDITIONS, MOST_WRONG = 6, 4  # of them


def write_report(
  folder: epath.PathLike,
  *,
  name: str,
  task: str,
  history: Sequence[Mapping[str, Any]],
  evaluation: Any,
  read_frames: Callable[[np.ndarray], np.ndarray],
  kernels: Mapping[str, np.ndarray],
  facts: Mapping[str, str],
  references: Mapping[str, float],
  best_step: int | None = None,
  fold: tuple[Task, Callable[[np.ndarray], np.ndarray]] | None = None,
) -> dict[str, bytes]:
  """Writes `index.html` and its pictures as PNG files.

  A picture that cannot be drawn is left out, with a warning.

  Args:
    folder: The report's folder; created if missing.
    name, task: Names of the run and of its task, such as "sum".
    history: Lines of metrics.jsonl, with None for inf and nan; may be empty.
    evaluation: An `evaluate.Predictions` of test sequences, or of validation
      sequences if the run is not finished.
    read_frames: [M] indices of sequences -> [M, T, H, W, C] uint8 or float.
    kernels: The first layer's "before" and "after" training, [kh, kw, C, F].
    facts: Label -> value, for the table at the end.
    references: Name -> mse of others on the same task.
    best_step: The step whose parameters were tested; None if the run is not
      finished.
    fold: For a model with a known fold: the task, and [M, T, H, W, C] frames ->
      [M, T, D] probabilities of the task's digits.

  Returns:
    The pictures, name -> PNG.
  """
  lengths, near = evaluation.lengths, evaluation.tolerance
  target = evaluation.final(evaluation.targets)
  prediction = evaluation.final(evaluation.predictions)
  is_vector = target.ndim > 1
  exact = is_exact(prediction, target, near)
  captions = Captions(task, near, has_digits=evaluation.labels is not None)
  with np.errstate(all="ignore"):  # predictions may be inf or nan
    error = prediction.astype(np.float64) - target
    miss = of_sequence(np.abs(error))
    numbers = {
      "mean squared error": number(np.square(error).mean()),
      captions.right: f"{exact.mean():.1%}",
      "mean absolute error": number(miss.mean()),
      "sequences": f"{len(exact):,}",
    }
    before, after = kernels["before"], kernels["after"]
    about_filters = captions.filters(before, after)

  pictures = []

  def add(
    name: str, chart: figures.Chart, data: tuple[Any, ...], caption: Caption
  ) -> None:
    try:
      light, dark = chart.light_and_dark(*data)
      pictures.append(page.Picture(name, light, dark, caption))
    except Exception as error:  # no picture is worth losing the report
      logging.warning(
        "report/%s.png is left out because drawing it failed: %s: %s",
        *(name, type(error).__name__, error),
      )

  drawn = [x["mse"] for x in history if x["split"] != "test"]
  drawn += references.values()
  add(
    "learning",
    learning.learning_curves,
    (history, references, best_step, near),
    captions.learning(scales.is_logarithmic(drawn)),
  )
  add(
    "agreement",
    errors.agreement,
    (target, prediction, value_name(task), near),
    captions.agreement(is_vector),
  )
  add(
    "errors",
    errors.errors,
    (lengths, target, prediction, value_name(task), near),
    captions.errors(lengths, exact),
  )
  if (matrix := _digits(evaluation)) is not None:
    about_digits = captions.digits(is_sequence=lengths.max() > 1)
    add("digits", errors.confusion, matrix, about_digits)
  random, worst = _choose(lengths, miss)
  if task in COLUMN_TASKS:
    random, worst = _choose_additions(exact), worst[:0]
  images = read_frames(np.concatenate([random, worst]))
  is_image = min(images.shape[2:4]) > 1  # else frames are vectors of numbers

  def add_sequences(
    name: str, which: np.ndarray, images: np.ndarray, caption: Caption
  ) -> None:
    values = evaluation.targets[which], evaluation.predictions[which]
    if is_image and which.size:
      data = images, lengths[which], *values, near
      add(name, frames.sequences, data, caption)

  if task == Addition.name:
    read = evaluation.digits
    known: tuple[Any, ...] = ()
    if read is not None:
      known = read[random], evaluation.labels[random]
    sums = prediction[random], target[random]
    wrong, columns = (~exact[random]).sum(), lengths[random].max() // 2
    add(
      "additions",
      addition.additions,
      (images, lengths[random], *sums, *known),
      captions.additions(wrong, columns, has_digits=read is not None),
    )
  elif task not in COLUMN_TASKS:
    about_random = captions.sequences(len(random), len(lengths), is_vector)
    add_sequences("sequences", random, images[: len(random)], about_random)
  if fold and (some := _choose_flow(lengths, exact, evaluation)).size:
    known_task, read_digits = fold
    shown = read_frames(some)
    data = shown, lengths[some], evaluation.labels[some], read_digits(shown)
    add("flow", fold_flow.flow, (*data, known_task), captions.flow())
  about_worst = captions.mistakes(len(worst))
  add_sequences("mistakes", worst, images[len(random) :], about_worst)
  if is_image:
    add("filters", filters.filters, (before, after), about_filters)

  split = "validation" if best_step is None else "test"
  html = page.render(
    name,
    captions.headline(history, len(exact), numbers, split),
    captions.notes(references, is_finished=best_step is not None),
    numbers,
    pictures,
    facts,
  )
  folder = epath.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  for picture in pictures:
    write_atomically(folder / f"{picture.name}.png", picture.light)
  write_atomically(folder / "index.html", html)
  return {picture.name: picture.light for picture in pictures}


def _digits(evaluation: Any) -> tuple[np.ndarray, np.ndarray] | None:
  """True and predicted digits, [K] each; None if no digits are predicted.

  They are known of cores with a known fold, and of tasks on sequences of one
  digit whose target is that digit.
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
  predictions = evaluation.predictions[:, 0]
  known = np.isfinite(predictions)
  nearest = np.clip(np.rint(predictions[known]), 0, 9).astype(int)
  return labels[known, 0], nearest


def _choose(
  lengths: np.ndarray, miss: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Indices of the sequences to show: some at random, and the largest errors.

  If all sequences are among the first, there are none of the second. `miss` has
  the absolute errors, [N].
  """
  most = min(MOST_SEQUENCES, len(miss))
  random = np.random.default_rng(0).choice(len(miss), most, replace=False)
  random = random[np.argsort(lengths[random], kind="stable")]
  if most == len(miss):
    return random, random[:0]
  miss = np.where(np.isnan(miss), np.inf, miss)
  worst = np.argsort(miss, kind="stable")[::-1][:most]
  return random, worst[miss[worst] > 0]


def _choose_additions(exact: np.ndarray) -> np.ndarray:
  """Indices of the additions to show: up to four wrong ones, then right ones.

  Where there are few right ones, there are more wrong ones.
  """
  order = np.random.default_rng(0).permutation(len(exact))
  wrong, right = order[~exact[order]], order[exact[order]]
  count = max(MOST_WRONG, MOST_ADDITIONS - len(right))
  return np.concatenate([wrong[:count], right])[:MOST_ADDITIONS]


def _choose_flow(
  lengths: np.ndarray, exact: np.ndarray, evaluation: Any
) -> np.ndarray:
  """Indices of three long sequences: a certain, an uncertain, a wrong one."""
  longest = min(lengths.max(), figures.MOST_FRAMES)
  long = np.flatnonzero(lengths == longest)
  loss = evaluation.final(evaluation.losses)[long]
  right, wrong = long[exact[long]], long[~exact[long]]
  order = np.argsort(loss[exact[long]], kind="stable")
  miss = np.argsort(loss[~exact[long]], kind="stable")
  return np.concatenate([right[order[:1]], right[order[-1:]], wrong[miss[:1]]])
