"""Charts for the question of one study: lines of results.jsonl -> PNG."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from seqsum.plots import scales
from seqsum.plots.figures import GREY, WIDTH, Chart
from seqsum.plots.filters import draw_filters
from seqsum.studies.charts import (
  COLORS,
  SMALL,
  Lines,
  by_variant,
  final,
  finished,
  learning,
)
from seqsum.studies.cost_chart import cost
from seqsum.studies.divergence import courses

FEW = 10  # sequences; a mean over fewer has a hollow marker
MARKERS = "osD^vPX"  # keep equal curves apart


@Chart
def steps(figure: Any, lines: Lines) -> None:
  """Error of the prediction at each step."""
  ylabel = "test mse of the sum so far"
  _draw_curves(figure, lines, "by_step", "mse", "frames read", ylabel)


@Chart
def targets(figure: Any, lines: Lines) -> None:
  """Error against the true value."""
  _draw_curves(figure, lines, "by_target", "mae", "true value", "test mae")


def _draw_curves(
  figure: Any,
  lines: Lines,
  group_by: str,
  metric: str,
  xlabel: str,
  ylabel: str,
) -> None:
  """Draws a curve for each variant: a test metric by step or target.

  Curves are means over runs; markers of means over fewer than `FEW` sequences
  are hollow. The mean absolute error has a band of one standard error.
  """
  groups = by_variant(finished(lines))
  if not groups:
    return
  figure.set_size_inches(WIDTH, 3.6)
  axes = figure.subplots()
  axes.set(xlabel=xlabel, ylabel=ylabel)
  values, hollow = [], False
  for (name, group), (color, marker) in zip(
    groups.items(), _colors_and_markers(), strict=False
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
    hollow |= bool(few.any())
    axes.plot(x[few], y[few], ls="", zorder=3, **look | {"mfc": "white"})
    if metric == "mae":
      low = np.maximum(y - error, y / 10)  # positive, for a logarithmic axis
      axes.fill_between(x, low, y + error, color=color, alpha=0.15, lw=0)
    values += y.tolist()
  scales.fitting(axes.yaxis, values)
  title = f"hollow: fewer than {FEW} sequences a run" if hollow else None
  legend = axes.legend(fontsize=SMALL, title=title, title_fontsize=SMALL)
  legend.get_title().set_color(GREY)


def _colors_and_markers() -> Iterator[tuple[str, str]]:
  return zip(itertools.cycle(COLORS), itertools.cycle(MARKERS), strict=False)


def _pooled(
  parts: Sequence[dict[str, Any] | None], metric: str
) -> tuple[float, float, float]:
  """Mean of a metric over runs, its standard error, and sequences in a run.

  The standard error is that of the mean absolute error: its variance is mse -
  mae^2.
  """
  found = [part for part in parts if part]
  mean, squared = (  # a null becomes nan
    float(np.array([part[name] for part in found], float).mean())
    for name in (metric, "mse")
  )
  count = sum(part.get("count", np.inf) for part in found)
  variance = max(0.0, squared - mean**2)
  return mean, math.sqrt(variance / count), count / len(found)


@Chart
def lengths(figure: Any, lines: Lines) -> None:
  """Exact accuracy and mean error by length: thin for a run, thick for means.

  Lines are measured by `probes.by_length`.
  """
  groups = by_variant(finished(lines))
  if not groups:
    return
  figure.set_size_inches(WIDTH, 6)
  above, below = figure.subplots(2, 1, sharex=True)
  values = [  # [runs, lengths, 2] of each variant
    np.array(
      [
        [(m["exact_accuracy"], m["mae"]) for m in run["measured"]]
        for run in group
      ],
      float,
    )
    for group in groups.values()
  ]
  means = [x.mean(axis=0) for x in values]
  longest = 1
  for n, (name, group), (color, marker) in zip(
    itertools.count(), groups.items(), _colors_and_markers(), strict=False
  ):
    x = np.array([line["length"] for line in group[0]["measured"]])
    longest = max(longest, *x)
    # Wide enough to be visible under the later curves that it meets.
    wide = 1.4 + sum(_meet(means[n], x) for x in means[n + 1 :])
    for axes, metric, unit in ((above, 0, 100), (below, 1, 1)):
      runs, mean = unit * values[n][..., metric], unit * means[n][:, metric]
      look = {"color": color, "marker": marker, "mec": "white", "mew": 0.5}
      axes.plot(x, runs.T, color=color, lw=0.8, alpha=0.5)
      axes.plot(x, mean, lw=wide, ms=wide + 3, label=name, **look)
  above.set_ylabel("exactly right (%)")
  _legend_above(figure, *above.get_legend_handles_labels())
  below.set(xlabel="frames in the sequence", ylabel="mean absolute error")
  wrong = [x[..., 1].ravel() for x in values]
  scales.logarithmic(below.yaxis, np.concatenate(wrong))
  below.set_xscale("log")
  ticks = [t for t in (1, 2, 4, 10, 20, 50, 100, 300, 1000) if t <= longest]
  below.set_xticks(ticks, [f"{t:,}" for t in ticks])
  below.minorticks_off()


def _meet(one: np.ndarray, other: np.ndarray) -> bool:
  """Whether two curves have a point in common, as far as one can see."""
  same = one.shape == other.shape
  return same and bool(np.isclose(one, other, rtol=0.01, atol=1e-3).any())


def _legend_above(figure: Any, curves: Sequence[Any], names: list[str]) -> None:
  """Adds a legend above all axes, in as many columns as fit."""
  for columns in range(len(names), 0, -1):
    legend = figure.legend(
      curves, names, loc="outside upper left", ncols=columns, fontsize=SMALL
    )
    if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
      break
    legend.remove()


@Chart
def columns(figure: Any, lines: Lines) -> None:
  """Accuracy of each digit of a sum: thin for a run, thick for means.

  A panel for each number of digits, N, which a variant's name ends in: "GRU, 4
  digits". Lines are measured by `probes.by_columns`.
  """
  panels: dict[int, dict[str, np.ndarray]] = {}  # [runs, digits of the sum]
  for name, group in by_variant(finished(lines)).items():
    own = [m for line in group for m in line["measured"] if m["trained"]]
    if not own:
      continue
    digits = 100 * np.array([m["digits"] for m in own])
    label = name.rpartition(", ")[0] or name
    panels.setdefault(own[0]["columns"], {})[label] = digits
  if not panels:
    return
  labels = list(
    dict.fromkeys(label for some in panels.values() for label in some)
  )
  looks = dict(zip(labels, _colors_and_markers(), strict=False))
  figure.set_size_inches(WIDTH, 3.2)
  widths = [max(3, count + 1) for count in panels]
  (row,) = figure.subplots(
    1, len(panels), sharey=True, squeeze=False, width_ratios=widths
  )
  curves: dict[str, Any] = {}
  for axes, (count, variants) in zip(row, panels.items(), strict=True):
    x = np.arange(1, count + 2)
    for label, digits in variants.items():
      color, marker = looks[label]
      axes.plot(x, digits.T, color=color, lw=0.8, alpha=0.5)
      (curves[label],) = axes.plot(
        x, digits.mean(axis=0), color=color, lw=2, marker=marker, ms=4
      )
    ticks = [1, *range(5, count, 5)]
    axes.set_xticks([*ticks, count + 1], [*map(str, ticks), "L"])
    axes.set_title(f"N = {count}", fontsize=SMALL)
    axes.margins(x=0.15 / max(1, count - 1))
  row[0].set(ylim=(0, 103), ylabel="digits of the sum right (%)")
  xlabel = "column, from the least significant; L: the leading digit"
  figure.supxlabel(xlabel, fontsize="medium")
  _legend_above(figure, list(curves.values()), list(curves))


@Chart
def pairs(figure: Any, lines: Lines) -> None:
  """Exact accuracy for each pair of digits; see `probes.by_pair`."""
  groups = by_variant(finished(lines))
  if not groups:
    return
  across = 3
  down = math.ceil(len(groups) / across)
  figure.set_size_inches(WIDTH, 1.75 * down + 0.4)
  panels = figure.subplots(down, across, squeeze=False).ravel()
  for axes in panels:
    axes.set_axis_off()
  for axes, (name, group) in zip(panels, groups.items(), strict=False):
    axes.set_axis_on()
    right, seen = (
      np.sum([x["measured"][key] for x in group], axis=0)
      for key in ("right", "seen")
    )
    image = axes.imshow(
      100 * right / np.maximum(seen, 1), cmap="Blues", vmin=0, vmax=100
    )
    accuracy = right.sum() / max(seen.sum(), 1)
    axes.set_title(f"{name}: {accuracy:.1%}", fontsize=SMALL)
    axes.set(xticks=range(0, 10, 3), yticks=range(0, 10, 3))
    axes.spines[:].set_visible(False)
  bar = figure.colorbar(image, ax=panels, location="bottom", aspect=50)
  bar.set_label("exactly right (%), by first digit (down) and second (across)")


@Chart
def filters(figure: Any, lines: Lines) -> None:
  """First layers of the first run of the first two variants."""
  kernels = {
    name: np.array(group[0]["measured"]["after"])
    for name, group in by_variant(finished(lines)).items()
  }
  names = list(kernels)[:2]
  draw_filters(figure, {name: kernels[name] for name in names})


FIGURES = {
  "learning": learning,
  "final": final,
  "cost": cost,
  "courses": courses,
  "steps": steps,
  "targets": targets,
  "lengths": lengths,
  "columns": columns,
  "pairs": pairs,
  "filters": filters,
}
