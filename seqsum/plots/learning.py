"""Learning curves: the lines of metrics.jsonl -> PNG."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seqsum.plots import scales
from seqsum.plots.captions import exact_name
from seqsum.plots.figures import BLUE, GREY, INK, VERMILION, WIDTH, Chart
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.scores import number


@Chart
def learning_curves(
  figure: Any,
  history: Sequence[Mapping[str, Any]],
  references: Mapping[str, float],
  best_step: int | None = None,
  tolerance: float = ROUNDING,
) -> None:
  """Mean squared error and exact accuracy over epochs and wall-clock time.

  Args:
    history: Lines of metrics.jsonl; may be empty.
    references: Name -> mse, drawn as horizontal lines if finite.
    best_step: The step of the validation to mark, if any.
  """
  lines = [line for line in history if line["split"] != "test"]
  # Validations end epochs; before the first one the x axis counts steps.
  ends = [line for line in lines if line["split"] == "validation"]
  unit = ends[-1]["step"] / max(1, ends[-1]["epoch"]) if ends else 1
  unit = unit or 1
  drawn = []
  figure.set_size_inches(WIDTH, 5.2)
  error, exact = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
  for split, look in {
    "train": {"color": GREY, "lw": 1, "alpha": 0.7},
    "validation": {"color": BLUE, "lw": 2, "marker": "o", "ms": 4},
  }.items():
    steps = np.array([x["step"] for x in lines if x["split"] == split]) / unit
    mse, accuracy = (
      np.array([x[key] for x in lines if x["split"] == split], float)
      for key in ("mse", "exact_accuracy")  # a null becomes nan
    )
    mse[~np.isfinite(mse)] = np.nan
    drawn += mse.tolist()
    error.plot(steps, mse, **look)
    exact.plot(steps, 100 * accuracy, label=split, **look)
  diverged = [x["step"] / unit for x in lines if not _is_finite(x["mse"])]
  if diverged:
    top = {"transform": error.get_xaxis_transform(), "color": VERMILION}
    error.plot(diverged, [0.97] * len(diverged), "x", clip_on=False, **top)
    error.text(diverged[0], 0.92, "not finite", va="top", ha="center", **top)
  levels = []  # (mse, name, colour)
  for name, level in references.items():
    if _is_finite(level):
      error.axhline(level, color=INK, lw=1, ls=(0, (1, 3)), zorder=1)
      levels.append((level, name, INK))
  for line in ends:
    if line["step"] == best_step and _is_finite(line["mse"]):
      at = line["step"] / unit, line["mse"]
      error.plot(*at, "o", ms=10, mfc="none", mec=INK, mew=1.2, clip_on=False)
      levels.append((line["mse"], "best", BLUE))
  error.margins(y=0.12)
  drawn += [value for value, *_ in levels]
  scales.logarithmic(error.yaxis, drawn)
  _label_levels(error, levels)
  error.set_ylabel("mean squared error")
  exact.set_ylabel(f"{exact_name(tolerance)} (%)")
  exact.set_ylim(0, 100)
  exact.set_xlabel("epoch" if ends else "training step")
  exact.legend(loc="best", labelcolor="linecolor", handlelength=1.2)
  end = max((line["step"] for line in lines), default=1) / unit
  exact.set_xlim(0, end * 1.02 or 1)
  exact.xaxis.get_major_locator().set_params(integer=True)
  if not lines:
    error.text(0.5, 0.5, "nothing yet", ha="center", transform=error.transAxes)
  else:
    _add_clock(error, [(x["step"] / unit, x["seconds"]) for x in lines])


def _is_finite(value: float | None) -> bool:
  """Whether a metric is finite; metrics.jsonl has null for inf and nan."""
  return value is not None and math.isfinite(value)


def _label_levels(axes: Any, levels: Sequence[tuple[float, str, str]]) -> None:
  """Writes (value, name, colour) to the right of the axes, without overlap."""
  levels = sorted(levels)
  heights = scales.heights(axes, [value for value, *_ in levels])
  for (value, name, color), y in zip(
    levels, scales.spread_out(heights, 0.13), strict=True
  ):
    axes.text(
      1.02,
      y,
      f"{name}\n{number(value)}",
      color=color,
      va="center",
      fontsize=9,
      transform=axes.transAxes,
    )


def _add_clock(axes: Any, times: Sequence[tuple[float, float]]) -> None:
  """Adds an axis above that shows the wall-clock time of (epoch, seconds)."""
  from matplotlib.ticker import MaxNLocator

  x, seconds = np.array([(0.0, 0.0), *times], float).T
  end = seconds[-1]
  if not (np.isfinite(seconds).all() and end > 0 and x[-1] > 0):
    return
  units = ("hours", 3600), ("minutes", 60), ("seconds", 1)
  name, size = next((n, s) for n, s in units if end >= 2 * s or s == 1)
  locator = MaxNLocator(5, steps=[1, 2, 5, 10])
  ticks = np.array(locator.tick_values(0, end / size))
  ticks = ticks[(ticks >= 0) & (ticks <= end / size)]
  at = np.interp(ticks, seconds / size, x)
  # Ticks crowd where a step was compiled and training stood still.
  clear = np.diff(at, append=np.inf) > 0.06 * x[-1]
  clock = axes.secondary_xaxis("top")
  clock.set_xticks(at[clear], [f"{tick:g}" for tick in ticks[clear]])
  clock.set_xlabel(f"{name} since the start", labelpad=6)
