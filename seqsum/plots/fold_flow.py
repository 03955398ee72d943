"""The picture of a distribution that flows through a fold, frame by frame."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from seqsum.plots import scales
from seqsum.plots.figures import (
  BLUE,
  GREY,
  INK,
  PALE,
  VERMILION,
  WIDTH,
  ink,
  mark,
  nothing,
  picture,
)
from seqsum.sequences.tasks import Task

LEAST = 0.005  # what is less likely is not drawn
NAMED = 0.03  # what is more likely has its number beside it
SURE = 0.985  # what is more likely needs no percentage
FEW = 6  # frames
HIGH = 200  # from there on, values are on a logarithmic axis


class Move(NamedTuple):
  """From one value to the next, with the probability of both."""

  step: int
  before: float
  after: float
  share: float


def augmentation(task: Task, digits: np.ndarray) -> Iterator[Move]:
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
        if not both >= LEAST / 10:  # or nan
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
  if not len(frames):
    nothing(figure)
    return
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
  for move in augmentation(task, digits):
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
    color = BLUE if value == truth[step] else VERMILION
    axes.scatter(step, value, 12 + 130 * share, color=color, lw=0, zorder=2)
  axes.scatter(
    range(len(truth)), truth, 210, facecolors="none", edgecolors=INK, lw=0.8
  )
  for step, image in enumerate(strip):
    at = step + 0.5, 1.0
    where = "data", "axes fraction"
    axes.add_artist(
      AnnotationBbox(
        OffsetImage(
          ink(image),
          zoom=22 / max(image.shape[:2]),
          interpolation="nearest",
          gid=mark(image),
        ),
        at,
        xycoords=where,
        xybox=(0, 34),
        boxcoords="offset points",
        frameon=False,
        pad=0,
      )
    )
    likely = np.argsort(-digits[step])
    said = str(task.digits[likely[0]])
    if digits[step, likely[0]] < SURE:
      said = "\n".join(
        f"{task.digits[i]} {digits[step, i]:.0%}" for i in likely[:2]
      )
    axes.annotate(
      said,
      at,
      (0, 20),
      xycoords=where,
      textcoords="offset points",
      ha="center",
      va="top",
      fontsize=7,
      color=GREY,
    )
  values = [value for _, value in nodes]
  if max(values) > HIGH:
    axes.set_yscale("symlog", linthresh=1)
  axes.margins(y=0.25)
  axes.set_xlim(-0.3, longest + 0.7)
  # Of many frames there is room for the last values alone.
  for step in range(1, len(strip) + 1) if longest <= FEW else [len(strip)]:
    _name_values(axes, step, nodes, truth[step], step == len(strip))
  axes.set_xticks(range(len(strip) + 1))
  axes.set_xlabel("frames read", fontsize=8)
  axes.set_ylabel(f"{task.name} so far", fontsize=8)
  axes.set_axisbelow(True)
  axes.grid(axis="y", color=PALE, lw=0.5, alpha=0.6)
  axes.tick_params(labelsize=8)


def _name_values(
  axes: Any,
  step: int,
  nodes: Mapping[tuple[int, float], float],
  true: float,
  is_last: bool,
) -> None:
  """Writes the values of a step beside their circles, none over another."""
  some = [
    (value, share)
    for (at, value), share in nodes.items()
    if at == step and share > NAMED
  ]
  if not is_last:  # flows go on from here: there is room for two
    some = sorted(some, key=lambda one: -one[1])[:2]
  places = scales.heights(axes, [value for value, _ in some])
  if is_last:
    places = scales.apart(places, 0.085)
  top = max((value for value, _ in some), default=0)
  for (value, share), y in zip(some, places, strict=True):
    if is_last:
      right = 5 + 5 * math.sqrt(share) + 4 * (value == true)
      place, ha, va = (right, 0), "left", "center"
    elif value == top:  # flows come from below and go on upwards, mostly
      place, ha, va = (-6, 7), "right", "bottom"
    else:
      place, ha, va = (6, -7), "left", "top"
    axes.annotate(
      f"{value:g}" + (f" {share:.0%}" if share < SURE else ""),
      (step, y),
      place,
      xycoords=("data", "axes fraction"),
      textcoords="offset points",
      ha=ha,
      va=va,
      fontsize=8,
      color=INK if value == true else VERMILION,
      bbox={"fc": "white", "ec": "none", "pad": 0.4},  # over the grid
    )
