"""The predicted sum of two numbers in image files, as text, JSON or a plot."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from seqsum.inference import answer
from seqsum.inference.trained import TrainedModel
from seqsum.plots import addition
from seqsum.runtime import files
from seqsum.runtime.errors import InputError
from seqsum.sequences.addition import Addition, column_order, find_carries

TASK = Addition.name
PLUS = "+"  # the argument between two numbers
BLOCK = 36  # most columns in a line of text


@dataclasses.dataclass(frozen=True)
class AdditionAnswer:
  """The prediction for two numbers of N digits.

  Names, frames and digits are those of the first number and then those of the
  second, most significant digit first, as people write them.

  Attributes:
    model: The model.
    names: [2N], one for each frame.
    frames: [2N, H, W, C] uint8.
    predictions: [N + 1] float32, the digits of the sum, least significant
      first.
    digit_probabilities: [2N, 10] float32; None for a learned recurrence, which
      predicts the digits of the sum only.
    digits: [2N] int, the likeliest digits, or None.
    probability: That of the predicted sum, or None.
    warnings: One line for each doubtful image.
  """

  model: TrainedModel
  names: Sequence[str]
  frames: np.ndarray
  predictions: np.ndarray
  digit_probabilities: np.ndarray | None
  digits: np.ndarray | None
  probability: float | None
  warnings: Sequence[str]

  @property
  def columns(self) -> int:
    """N, digits of each number."""
    return len(self.names) // 2

  @property
  def sum(self) -> str | None:
    """The digits of the sum; None if the model's outputs are not finite."""
    written = self._written_sum()
    return written and (written.lstrip("0") or "0")

  @property
  def numbers(self) -> tuple[str, str] | None:
    """The two numbers, as long as they are written."""
    if self.digits is None:
      return None
    written = "".join(map(str, self.digits))
    return written[: self.columns], written[self.columns :]

  @property
  def carries(self) -> list[int] | None:
    """[N + 1], into each column of the sum, most significant column first."""
    if self.digits is None:
      return None
    ordered = self.digits[column_order(self.columns)]
    return find_carries(ordered)[::-1].tolist()

  def as_text(self, columns: int | None = None) -> str:
    """Numbers, carries and sum as on paper, and a line with the sum.

    With `columns`, the width of the terminal, they follow the frames, each with
    its digit.
    """
    lines = []
    if columns:
      width = max(map(len, self.names))
      for t, (name, frame) in enumerate(
        zip(self.names, self.frames, strict=True)
      ):
        lines.append(answer.frame_as_text(frame, columns))
        line = name
        if self.digits is not None and self.digit_probabilities is not None:
          probability = self.digit_probabilities[t, self.digits[t]]
          line = f"{name:{width}}  {self.digits[t]}  {probability:6.1%}"
        lines.append(line)
    lines += self._as_on_paper()
    final = f"{self.model.task}: {self.sum or 'not finite'}"
    if self.probability is not None:
      form = ".1%" if self.probability >= 0.001 else ".1e"
      final += f"  (probability {self.probability:{form}})"
    if len(self.names) > self.model.max_len:
      final += (
        f"  (numbers of {self.columns} digits; {self.model.name} was trained "
        f"on at most {self.model.max_len // 2})"
      )
    return "\n".join([*lines, final])

  def as_json(self) -> dict[str, Any]:
    """The output of `seqsum.predict --json`.

    Numbers and sum are strings of digits, since they may have hundreds.
    """
    rows: list[dict[str, Any]] = [{"file": name} for name in self.names]
    if self.digits is not None and self.digit_probabilities is not None:
      places = np.arange(len(self.digits)), self.digits
      likeliest = self.digit_probabilities[places].tolist()
      for row, digit, probability in zip(
        rows, self.digits.tolist(), likeliest, strict=True
      ):
        row |= {"digit": digit, "probability": probability}
    return files.to_json(
      {
        "run": self.model.name,
        "step": self.model.step,
        "task": self.model.task,
        "longest_trained": self.model.max_len,
        "images": rows,
        "numbers": self.numbers,
        "carries": self.carries,
        "sum": self.sum,
        "probability": self.probability,
        "warnings": list(self.warnings),
      }
    )

  def plot(self, animated: bool) -> bytes:
    """The addition as on paper, a PNG.

    Raises:
      InputError: `animated`.
    """
    if animated:
      raise InputError("--plot: an addition has no animation; name a .png file")
    order = column_order(self.columns)
    return addition.additions(
      self.frames[order][None],
      np.array([len(order)]),
      self.predictions[None],
      digits=None if self.digits is None else self.digits[order][None],
    )

  def _written_sum(self) -> str | None:
    """All N + 1 digits."""
    if not np.isfinite(self.predictions).all():
      return None
    nearest = np.clip(np.rint(self.predictions), 0, 9).astype(int)
    return "".join(map(str, nearest[::-1]))

  def _as_on_paper(self) -> list[str]:
    """Carries, numbers, a rule and the sum, in blocks of columns."""
    total = self._written_sum()
    if self.carries is None or self.numbers is None or total is None:
      return []
    first, second = self.numbers
    carries = "".join(" 1"[carry] for carry in self.carries)
    total = " " + total[1:] if total[0] == "0" else total
    rows = carries, f" {first}", f"+{second}", total
    blocks = math.ceil(len(total) / BLOCK)
    size = math.ceil(len(total) / blocks)
    lines = []
    for start in range(0, len(total), size):
      part = slice(start, start + size)
      block = [" ".join(row[part]) for row in rows]
      block.insert(3, "─" * len(block[2]))
      if not carries.strip():
        del block[0]
      lines += [line.rstrip() for line in block] + [""]
    return lines


