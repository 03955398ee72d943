"""The charts of a study: lines of its results.jsonl -> PNG, as `figures` looks.

A run that diverged is counted and said, never drawn as a number.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seqsum.figures import BLUE, GREY, INK, PALE, VERMILION, WIDTH, picture
from seqsum.metrics import number

Lines = Sequence[Mapping[str, Any]]  # of a results.jsonl
# Told apart by the colour-blind: Okabe & Ito 2008, without the yellow.
COLORS = (BLUE, VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)))  # when the colours are used up
ROW = 0.2  # inches that a line of words takes
WIDE = 4.0  # values that differ by this factor are drawn on a logarithmic axis
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


def spread(wanted: Sequence[float], gap: float) -> np.ndarray:
  """Places near those wanted, at least `gap` apart, none above 1."""
  order = np.argsort(wanted, kind="stable")
  places = np.asarray(wanted, np.float64)[order]
  for i in range(1, len(places)):
    places[i] = max(places[i], places[i - 1] + gap)
  top = 1.0
  for i in reversed(range(len(places))):
    places[i] = top = min(places[i], top)
    top -= gap
  back = np.empty_like(places)
  back[order] = places
  return back


@picture
def learning(figure: Any, lines: Lines) -> None:
  """Validation error against sequences seen: thin a run, thick their mean.

  The mean is that of the runs that did not diverge; a cross marks where one
  did.
  """
  groups = by_variant(lines)
  longest = max(line["sequences"] for line in lines)
  unit = 1000 if longest >= 10_000 else 1
  figure.set_size_inches(WIDTH, max(3.4, 1 + 2 * ROW * len(groups)))
  axes = figure.subplots()
  looks = itertools.cycle(itertools.product(DASHES, COLORS))
  looks = [dict(zip(("ls", "color"), next(looks), strict=True)) for _ in groups]
  ends = []
  for group, look in zip(groups.values(), looks, strict=True):
    for line in group:
      axes.plot(*_curve(line, unit), lw=0.8, alpha=0.5, **look)
      if line["status"] == "diverged":
        at = line["sequences"] / unit, 0.97
        where = axes.get_xaxis_transform()
        axes.plot(*at, "x", color=look["color"], transform=where, clip_on=False)
    whole = [_curve(line, unit) for line in finished(group)]
    mean = np.mean(whole, axis=0) if whole else np.full((2, 1), np.nan)
    axes.plot(*mean, lw=2, **look)
    ends.append(mean[1, -1])
  _scale(axes.yaxis, "log")
  axes.set_xlim(0, longest / unit)
  axes.set_xlabel(f"sequences seen{' (thousands)' if unit > 1 else ''}")
  axes.set_ylabel("validation mse")
  low, high = np.log(axes.get_ylim())
  levels = (np.log(ends) - low) / (high - low)
  levels = np.where(np.isfinite(levels), levels, 1.0)
  gap = 2 * ROW / (figure.get_figheight() - 0.6)
  for (name, group), look, y in zip(
    groups.items(), looks, spread(levels, gap), strict=True
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
  return curve


def _scale(axis: Any, scale: str) -> None:
  """'log' with numbers as a person writes them, or 'linear'."""
  from matplotlib.ticker import LogLocator, NullFormatter

  axis._set_axes_scale(scale)
  axis.set_major_formatter(lambda value, _: number(value))
  if scale == "log":
    low, high = sorted(axis.get_view_interval())
    close = high / low < 300  # then 2 and 5 have room beside the powers of ten
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if close else (1,)))
    axis.set_minor_formatter(NullFormatter())


def _fitting(values: np.ndarray) -> str:
  """Which scale shows values well."""
  positive = values.size > 0 and values.min() > 0
  return "log" if positive and values.max() > WIDE * values.min() else "linear"


@picture
def final(figure: Any, lines: Lines) -> None:
  """Test error and exact accuracy: a dot a run, a bar at each mean."""
  groups = by_variant(lines)
  figure.set_size_inches(WIDTH, 0.9 + 1.6 * ROW * len(groups))
  panels = figure.subplots(1, 2, sharey=True)
  for axes, metric, title in zip(
    panels,
    ("mse", "exact_accuracy"),
    ("test mse", "exactly right (%)"),
    strict=True,
  ):
    share = metric == "exact_accuracy"
    for y, group in enumerate(groups.values()):
      values = tested(group, metric) * (100 if share else 1)
      axes.axhline(y, color=PALE, lw=0.8, zorder=0)
      where = np.full(len(values), y)
      axes.plot(values, where, "o", color=BLUE, ms=5, alpha=0.6)
      if values.size:
        axes.plot(values.mean(), y, "|", color=INK, ms=15, mew=1.8)
    axes.set_title(title)
    axes.margins(x=0.08)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if not finished(lines):
      axes.set_xticks([])
    elif not share:
      _scale(axes.xaxis, _fitting(tested(lines, metric)))
  for y, group in enumerate(groups.values()):
    if lost := len(group) - len(finished(group)):
      panels[1].text(
        1.04,
        y,
        f"✕ {lost} of {len(group)}\ndiverged",
        color=VERMILION,
        fontsize=SMALL,
        va="center",
        transform=panels[1].get_yaxis_transform(),
      )
  panels[0].set_yticks(range(len(groups)), list(groups))
  panels[0].tick_params(axis="y", labelcolor=INK)
  panels[0].set_ylim(len(groups) - 0.5, -0.5)


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
    _scale(axes.xaxis, _fitting(costs))
    _scale(axes.yaxis, _fitting(errors))
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
    for ring, angle in itertools.product((1, 2, 3, 5), range(0, 360, 45)):
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
        arrowprops={"arrowstyle": "-", "lw": 0.5, "color": GREY}
        if ring > 1
        else None,
      )
      word.set_in_layout(False)
      box = word.get_window_extent()
      inside = axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1)
      if inside and not any(box.overlaps(other) for other in taken):
        taken.append(box)
        break
      word.remove()


FIGURES = {"learning": learning, "final": final, "cost": cost}
