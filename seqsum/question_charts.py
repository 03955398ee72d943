"""Charts that answer one question each: lines of a results.jsonl -> PNG."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqsum import figures
from seqsum.divergence_study import courses
from seqsum.figures import BLUE, GREY, PALE, WIDTH, picture
from seqsum.study_charts import (
  COLORS,
  SMALL,
  Lines,
  by_variant,
  final,
  finished,
  fitting,
  learning,
  scale,
)


def pareto(costs: np.ndarray, errors: np.ndarray) -> np.ndarray:
  """[N] bool, which points no other beats in one without losing in the other.

  Args:
    costs, errors: [N] float, the lower the better.
  """
  no_worse = (costs[:, None] <= costs) & (errors[:, None] <= errors)
  better = (costs[:, None] < costs) | (errors[:, None] < errors)
  return ~(no_worse & better).any(axis=0)


@picture
def cost(figure: Any, lines: Lines) -> None:
  """Mean test error of each variant against its size and its time.

  The line is the Pareto front: nothing left of and below it was seen.
  """
  figure.set_size_inches(WIDTH, 7)
  groups = {
    name: finished(group)
    for name, group in by_variant(lines).items()
    if finished(group)
  }
  mean = lambda value: np.array(
    [np.mean([value(x) for x in group]) for group in groups.values()]
  )
  errors = mean(lambda line: line["test"]["mse"])
  for axes, label, costs in zip(
    figure.subplots(2, 1),
    ("parameters", "seconds to train on 1,000 sequences"),
    (
      mean(lambda line: line["parameters"]),
      mean(lambda line: 1000 / line["sequences_per_second"]),
    ),
    strict=True,
  ):
    axes.set(xlabel=label, ylabel="test mse")
    if not errors.size:
      continue
    front = pareto(costs, errors)
    order = np.flatnonzero(front)[np.argsort(costs[front])]
    axes.step(costs[order], errors[order], where="post", color=PALE, zorder=0)
    axes.plot(costs[~front], errors[~front], "o", ms=5, mfc="none", mec=GREY)
    axes.plot(costs[front], errors[front], "o", ms=6, color=BLUE)
    axes.margins(0.12)
    scale(axes.xaxis, fitting(costs))
    scale(axes.yaxis, fitting(errors))
    names = np.array(list(groups))
    _name_points(figure, axes, costs, errors, names, front)


def _name_points(
  figure: Any,
  axes: Any,
  x: np.ndarray,
  y: np.ndarray,
  names: Sequence[str],
  front: np.ndarray,
) -> None:
  """Writes names beside points; where there is no room, a thin line leads."""
  from matplotlib.transforms import Bbox

  figure.draw_without_rendering()  # now everything has its place
  points = axes.transData.transform(np.stack([x, y], axis=1))
  taken = [Bbox.from_extents(*(p - 4), *(p + 4)) for p in points * 1.0]
  for i in np.argsort(~front, kind="stable"):
    for ring, angle in itertools.product((1, 2, 3, 5, 8), range(0, 360, 45)):
      dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
      word = axes.annotate(
        names[i],
        (x[i], y[i]),
        (9 * ring * dx, 9 * ring * dy),
        textcoords="offset points",
        ha="center" if abs(dx) < 0.5 else "left" if dx > 0 else "right",
        va="center" if abs(dy) < 0.5 else "bottom" if dy > 0 else "top",
        fontsize=SMALL,
        color=BLUE if front[i] else GREY,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4},
        arrowprops={"arrowstyle": "-", "lw": 0.5, "color": GREY}
        if ring > 1
        else None,
      )
      word.set_in_layout(False)
      box = word.get_window_extent()
      inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
      # Without a line, a name belongs to the nearest point.
      away = np.hypot(
        *(np.clip(points, (box.x0, box.y0), (box.x1, box.y1)) - points).T
      )
      clear = ring > 1 or away.argmin() == i
      if inside and clear and not any(box.overlaps(x) for x in taken):
        taken.append(box)
        break
      word.remove()


@picture
def steps(figure: Any, lines: Lines) -> None:
  """How wrong the prediction is at each step, whether asked for or not."""
  _against(
    figure, lines, "by_step", "frames read", "test mse of the sum so far"
  )


@picture
def targets(figure: Any, lines: Lines) -> None:
  """Error against the size of the true value."""
  _against(figure, lines, "by_target", "true value", "test mae", "mae")


def _against(
  figure: Any,
  lines: Lines,
  group_by: str,
  xlabel: str,
  ylabel: str,
  metric: str = "mse",
) -> None:
  """A curve a variant: the mean over its runs of a part of the test."""
  figure.set_size_inches(WIDTH, 3.6)
  axes = figure.subplots()
  axes.set(xlabel=xlabel, ylabel=ylabel)
  values = []
  for (name, group), color in zip(
    by_variant(finished(lines)).items(), itertools.cycle(COLORS), strict=False
  ):
    x = sorted(map(float, group[0][group_by]))
    y = [np.mean([r[group_by][f"{v:g}"][metric] for r in group]) for v in x]
    axes.plot(x, y, "o-", ms=3, color=color, label=name)
    values += y
  scale(axes.yaxis, fitting(np.array(values)))
  axes.legend(fontsize=SMALL)


@picture
def lengths(figure: Any, lines: Lines) -> None:
  """Sequences longer than those trained on: exactly right, and mean error."""
  figure.set_size_inches(WIDTH, 5.6)
  above, below = figure.subplots(2, 1, sharex=True)
  for (name, group), color in zip(
    by_variant(finished(lines)).items(), itertools.cycle(COLORS), strict=False
  ):
    x = [line["length"] for line in group[0]["measured"]]
    for axes, metric, unit in (
      (above, "exact_accuracy", 100),
      (below, "mae", 1),
    ):
      runs = [[m[metric] * unit for m in run["measured"]] for run in group]
      axes.plot(x, np.transpose(runs), color=color, lw=0.8, alpha=0.5)
      axes.plot(x, np.mean(runs, axis=0), "o-", ms=3, color=color, label=name)
  above.set_ylabel("exactly right (%)")
  above.legend(fontsize=SMALL)
  below.set(xlabel="frames in the sequence", ylabel="mean absolute error")
  scale(below.yaxis, "log")
  below.set_xscale("log")
  longest = max(x, default=1) if finished(lines) else 1
  ticks = [t for t in (1, 2, 4, 10, 20, 50, 100, 300, 1000) if t <= longest]
  below.set_xticks(ticks, list(map(str, ticks)))
  below.minorticks_off()


@picture
def pairs(figure: Any, lines: Lines) -> None:
  """For each variant, how many of each two digits' sequences are exact."""
  groups = by_variant(finished(lines))
  across = 3
  down = math.ceil(len(groups) / across)
  figure.set_size_inches(WIDTH, 1.75 * down + 0.4)
  panels = figure.subplots(down, across, squeeze=False).ravel()
  for axes in panels:
    axes.set_axis_off()
  for axes, (name, group) in zip(panels, groups.items(), strict=False):
    axes.set_axis_on()
    right = sum(np.array(x["measured"]["right"]) for x in group)
    seen = sum(np.array(x["measured"]["seen"]) for x in group)
    image = axes.imshow(
      100 * right / np.maximum(seen, 1), cmap="Blues", vmin=0, vmax=100
    )
    axes.set_title(f"{name}: {right.sum() / seen.sum():.1%}", fontsize=SMALL)
    axes.set(xticks=range(0, 10, 3), yticks=range(0, 10, 3))
    axes.spines[:].set_visible(False)
  if groups:
    bar = figure.colorbar(image, ax=panels, location="bottom", aspect=50)
    bar.set_label(
      "exactly right (%), by first digit (down) and second (across)"
    )


@picture
def filters(figure: Any, lines: Lines) -> None:
  """First layers of the first run of each of two variants, one above another.

  A study with another number of variants shows its first two.
  """
  kernels = {
    name: np.array(group[0]["measured"]["after"])
    for name, group in by_variant(finished(lines)).items()
  }
  names = list(kernels)[:2]
  figures.draw_filters(figure, {name: kernels[name] for name in names})


FIGURES = {
  "learning": learning,
  "final": final,
  "cost": cost,
  "courses": courses,
  "steps": steps,
  "targets": targets,
  "lengths": lengths,
  "pairs": pairs,
  "filters": filters,
}
