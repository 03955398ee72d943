"""The two charts that every study can have: lines of results.jsonl -> PNG.

Runs that diverged are counted in a note and never drawn as numbers.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqsum.plots import scales
from seqsum.plots.figures import BLUE, INK, PALE, VERMILION, WIDTH, Chart

Line = dict[str, Any]  # of results.jsonl
Lines = Sequence[Line]
# Distinct for the colour-blind: Okabe & Ito 2008, without yellow.
COLORS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))  # of further rounds of colours
ROW = 0.2  # inches, the height of a line of text
SMALL = 9  # points


def by_variant(lines: Lines) -> dict[str, list[Line]]:
  """Groups lines by variant, in order of first appearance."""
  groups: dict[str, list[Line]] = {}
  for line in lines:
    groups.setdefault(line["variant"], []).append(line)
  return groups


def finished(lines: Lines) -> list[Line]:
  return [line for line in lines if line["status"] == "finished"]


def tested(lines: Lines, metric: str) -> np.ndarray:
  """[N] float64, a test metric of all runs that finished; nan for a null."""
  return np.array([x["test"][metric] for x in finished(lines)], np.float64)


@Chart
def learning(figure: Any, lines: Lines) -> None:
  """Validation error against sequences seen: thin for a run, thick for means.

  The mean is over the runs that did not diverge; a cross marks the end of one
  that did.
  """
  groups = by_variant(lines)
  if not groups:
    return
  longest = max(line["sequences"] for line in lines)
  unit = 1000 if longest >= 10_000 else 1
  figure.set_size_inches(WIDTH, max(3.4, 1 + 2 * ROW * len(groups)))
  axes = figure.subplots()
  looks = [
    {"ls": dash, "color": color}
    for _, (dash, color) in zip(
      groups, itertools.cycle(itertools.product(DASHES, COLORS)), strict=False
    )
  ]
  ends, drawn = [], []
  for group, look in zip(groups.values(), looks, strict=True):
    for line in group:
      curve = _curve(line, unit)
      drawn += curve[1].tolist()
      axes.plot(*curve, lw=0.8, alpha=0.5, **look)
      if line["status"] == "diverged":
        at = line["sequences"] / unit, 0.97
        where = axes.get_xaxis_transform()
        axes.plot(*at, "x", color=look["color"], transform=where, clip_on=False)
    curves = [_curve(line, unit) for line in finished(group)]
    mean = np.mean(curves, axis=0) if curves else np.full((2, 1), np.nan)
    axes.plot(*mean, lw=2, **look)
    ends.append(mean[1, -1] if mean.size else np.nan)
  scales.logarithmic(axes.yaxis, drawn)
  axes.set_xlim(0, longest / unit or 1)
  axes.set_xlabel(f"sequences seen{' (thousands)' if unit > 1 else ''}")
  axes.set_ylabel("validation mse")
  levels = scales.heights(axes, ends)
  levels = np.where(np.isfinite(levels), levels, 1.0)
  gap = 2 * ROW / (figure.get_figheight() - 0.6)
  for (name, group), look, y in zip(
    groups.items(), looks, scales.spread_out(levels, gap), strict=True
  ):
    beside = {"transform": axes.transAxes, "clip_on": False}
    axes.plot([1.02, 1.07], [y, y], lw=2, **look, **beside)
    if diverged := len(group) - len(finished(group)):
      name += f"\n{diverged} of {len(group)} diverged"
    axes.text(1.09, y, name, va="center", fontsize=SMALL, **beside)


def _curve(line: Line, unit: int) -> np.ndarray:
  """[2, N], sequences seen / unit and validation mse, nan if not finite."""
  curve = np.array(line["curve"], np.float64).reshape(-1, 2).T
  curve[0] /= unit
  curve[1, ~np.isfinite(curve[1])] = np.nan
  return curve


@Chart
def final(figure: Any, lines: Lines) -> None:
  """Test error and exact accuracy: a dot for each run, a bar at the mean."""
  groups = by_variant(lines)
  if not groups:
    return
  figure.set_size_inches(WIDTH, 0.9 + 1.6 * ROW * len(groups))
  columns = figure.subplots(1, 2, sharey=True)
  for axes, title, metric, unit in (
    (columns[0], "test mse", "mse", 1),
    (columns[1], "exactly right (%)", "exact_accuracy", 100),
  ):
    drawn = []
    for y, group in enumerate(groups.values()):
      values = unit * tested(group, metric)
      values = values[np.isfinite(values)]
      drawn.append(values)
      axes.axhline(y, color=PALE, lw=0.8, zorder=0)
      axes.plot(values, [y] * len(values), "o", color=BLUE, ms=5, alpha=0.6)
      if values.size:
        axes.plot(values.mean(), y, "|", color=INK, ms=15, mew=1.8)
    axes.set_title(title)
    axes.margins(x=0.08)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    every = np.concatenate(drawn)
    if not every.size:
      axes.set_xticks([])
    elif "%" not in title:
      scales.fitting(axes.xaxis, every)
  for y, group in enumerate(groups.values()):
    if diverged := len(group) - len(finished(group)):
      columns[-1].text(
        1.04,
        y,
        f"✕ {diverged} of {len(group)}\ndiverged",
        color=VERMILION,
        fontsize=SMALL,
        va="center",
        transform=columns[-1].get_yaxis_transform(),
      )
  columns[0].set_yticks(range(len(groups)), list(groups))
  columns[0].tick_params(axis="y", labelcolor=INK)
  columns[0].set_ylim(len(groups) - 0.5, -0.5)
