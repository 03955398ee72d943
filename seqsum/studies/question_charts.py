"""Charts that answer one question each: lines of a results.jsonl -> PNG."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqsum.plots import figures, scales
from seqsum.plots.figures import BLUE, GREY, PALE, WIDTH, nothing, picture
from seqsum.studies.charts import (
  COLORS,
  SMALL,
  Lines,
  by_variant,
  final,
  finished,
  learning,
)
from seqsum.studies.divergence import courses

FEW = 10  # sequences; a mean of fewer is drawn hollow
MARKERS = "osD^vPX"  # they separate curves with equal values


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
  groups = {
    name: finished(group)
    for name, group in by_variant(lines).items()
    if finished(group)
  }
  if not groups:
    nothing(figure)
    return
  figure.set_size_inches(WIDTH, 7)
  mean = lambda value: np.array(
    [
      np.mean([value(x) for x in group], dtype=float)
      for group in groups.values()
    ]
  )
  errors = mean(lambda line: _float(line["test"]["mse"]))
  for axes, label, costs in zip(
    figure.subplots(2, 1),
    ("parameters", "seconds to train on 1,000 sequences"),
    (
      mean(lambda line: line["parameters"]),
      1000 / mean(lambda line: _float(line["sequences_per_second"])),
    ),
    strict=True,
  ):
    axes.set(xlabel=label, ylabel="test mse")
    known = np.isfinite(costs) & np.isfinite(errors)
    if not known.any():
      continue
    names = np.array(list(groups))[known]
    costs, height = costs[known], errors[known]
    front = pareto(costs, height)
    order = np.flatnonzero(front)[np.argsort(costs[front])]
    axes.step(costs[order], height[order], where="post", color=PALE, zorder=0)
    axes.plot(costs[~front], height[~front], "o", ms=5, mfc="none", mec=GREY)
    axes.plot(costs[front], height[front], "o", ms=6, color=BLUE)
    axes.margins(0.12)
    scales.fitting(axes.xaxis, costs)
    scales.fitting(axes.yaxis, height)
    _name_points(figure, axes, costs, height, names, front, order)


def _float(value: float | None) -> float:
  """nan of what results.jsonl has as null."""
  return np.nan if value is None else float(value)


def _name_points(
  figure: Any,
  axes: Any,
  x: np.ndarray,
  y: np.ndarray,
  names: Sequence[str],
  front: np.ndarray,
  order: np.ndarray,
) -> None:
  """Writes names beside points, none on another, a point or the front's line.

  Where there is no room, a thin line leads to the point.
  """
  from matplotlib.transforms import Bbox

  figure.draw_without_rendering()  # now everything has its place
  points = axes.transData.transform(np.stack([x, y], axis=1))
  taken = [Bbox.from_extents(*(p - 4), *(p + 4)) for p in points * 1.0]
  for (left, high), (right, low) in itertools.pairwise(points[order]):
    taken.append(Bbox.from_extents(left, high - 1, right, high + 1))
    taken.append(Bbox.from_extents(right - 1, min(low, high), right + 1, high))
  places = list(itertools.product((1, 1.5, 2, 3, 5, 8), range(0, 360, 45)))
  for i in np.argsort(~front, kind="stable"):
    for ring, angle in places:
      dx, dy = math.cos(math.radians(angle)), math.sin(math.radians(angle))
      offset = 9 * ring * dx, 9 * ring * dy
      word = axes.annotate(
        names[i],
        (x[i], y[i]),
        offset,
        textcoords="offset points",
        ha="center" if abs(dx) < 0.5 else "left" if dx > 0 else "right",
        va="center" if abs(dy) < 0.5 else "bottom" if dy > 0 else "top",
        fontsize=SMALL,
        color=BLUE if front[i] else GREY,
      )
      word.set_in_layout(False)
      box = word.get_window_extent()
      inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
      # Without a line, a name belongs to the nearest point.
      away = np.hypot(
        *(np.clip(points, (box.x0, box.y0), (box.x1, box.y1)) - points).T
      )
      led = ring > 1.5
      clear = led or away.argmin() == i
      if inside and clear and not any(box.overlaps(x) for x in taken):
        taken.append(box)
        if led:
          line = {"arrowstyle": "-", "lw": 0.5, "color": GREY, "shrinkA": 0}
          axes.annotate(
            "",
            (x[i], y[i]),
            offset,
            textcoords="offset points",
            arrowprops=line,
          ).set_in_layout(False)
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
  """A curve a variant: the mean over its runs of a part of the test.

  Means of fewer than `FEW` sequences are hollow. Of the mean absolute error a
  band shows one standard error up and down.
  """
  groups = by_variant(finished(lines))
  if not groups:
    nothing(figure)
    return
  figure.set_size_inches(WIDTH, 3.6)
  axes = figure.subplots()
  axes.set(xlabel=xlabel, ylabel=ylabel)
  values, hollow = [], False
  for (name, group), color, marker in zip(
    groups.items(),
    itertools.cycle(COLORS),
    itertools.cycle(MARKERS),
    strict=False,
  ):
    parts = [line[group_by] for line in group]
    x = np.array(sorted({float(key) for part in parts for key in part}))
    y, error, count = (
      np.array([_pooled([p.get(f"{v:g}") for p in parts], metric) for v in x])
      .reshape(-1, 3)
      .T
    )
    look = {"color": color, "marker": marker, "ms": 4}
    axes.plot(x, y, label=name, lw=1.5, **look)
    few = count < FEW
    hollow |= few.any()
    axes.plot(x[few], y[few], ls="", zorder=3, **look | {"mfc": "white"})
    if metric == "mae":
      low = np.maximum(y - error, y / 10)  # the axis may be logarithmic
      axes.fill_between(x, low, y + error, color=color, alpha=0.15, lw=0)
    values += y.tolist()
  scales.fitting(axes.yaxis, values)
  title = f"hollow: fewer than {FEW} sequences a run" if hollow else None
  legend = axes.legend(fontsize=SMALL, title=title, title_fontsize=SMALL)
  legend.get_title().set_color(GREY)


def _pooled(
  parts: Sequence[dict[str, Any] | None], metric: str
) -> tuple[float, float, float]:
  """Over runs: the mean of a metric, its standard error, sequences of a run.

  The standard error is that of the mean absolute error, whose variance follows
  from the mean squared one.
  """
  found = [part for part in parts if part]
  mean = np.mean([_float(part[metric]) for part in found])
  count = sum(part.get("count", np.inf) for part in found)
  squared = np.mean([_float(part["mse"]) for part in found])
  variance = max(0.0, squared - mean**2)
  return mean, math.sqrt(variance / count), count / len(found)


@picture
def lengths(figure: Any, lines: Lines) -> None:
  """Sequences longer than those trained on: exactly right, and mean error."""
  groups = by_variant(finished(lines))
  if not groups:
    nothing(figure)
    return
  figure.set_size_inches(WIDTH, 5.6)
  above, below = figure.subplots(2, 1, sharex=True)
  wrong, longest = [], 1
  for n, ((name, group), color, marker) in enumerate(
    zip(
      groups.items(),
      itertools.cycle(COLORS),
      itertools.cycle(MARKERS),
      strict=False,
    )
  ):
    x = np.array([line["length"] for line in group[0]["measured"]])
    longest = max(longest, *x)
    # Those that come first are drawn wider, and so are seen below the others.
    wide = 1.4 + 1.1 * (len(groups) - 1 - n)
    for axes, metric, unit in (
      (above, "exact_accuracy", 100),
      (below, "mae", 1),
    ):
      runs = unit * np.array(
        [[_float(m[metric]) for m in run["measured"]] for run in group]
      )
      look = {"color": color, "marker": marker, "mec": "white", "mew": 0.5}
      axes.plot(x, runs.T, color=color, lw=0.8, alpha=0.5)
      axes.plot(x, runs.mean(axis=0), lw=wide, ms=wide + 3, label=name, **look)
      if metric == "mae":
        wrong += runs.ravel().tolist()
  above.set_ylabel("exactly right (%)")
  above.legend(fontsize=SMALL)
  below.set(xlabel="frames in the sequence", ylabel="mean absolute error")
  scales.logarithmic(below.yaxis, wrong)
  below.set_xscale("log")
  ticks = [t for t in (1, 2, 4, 10, 20, 50, 100, 300, 1000) if t <= longest]
  below.set_xticks(ticks, [f"{t:,}" for t in ticks])
  below.minorticks_off()


@picture
def pairs(figure: Any, lines: Lines) -> None:
  """For each variant, how many of each two digits' sequences are exact."""
  groups = by_variant(finished(lines))
  if not groups:
    nothing(figure)
    return
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
    share = right.sum() / max(seen.sum(), 1)
    axes.set_title(f"{name}: {share:.1%}", fontsize=SMALL)
    axes.set(xticks=range(0, 10, 3), yticks=range(0, 10, 3))
    axes.spines[:].set_visible(False)
  bar = figure.colorbar(image, ax=panels, location="bottom", aspect=50)
  bar.set_label("exactly right (%), by first digit (down) and second (across)")


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
