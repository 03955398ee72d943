"""The picture of a distribution that flows through a fold, frame by frame."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from seqsum.figures import BLUE, GREY, INK, PALE, VERMILION, WIDTH, ink, picture
from seqsum.tasks import Task

LEAST = 0.005  # what is less likely is not drawn
HIGH = 200  # from there on, values are on a logarithmic axis


class Move(NamedTuple):
  """From one value to the next, with the probability of both."""

  step: int
  before: float
  after: float
  share: float


def moves(task: Task, digits: np.ndarray) -> Iterator[Move]:
  """All likely moves of a fold.

  Args:
    task: The fold.
    digits: [T, D] float, probabilities of the task's digits on each frame.
  """
  values = {task.initial: 1.0}
  for step, shares in enumerate(digits):
    after = {}
    for value, share in values.items():
      for digit, odds in zip(task.digits, shares, strict=True):
        both = share * float(odds)
        if both < LEAST / 10:
          continue
        new = float(task.combine(value, float(digit)))
        after[new] = after.get(new, 0.0) + both
        if both >= LEAST:
          yield Move(step, value, new, both)
    values = after


@picture
def flow(
  figure: Any,
  frames: np.ndarray,
  lengths: np.ndarray,
  labels: np.ndarray,
  digits: np.ndarray,
  task: Task,
) -> None:
  """What a fold that is given says of some sequences, one below the other.

  Circles are values so far, as large as they are likely; lines are the digits
  that lead from one to the next. The true value has a ring.

  Args:
    frames: [M, T, H, W, C] uint8.
    lengths: [M] int.
    labels: [M, T] int, the digits that are shown.
    digits: [M, T, D] float, the probabilities that the model gives them.
    task: The fold.
  """
  figure.set_size_inches(WIDTH, 2.5 * len(frames))
  panels = figure.subplots(len(frames), 1, squeeze=False)[:, 0]
  for axes, strip, length, shown, shares in zip(
    panels, frames, lengths, labels, digits, strict=True
  ):
    _panel(
      axes, strip[:length], shown[:length], shares[:length], task, lengths.max()
    )


def _panel(
  axes: Any,
  strip: np.ndarray,
  labels: np.ndarray,
  digits: np.ndarray,
  task: Task,
  longest: int,
) -> None:
  from matplotlib.offsetbox import AnnotationBbox, OffsetImage

  nodes = {(0, task.initial): 1.0}
  for move in moves(task, digits):
    place = move.step + 1, move.after
    nodes[place] = nodes.get(place, 0.0) + move.share
    axes.plot(
      (move.step, move.step + 1),
      (move.before, move.after),
      color=BLUE,
      lw=0.6 + 5 * move.share,
      alpha=0.15 + 0.3 * move.share,
      solid_capstyle="round",
      zorder=1,
    )
  truth = [task.initial]
  for digit in labels:
    truth.append(float(task.combine(truth[-1], float(digit))))
  for (step, value), share in nodes.items():
    right = value == truth[step]
    color = BLUE if right else VERMILION
    axes.scatter(step, value, 12 + 130 * share, color=color, lw=0, zorder=2)
    if step and share > 0.02:
      said = f"{value:g}" + (f" {share:.0%}" if share < 0.995 else "")
      axes.annotate(
        said,
        (step, value),
        (5 + 5 * math.sqrt(share), 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
        color=INK if right else VERMILION,
      )
  axes.scatter(
    range(len(truth)), truth, 210, facecolors="none", edgecolors=INK, lw=0.8
  )
  for step, image in enumerate(strip):
    at = step + 0.5, 1.0
    where = "data", "axes fraction"
    axes.add_artist(
      AnnotationBbox(
        OffsetImage(ink(image), zoom=0.8, interpolation="nearest"),
        at,
        xycoords=where,
        xybox=(0, 24),
        boxcoords="offset points",
        frameon=False,
        pad=0,
      )
    )
    likely = np.argsort(-digits[step])[:2]
    said = "  ".join(
      f"{task.digits[i]}: {digits[step, i]:.0%}"
      for i in likely
      if digits[step, i] > LEAST
    )
    axes.annotate(
      said,
      at,
      (0, 4),
      xycoords=where,
      textcoords="offset points",
      ha="center",
      fontsize=7,
      color=GREY,
    )
  values = [value for _, value in nodes]
  if max(values) > HIGH:
    axes.set_yscale("symlog", linthresh=1)
  axes.margins(y=0.25)
  axes.set_xlim(-0.15, longest + 0.6)
  axes.set_xticks(range(len(strip) + 1))
  axes.set_xlabel("frames read", fontsize=8)
  axes.set_ylabel(f"{task.name} so far", fontsize=8)
  axes.grid(axis="y", color=PALE, lw=0.5)
  axes.tick_params(labelsize=8)
