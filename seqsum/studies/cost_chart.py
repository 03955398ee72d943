"""Error against cost, with the Pareto front: lines of results.jsonl -> PNG."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqsum.plots import scales
from seqsum.plots.figures import BLUE, GREY, PALE, WIDTH, Chart
from seqsum.studies.charts import SMALL, Lines, by_variant, finished

# Offsets of a label from its point: distance in points, and angle.
ANGLES = (0, 180, 90, 270, 45, 225, 135, 315)
OFFSETS = tuple(itertools.product((9, 14, 18, 27, 45, 72), ANGLES))


def pareto(costs: np.ndarray, errors: np.ndarray) -> np.ndarray:
  """[N] bool, the points that no other point dominates.

  Args:
    costs, errors: [N] float, the lower the better.
  """
  no_worse = (costs[:, None] <= costs) & (errors[:, None] <= errors)
  better = (costs[:, None] < costs) | (errors[:, None] < errors)
  return ~np.any(no_worse & better, axis=0)


@Chart
def cost(figure: Any, lines: Lines) -> None:
  """Mean test error of each variant against its size and training time.

  The line is the Pareto front.
  """
  groups = by_variant(finished(lines))
  if not groups:
    return
  figure.set_size_inches(WIDTH, 7)
  mean = lambda value: np.array(  # nan where a value is null
    [
      np.array([value(x) for x in group], float).mean()
      for group in groups.values()
    ]
  )
  errors = mean(lambda line: line["test"]["mse"])
  rates = mean(lambda line: line["sequences_per_second"])
  for axes, label, costs in zip(
    figure.subplots(2, 1),
    ("parameters", "seconds to train on 1,000 sequences"),
    (mean(lambda line: line["parameters"]), 1000 / rates),
    strict=True,
  ):
    axes.set(xlabel=label, ylabel="test mse")
    known = np.isfinite(costs) & np.isfinite(errors)
    if not known.any():
      continue
    x, y = costs[known], errors[known]
    front = pareto(x, y)
    order = np.flatnonzero(front)[np.argsort(x[front])]
    axes.step(x[order], y[order], where="post", color=PALE, zorder=0)
    axes.plot(x[~front], y[~front], "o", ms=5, mfc="none", mec=GREY)
    axes.plot(x[front], y[front], "o", ms=6, color=BLUE)
    axes.margins(0.12)
    scales.fitting(axes.xaxis, x)
    scales.fitting(axes.yaxis, y)
    figure.draw_without_rendering()  # fixes the layout
    _label_points(axes, x, y, np.array(list(groups))[known], front, order)


def _label_points(
  axes: Any,
  x: np.ndarray,
  y: np.ndarray,
  names: Sequence[str],
  front: np.ndarray,
  order: np.ndarray,
) -> None:
  """Writes names beside points, on no other name, point or part of the front.

  A name that is not next to its point has a thin line to it. A name that fits
  nowhere is left out.
  """
  from matplotlib.transforms import Bbox

  points = axes.transData.transform(np.stack([x, y], axis=1))
  taken = [Bbox.from_extents(*(p - 4), *(p + 4)) for p in points]
  for (left, high), (right, low) in itertools.pairwise(points[order]):
    taken.append(Bbox.from_extents(left, high - 1, right, high + 1))
    taken.append(Bbox.from_extents(right - 1, min(low, high), right + 1, high))
  for i in np.argsort(~front, kind="stable"):
    for distance, angle in OFFSETS:
      dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
      at = (x[i], y[i]), (distance * dx, distance * dy)
      label = axes.annotate(
        names[i],
        *at,
        textcoords="offset points",
        ha="center" if abs(dx) < 0.5 else "left" if dx > 0 else "right",
        va="center" if abs(dy) < 0.5 else "bottom" if dy > 0 else "top",
        fontsize=SMALL,
        color=BLUE if front[i] else GREY,
        in_layout=False,
      )
      box = label.get_window_extent()
      inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
      nearest = np.clip(points, (box.x0, box.y0), (box.x1, box.y1))
      gaps = np.hypot(*(nearest - points).T)
      is_led = distance > OFFSETS[0][0] or angle % 90 > 0
      is_clear = is_led or (np.delete(gaps, i) > 1.5 * gaps[i]).all()
      if inside and is_clear and not any(box.overlaps(x) for x in taken):
        taken.append(box)
        if is_led:
          line = {"arrowstyle": "-", "lw": 0.5, "color": GREY, "shrinkA": 0}
          how = {"textcoords": "offset points", "in_layout": False}
          axes.annotate("", *at, arrowprops=line, **how)
        break
      label.remove()
