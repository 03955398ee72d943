"""Additions of two numbers, as on paper -> PNG.

Of long numbers only some columns are shown, those around the first mistakes.
"""

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from seqsum.plots.figures import (
  BLUE,
  GREY,
  INK,
  VERMILION,
  WIDTH,
  Chart,
  frame_gid,
  ink_on_paper,
)
from seqsum.sequences.addition import find_carries
from seqsum.sequences.tasks import ROUNDING

MOST_COLUMNS = 15  # shown of one addition
MISTAKES = 3  # of a long addition, whose surroundings are shown
MARGIN = 0.1  # inches
LARGEST = 0.36, 0.55  # side of a frame in inches: of several additions, of one
GAP = 0.8  # width of columns that are left out, in frames
MARK = 0.8  # width of ✓ or ✗, in frames


class _Addition(NamedTuple):
  """An addition of N columns; arrays begin at the least significant one.

  Attributes:
    frames: [N, 2, H, W, C] uint8.
    sum, true_sum: [N + 1] float, its digits.
    digits, labels: [N, 2] int, predicted and true digits of the frames.
  """

  frames: np.ndarray
  sum: np.ndarray
  true_sum: np.ndarray | None
  digits: np.ndarray | None
  labels: np.ndarray | None

  @property
  def mistakes(self) -> np.ndarray:
    """Columns below N with a wrong digit of the sum or of a frame."""
    is_wrong = np.zeros(len(self.frames), bool)
    if self.true_sum is not None:
      is_wrong |= _is_wrong(self.sum, self.true_sum)[:-1]
    if self.digits is not None and self.labels is not None:
      is_wrong |= (self.digits != self.labels).any(axis=1)
    return np.flatnonzero(is_wrong)


class _Style(NamedTuple):
  """Lengths in inches, sizes of fonts in points.

  Attributes:
    side: Of a frame.
    has_digits: Whether digits of frames and carries are written.
    has_truth: Whether true sums are known.
  """

  side: float
  has_digits: bool
  has_truth: bool

  @property
  def small(self) -> float:
    return min(max(21 * self.side, 6.5), 9)

  @property
  def large(self) -> float:
    return 1.6 * self.small

  @property
  def line(self) -> float:
    """The height of a line of small text."""
    return 1.4 * self.small / 72

  def top(self, row: int) -> float:
    """The top of the first or second row of frames, 0 or 1."""
    text = self.line if self.has_digits else 0.03
    return 0.03 + text + row * (self.side + text)

  @property
  def rule(self) -> float:
    return self.top(2) + 0.01

  @property
  def sum(self) -> float:
    """The baseline of the sum."""
    return self.rule + 1.15 * self.large / 72

  @property
  def height(self) -> float:
    return self.sum + self.line * self.has_truth + 0.1


