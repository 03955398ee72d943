"""The charts of a study: lines of its results.jsonl -> PNG, as `figures` looks.

A run that diverged is counted and said, never drawn as a number.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from seqsum.plots import scales
from seqsum.plots.figures import (
  BLUE,
  INK,
  PALE,
  VERMILION,
  WIDTH,
  nothing,
  picture,
)

Line = Mapping[str, Any]  # of a results.jsonl
Lines = Sequence[Line]
# Told apart by the colour-blind: Okabe & Ito 2008, without the yellow.
COLORS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))  # when the colours are used up
ROW = 0.2  # inches that a line of words takes
SMALL = 9  # points


def by_variant(lines: Lines) -> dict[str, Lines]:
  """The runs of each variant, in the order in which variants appear."""
  groups = {line["variant"]: [] for line in lines}
  for line in lines:
    groups[line["variant"]].append(line)
  return groups


def finished(lines: Lines) -> Lines:
  return [line for line in lines if line["status"] == "finished"]


def tested(lines: Lines, metric: str) -> np.ndarray:
  """[N] float64, a metric of the test sequences of all runs that finished."""
  return np.array([x["test"][metric] for x in finished(lines)], np.float64)


@picture
def learning(figure: Any, lines: Lines) -> None:
  """Validation error against sequences seen: thin a run, thick their mean.

  The mean is that of the runs that did not diverge; a cross marks where one
  did.
  """
  groups = by_variant(lines)
  if not groups:
    nothing(figure)
    return
  longest = max(line["sequences"] for line in lines)
  unit = 1000 if longest >= 10_000 else 1
  figure.set_size_inches(WIDTH, max(3.4, 1 + 2 * ROW * len(groups)))
  axes = figure.subplots()
  looks = itertools.cycle(itertools.product(DASHES, COLORS))
  looks = [dict(zip(("ls", "color"), next(looks), strict=True)) for _ in groups]
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
    whole = [_curve(line, unit) for line in finished(group)]
    mean = np.mean(whole, axis=0) if whole else np.full((2, 1), np.nan)
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
    groups.items(), looks, scales.apart(levels, gap), strict=True
  ):
    beside = {"transform": axes.transAxes, "clip_on": False}
    axes.plot([1.02, 1.07], [y, y], lw=2, **look, **beside)
    if lost := len(group) - len(finished(group)):
      name += f"\n{lost} of {len(group)} diverged"
    axes.text(1.09, y, name, va="center", fontsize=SMALL, **beside)


def _curve(line: Mapping[str, Any], unit: int) -> np.ndarray:
  """[2, N], sequences seen and validation mse; nan where it is not finite."""
  curve = np.array(line["curve"], np.float64).reshape(-1, 2).T
  curve[0] /= unit
  curve[1, ~np.isfinite(curve[1])] = np.nan
  return curve


@picture
def final(figure: Any, lines: Lines) -> None:
  """Test error and exact accuracy: a dot a run, a bar at each mean."""
  dots(
    figure,
    lines,
    {
      "test mse": lambda group: tested(group, "mse"),
      "exactly right (%)": lambda group: 100 * tested(group, "exact_accuracy"),
    },
  )


def dots(
  figure: Any,
  lines: Lines,
  panels: Mapping[str, Callable[[Lines], np.ndarray]],
) -> None:
  """Variants one below the other, a panel beside the next for each number.

  Args:
    figure: Where to.
    lines: Of results.jsonl.
    panels: By title, runs of one variant -> [N] their numbers.
  """
  groups = by_variant(lines)
  if not groups:
    nothing(figure)
    return
  figure.set_size_inches(WIDTH, 0.9 + 1.6 * ROW * len(groups))
  columns = figure.subplots(1, len(panels), sharey=True)
  for axes, (title, numbers) in zip(columns, panels.items(), strict=True):
    drawn = []
    for y, group in enumerate(groups.values()):
      values = numbers(group)
      values = values[np.isfinite(values)]
      drawn.append(values)
      where = np.full(len(values), y)
      axes.axhline(y, color=PALE, lw=0.8, zorder=0)
      axes.plot(values, where, "o", color=BLUE, ms=5, alpha=0.6)
      if values.size:
        axes.plot(values.mean(), y, "|", color=INK, ms=15, mew=1.8)
    axes.set_title(title)
    axes.margins(x=0.08)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if not (drawn := np.concatenate(drawn)).size:
      axes.set_xticks([])
    elif "%" not in title:
      scales.fitting(axes.xaxis, drawn)
  for y, group in enumerate(groups.values()):
    if lost := len(group) - len(finished(group)):
      columns[-1].text(
        1.04,
        y,
        f"✕ {lost} of {len(group)}\ndiverged",
        color=VERMILION,
        fontsize=SMALL,
        va="center",
        transform=columns[-1].get_yaxis_transform(),
      )
  columns[0].set_yticks(range(len(groups)), list(groups))
  columns[0].tick_params(axis="y", labelcolor=INK)
  columns[0].set_ylim(len(groups) - 0.5, -0.5)
