"""How the distribution of a running reduction evolves, frame by frame -> PNG.

For models with a known fold: the digits' probabilities determine the
distribution of the running sum or product exactly.
"""

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
  Chart,
  frame_gid,
  ink_on_paper,
)
from seqsum.sequences.tasks import Task

MIN_PROBABILITY = 0.005  # smaller ones are not drawn
LABELLED = 0.03  # more likely values have a label
SURE = 0.985  # more likely values have no percentage
FEW = 6  # frames; longer sequences have labels at the last one only
HIGH = 200  # larger values are on a logarithmic axis


class Transition(NamedTuple):
  """A step from one value to the next, with its joint probability."""

  step: int
  before: float
  after: float
  probability: float


def transitions(task: Task, digits: np.ndarray) -> Iterator[Transition]:
  """Yields the likely transitions of a running reduction.

  `digits` are the probabilities of the task's digits on each frame, [T, D].
  """
  values = {task.initial: 1.0}
  for step, probabilities in enumerate(digits):
    after: dict[float, float] = {}
    for value, prior in values.items():
      for digit, probability in zip(task.digits, probabilities, strict=True):
        joint = prior * float(probability)
        if not joint >= MIN_PROBABILITY / 10:  # or nan
          continue
        new = float(task.combine(value, float(digit)))
        after[new] = after.get(new, 0.0) + joint
        if joint >= MIN_PROBABILITY:
          yield Transition(step, value, new, joint)
    values = after


@Chart
def flow(
  figure: Any,
  frames: np.ndarray,
  lengths: np.ndarray,
  labels: np.ndarray,
  digits: np.ndarray,
  task: Task,
) -> None:
  """The distribution after each frame of some sequences, one below the other.

  The area of a circle is the probability of a value so far; lines are the
  digits that lead from one value to the next. The true value has a ring.

  Args:
    frames: [M, T, H, W, C] uint8.
    lengths: [M] int.
    labels: [M, T] int, the true digits.
    digits: [M, T, D] float, the model's probabilities of the task's digits.
  """
  if not len(frames):
    return
  figure.set_size_inches(WIDTH, 2.5 * len(frames))
  panels = figure.subplots(len(frames), 1, squeeze=False)[:, 0]
  longest = lengths.max()
  for axes, length, shown, true, likely in zip(
    panels, lengths, frames, labels, digits, strict=True
  ):
    sequence = shown[:length], true[:length], likely[:length]
    _draw_panel(axes, *sequence, task, longest)


def _draw_panel(
  axes: Any,
  frames: np.ndarray,
  labels: np.ndarray,
  digits: np.ndarray,
  task: Task,
  longest: int,
) -> None:
  from matplotlib.offsetbox import AnnotationBbox, OffsetImage

  nodes = {(0, task.initial): 1.0}  # (step, value) -> probability
  for step, before, after, probability in transitions(task, digits):
    node = step + 1, after
    nodes[node] = nodes.get(node, 0.0) + probability
    axes.plot(
      (step, step + 1),
      (before, after),
      color=BLUE,
      lw=0.6 + 5 * probability,
      alpha=0.15 + 0.3 * probability,
      solid_capstyle="round",
      zorder=1,
    )
  truth = [task.initial]
  for digit in labels:
    truth.append(float(task.combine(truth[-1], float(digit))))
  for (step, value), probability in nodes.items():
    color = BLUE if value == truth[step] else VERMILION
    area = 12 + 130 * probability
    axes.scatter(step, value, area, color=color, lw=0, zorder=2)
  axes.scatter(
    range(len(truth)), truth, 210, facecolors="none", edgecolors=INK, lw=0.8
  )
  for step, frame in enumerate(frames):
    at = step + 0.5, 1.0
    coordinates = "data", "axes fraction"
    axes.add_artist(
      AnnotationBbox(
        OffsetImage(
          ink_on_paper(frame),
          zoom=22 / max(frame.shape[:2]),
          interpolation="nearest",
          gid=frame_gid(frame),
        ),
        at,
        xycoords=coordinates,
        xybox=(0, 34),
        boxcoords="offset points",
        frameon=False,
        pad=0,
      )
    )
    likely = np.argsort(-digits[step])
    text = str(task.digits[likely[0]])
    if digits[step, likely[0]] < SURE:
      text = "\n".join(
        f"{task.digits[i]} {digits[step, i]:.0%}" for i in likely[:2]
      )
    axes.annotate(
      text,
      at,
      (0, 20),
      xycoords=coordinates,
      textcoords="offset points",
      ha="center",
      va="top",
      fontsize=7,
      color=GREY,
    )
  values = [value for _, value in nodes]
  if max(values) > HIGH:
    axes.set_yscale("symlog", linthresh=1)
  else:
    axes.yaxis.get_major_locator().set_params(integer=True)
  axes.margins(y=0.25)
  axes.set_xlim(-0.3, longest + 0.7)
  last = len(frames)
  for step in range(1, last + 1) if longest <= FEW else [last]:
    _label_values(axes, step, nodes, truth[step], step == last)
  axes.set_xticks(range(last + 1))
  axes.set_xlabel("frames read", fontsize=8)
  is_target = all(task.observe(value) == value for value in values)
  name = f"{task.name} so far" if is_target else f"value of fold '{task.name}'"
  axes.set_ylabel(name, fontsize=8)
  axes.set_axisbelow(True)
  axes.grid(axis="y", color=PALE, lw=0.5, alpha=0.6)
  axes.tick_params(labelsize=8)


def _label_values(
  axes: Any,
  step: int,
  nodes: Mapping[tuple[int, float], float],
  true: float,
  is_last: bool,
) -> None:
  """Writes the values of a step beside their circles, without overlap."""
  some = [
    (value, probability)
    for (at, value), probability in nodes.items()
    if at == step and probability > LABELLED
  ]
  if not is_last:  # lines leave the circles: there is room for two labels
    some = sorted(some, key=lambda one: -one[1])[:2]
  heights = scales.heights(axes, [value for value, _ in some])
  if is_last:
    heights = scales.spread_out(heights, 0.085)
  top = max((value for value, _ in some), default=0)
  for (value, probability), y in zip(some, heights, strict=True):
    if is_last:
      right = 5 + 5 * math.sqrt(probability) + 4 * (value == true)
      offset, ha, va = (right, 0), "left", "center"
    elif value == top:  # most lines rise: upper left and lower right are free
      offset, ha, va = (-6, 7), "right", "bottom"
    else:
      offset, ha, va = (6, -7), "left", "top"
    axes.annotate(
      f"{value:g}" + (f" {probability:.0%}" if probability < SURE else ""),
      (step, y),
      offset,
      xycoords=("data", "axes fraction"),
      textcoords="offset points",
      ha=ha,
      va=va,
      fontsize=8,
      color=INK if value == true else VERMILION,
      bbox={"fc": "white", "ec": "none", "pad": 0.4},  # hides the grid
    )