def predict_files(model: TrainedModel, paths: Sequence[str]) -> AdditionAnswer:
  """Reads files as two numbers and predicts their sum.

  Args:
    model: A model of the task 'addition'.
    paths: The digits of both numbers, most significant first, with `PLUS`
      between the numbers. Without it each number has half of the images.

  Raises:
    InputError: The files are not two numbers of equal length, or one cannot be
      read; see `TrainedModel.read_files`.
  """
  count = list(paths).count(PLUS)
  if count > 1:
    raise InputError(f"{count} +: give two numbers, with one + between them")
  if count:
    at = list(paths).index(PLUS)
    both = paths[:at], paths[at + 1 :]
    for place, some in zip(("before", "after"), both, strict=True):
      if not some:
        raise InputError(f"no images {place} +: give two numbers of images")
    rows = [answer.read_files(model, some) for some in both]
  else:
    rows = [answer.read_files(model, paths)]
  names = [name for row in rows for name in row[0]]
  frames = np.concatenate([row[1] for row in rows])
  lines = [line for row in rows for line in row[2]]
  if count:
    first, second = (len(row[0]) for row in rows)
    if first != second:
      raise InputError(
        f"numbers of {first} and {second} digits: write leading zeros, so that "
        "both have equally many"
      )
  elif len(names) % 2:
    raise InputError(
      f"{len(names)} images: put + between two numbers of equal length; write "
      "leading zeros"
    )
  return AdditionAnswer(model, names, frames, *_predict(model, frames), lines)


def _predict(
  model: TrainedModel, frames: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, float | None]:
  """The fields of `AdditionAnswer` from `predictions` to `probability`.

  `frames` are [2N, H, W, C] in the order of `AdditionAnswer`.
  """
  columns = len(frames) // 2
  order = column_order(columns)
  objective: Any = model.experiment.objective
  fold = objective.fold

  @jax.jit
  def predict(params, frames):
    outputs: Any = model.experiment.model.apply(params, frames)
    predictions, _ = objective.decode(outputs)
    sums = predictions[:, -1, : columns + 1]
    if fold is None:
      return sums, None
    known = fold.probabilities(outputs), fold.digits(outputs)
    return sums, (*known, fold.log_probability(outputs, sums))

  (sums,), known = jax.device_get(predict(model.params, frames[order][None]))
  if len(sums) <= columns:
    raise InputError(
      f"numbers of {columns} digits: {model.name} adds numbers of at most "
      f"{len(sums) - 1}"
    )
  if known is None:
    return sums, None, None, None
  (probabilities,), (digits,), (log_probability,) = known
  probability = None
  if np.isfinite(sums).all():
    probability = math.exp(min(0.0, float(log_probability)))
  written = np.argsort(order)
  return sums, probabilities[written], digits[written], probability