@Chart
def additions(
  figure: Any,
  frames: np.ndarray,
  lengths: np.ndarray,
  sums: np.ndarray,
  true_sums: np.ndarray | None = None,
  digits: np.ndarray | None = None,
  labels: np.ndarray | None = None,
) -> None:
  """Two rows of frames, a rule and the predicted sum of each addition.

  With the predicted digits of the frames, these are below the frames, and
  carries are above the columns. Mistakes are followed by what is true.

  Args:
    frames: [M, T, H, W, C] uint8, in the order of `Addition`.
    lengths: [M] int, even, 2..T.
    sums, true_sums: [M, D] float, digits of the sum, least significant first;
      D is at least T / 2 + 1.
    digits, labels: [M, T] int, predicted and true digits of the frames.
  """
  if not len(frames):
    return
  several = [
    _Addition(
      frames[i, : 2 * n].reshape(n, 2, *frames.shape[2:]),
      sums[i, : n + 1],
      None if true_sums is None else true_sums[i, : n + 1],
      None if digits is None else digits[i, : 2 * n].reshape(n, 2),
      None if labels is None else labels[i, : 2 * n].reshape(n, 2),
    )
    for i, n in enumerate(lengths // 2)
  ]
  places = [place_columns(len(x.frames), x.mistakes) for x in several]
  has_truth = true_sums is not None
  widest = max(place[-1] for place in places) + MARK * has_truth  # in frames
  room = WIDTH - 2 * MARGIN
  side = min(LARGEST[len(several) == 1], room / widest)
  style = _Style(side, digits is not None, has_truth)
  across = min(len(several), int(room / (widest * side) + 1e-6))
  width = WIDTH
  if len(several) == 1 and not has_truth:
    width = max(1.6, widest * side + 2 * MARGIN)
  legend = 0.3 * has_truth
  tall = legend + -(-len(several) // across) * style.height
  figure.set(size_inches=(width, tall), layout_engine="none")
  axes = figure.add_axes((0, 0, 1, 1))
  axes.axis("off")
  if has_truth:
    write = functools.partial(axes.text, y=0.18, va="baseline", fontsize=8)
    write(width - MARGIN, s="✗ wrong", ha="right", color=VERMILION)
    write(width - 0.75, s="✓ exactly right", ha="right", color=BLUE)
    write(MARGIN, s="4≠9: predicted 4, true 9", color=GREY)
  for i, (one, place) in enumerate(zip(several, places, strict=True)):
    row, column = divmod(i, across)
    left = MARGIN + column * room / across
    at = {k: left + side * x for k, x in place.items()}
    _draw(axes, at, legend + row * style.height, one, style)
  axes.set(xlim=(0, width), ylim=(tall, 0))  # inches


def place_columns(count: int, mistakes: np.ndarray) -> dict[int, float]:
  """Chooses columns and places them, most significant first.

  Of more than `MOST_COLUMNS` columns those nearest to the first, least
  significant `MISTAKES` are chosen, or to column 0.

  Args:
    count: N; the leading column of the sum, N, is always there.
    mistakes: [K] int, columns.

  Returns:
    Column -> its left end, in widths of a column, with a gap of `GAP` where
    columns are left out; -1 -> the right end of all.
  """
  near = mistakes[:MISTAKES] if len(mistakes) else np.zeros(1, int)
  distance = np.abs(np.arange(count)[:, None] - near[None]).min(axis=1)
  chosen = np.sort(np.argsort(distance, kind="stable")[:MOST_COLUMNS])
  places, right = {}, 0.0
  for column, before in zip(
    [count, *chosen[::-1].tolist(), -1],
    [count + 1, count, *chosen[::-1].tolist()],
    strict=True,
  ):
    right += GAP * (column < before - 1)
    places[column] = right
    right += 1
  return places


def _draw(
  axes: Any, places: dict[int, float], top: float, one: _Addition, style: _Style
) -> None:
  """Draws one addition.

  Args:
    places: As by `place_columns`, in inches.
    top: Of the addition, in inches.
  """
  write = functools.partial(
    axes.text, ha="center", va="baseline", fontsize=style.small
  )
  right, side, leading = places[-1], style.side, len(one.frames)
  for column, left in places.items():
    if column in (leading, -1):
      continue
    for row in range(2):
      above = top + style.top(row)
      axes.imshow(
        ink_on_paper(one.frames[column, row]),
        extent=(left, left + side, above + side, above),
        interpolation="nearest",
        gid=frame_gid(one.frames[column, row]),
      )
  middle = top + style.top(1) + side / 2
  plus = places[leading] + side / 2
  write(plus, middle, "+", va="center", fontsize=style.large)
  _draw_gaps(write, places, top, style)
  ends = places[leading], right
  axes.plot(ends, (top + style.rule,) * 2, color=INK, lw=1)
  if one.digits is not None:
    labels = one.digits if one.labels is None else one.labels
    _write_digits(write, places, top, one.digits, labels, style)
  _write_sum(write, places, top, one, style)


def _draw_gaps(
  write: Callable[..., Any],
  places: dict[int, float],
  top: float,
  style: _Style,
) -> None:
  """Writes how many columns are left out."""
  columns = list(places)
  for before, column in itertools.pairwise(columns):
    missing = before - column - 1
    if missing:
      x = places[column] - GAP * style.side / 2
      y = top + (style.top(0) + style.top(1) + style.side) / 2
      text = f"{missing} column{'s' * (missing > 1)}"
      write(x, y, text, va="center", rotation=90, color=GREY)
      write(x, top + style.sum, "…", color=GREY)


def _write_digits(
  write: Callable[..., Any],
  places: dict[int, float],
  top: float,
  digits: np.ndarray,
  labels: np.ndarray,
  style: _Style,
) -> None:
  """Writes carries above the columns and digits below their frames."""
  carries = find_carries(digits.reshape(-1))
  true_carries = find_carries(labels.reshape(-1))
  for column, left in places.items():
    if column < 0:
      continue
    x = left + style.side / 2
    if carries[column] or true_carries[column]:
      text, look = _mark(carries[column], true_carries[column])
      write(x, top + style.top(0) - 0.25 * style.line, text, **look)
    for row in range(2 if column < len(digits) else 0):
      text, look = _mark(digits[column, row], labels[column, row])
      y = top + style.top(row) + style.side + 0.75 * style.line
      write(x, y, text, **look)


def _write_sum(
  write: Callable[..., Any],
  places: dict[int, float],
  top: float,
  one: _Addition,
  style: _Style,
) -> None:
  """Writes the digits of the sum, and whether they are right."""
  true_sum = one.sum if one.true_sum is None else one.true_sum
  is_wrong = _is_wrong(one.sum, true_sum)
  write = functools.partial(write, weight="bold")
  for column, left in places.items():
    x, y = left + style.side / 2, top + style.sum
    if column < 0:
      if one.true_sum is not None:
        text, color = ("✗", VERMILION) if is_wrong.any() else ("✓", BLUE)
        write(x, y, text, fontsize=style.large, color=color)
    elif column < len(one.frames) or one.sum[column] or true_sum[column]:
      color = VERMILION if is_wrong[column] else INK
      text = _as_digit(one.sum[column])
      write(x, y, text, fontsize=style.large, color=color)
      if is_wrong[column] and one.true_sum is not None:
        text = f"≠{_as_digit(true_sum[column])}"
        write(x, y + style.line, text, color=VERMILION)


def _mark(digit: int, true: int) -> tuple[str, dict[str, str]]:
  """The text of a digit, "4" or "4≠9", and how to write it."""
  if digit == true:
    return f"{digit}", {"color": GREY}
  return f"{digit}≠{true}", {"color": VERMILION, "weight": "bold"}


def _as_digit(value: float) -> str:
  """A digit of a sum as text; a regression may predict any number."""
  if not np.isfinite(value):
    return "?"
  return str(int(np.clip(np.rint(value), -9, 99)))


def _is_wrong(sums: np.ndarray, true_sums: np.ndarray) -> np.ndarray:
  """Whether digits do not round to the true ones, or are not finite."""
  return ~(np.abs(sums - true_sums) < ROUNDING)
