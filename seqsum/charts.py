"""The charts of a report: a run's numbers -> PNG, in the look of `figures`.

Whatever is inf or nan is counted and said, never drawn as a number.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from seqsum.figures import BLUE, GREY, INK, PALE, VERMILION, WIDTH, picture
from seqsum.metrics import WHOLE, is_exact, number

MOST_POINTS = 10_000


@picture
def learning_curves(
  figure: Any,
  history: Sequence[Mapping[str, Any]],
  references: Mapping[str, float],
  best_step: int | None = None,
  tolerance: float = WHOLE,
) -> None:
  """Error and exact accuracy while training, over epochs and wall clock.

  Args:
    history: Lines of metrics.jsonl.
    references: Name -> mse, drawn as level lines.
    best_step: The validation to mark, if any.
    tolerance: How near is right.
  """
  lines = [line for line in history if line["split"] != "test"]
  # A validation ends an epoch; before the first there is no epoch to count in.
  ends = [line for line in lines if line["split"] == "validation"]
  unit = ends[-1]["step"] / ends[-1]["epoch"] if ends else 1
  figure.set_size_inches(WIDTH, 5.2)
  error, exact = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
  for split, look in {
    "train": {"color": GREY, "lw": 1, "alpha": 0.7},
    "validation": {"color": BLUE, "lw": 2, "marker": "o", "ms": 4},
  }.items():
    steps = np.array([x["step"] for x in lines if x["split"] == split]) / unit
    mse, share = (
      np.array([x[key] for x in lines if x["split"] == split], float)
      for key in ("mse", "exact_accuracy")  # a null becomes nan
    )
    mse[~np.isfinite(mse)] = np.nan
    error.plot(steps, mse, **look)
    exact.plot(steps, 100 * share, label=split, **look)
  lost = [x["step"] / unit for x in lines if not _is_finite(x["mse"])]
  if lost:
    top = {"transform": error.get_xaxis_transform(), "color": VERMILION}
    error.plot(lost, [0.97] * len(lost), "x", clip_on=False, **top)
    error.text(lost[0], 0.92, "not finite", va="top", ha="center", **top)
  levels = []
  for name, mse in references.items():
    if _is_finite(mse) and mse > 0:
      error.axhline(mse, color=INK, lw=1, ls=(0, (1, 3)), zorder=1)
      levels.append((mse, name, INK))
  for line in ends:
    if line["step"] == best_step and _is_finite(line["mse"]):
      at = line["step"] / unit, line["mse"]
      error.plot(*at, "o", ms=10, mfc="none", mec=INK, mew=1.2, clip_on=False)
      levels.append((line["mse"], "best", BLUE))
  error.set_yscale("log")
  error.yaxis.set_major_formatter(lambda y, _: number(y))
  error.margins(y=0.12)
  _name_levels(error, levels)
  error.set_ylabel("mean squared error")
  whole = tolerance == WHOLE
  right = "exactly right" if whole else f"within {tolerance:.2g}"
  exact.set_ylabel(f"{right} (%)")
  exact.set_ylim(0, 100)
  exact.set_xlabel("epoch" if ends else "training step")
  exact.legend(loc="best", labelcolor="linecolor", handlelength=1.2)
  end = max((line["step"] for line in lines), default=1) / unit
  exact.set_xlim(0, end * 1.02)
  exact.xaxis.get_major_locator().set_params(integer=True)
  if not lines:
    error.text(0.5, 0.5, "nothing yet", ha="center", transform=error.transAxes)
  else:
    _add_clock(error, [(x["step"] / unit, x["seconds"]) for x in lines])


def _is_finite(value: float | None) -> bool:
  """False of inf and nan, which metrics.jsonl has as null."""
  return value is not None and math.isfinite(value)


def _name_levels(axes: Any, levels: Iterable[tuple[float, str, str]]) -> None:
  """Says (value, name, colour) beside log axes, where no curve is in the way.

  Words that would lie on each other move up; each is two lines of text high.
  """
  free = -math.inf
  low, high = np.log(axes.get_ylim())
  for value, name, color in sorted(levels):
    free = max(free, (math.log(value) - low) / (high - low))
    axes.text(
      1.02,
      free,
      f"{name}\n{number(value)}",
      color=color,
      va="center",
      fontsize=9,
      transform=axes.transAxes,
    )
    free += 0.13


def _add_clock(axes: Any, times: Sequence[tuple[float, float]]) -> None:
  """A second axis above: when training had got there."""
  from matplotlib.ticker import MaxNLocator

  x, seconds = np.array([(0.0, 0.0), *times]).T
  units = ("hours", 3600), ("minutes", 60), ("seconds", 1)
  name, size = next((n, s) for n, s in units if seconds[-1] >= 2 * s or s == 1)
  ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0, seconds[-1] / size)
  ticks = ticks[ticks <= seconds[-1] / size]
  clock = axes.secondary_xaxis("top")
  clock.set_xticks(
    np.interp(ticks, seconds / size, x), [f"{tick:g}" for tick in ticks]
  )
  clock.set_xlabel(f"{name} since the start", labelpad=6)


@picture
def errors(
  figure: Any,
  lengths: np.ndarray,
  targets: np.ndarray,
  predictions: np.ndarray,
  task: str,
  tolerance: float = WHOLE,
) -> None:
  """Where the errors are: exact accuracy by length, error by target.

  Args:
    lengths: [N] int.
    targets, predictions: [N] float, the final ones; of vectors [N, D].
    task: What the fold is called, "sum".
    tolerance: How near is right.
  """
  exact = is_exact(predictions, targets, tolerance)
  whole = tolerance == WHOLE
  targets, predictions = targets.ravel(), predictions.ravel()
  miss = np.abs(predictions - targets)
  groups = list(_groups(lengths, 12))
  figure.set_size_inches(WIDTH, 3.6 + 0.26 * len(groups))
  bars, dots, counts = figure.subplots(
    3, 1, height_ratios=(0.4 + 0.26 * len(groups), 2, 0.6)
  )
  dots.sharex(counts)
  for y, (*_, group) in enumerate(groups):
    share = 100 * exact[group].mean()
    bars.barh(y, 100, color="#F0F2F5", height=0.72)
    bars.barh(y, share, color=BLUE, height=0.72)
    inside = share > 50
    bars.text(
      share + (-1.5 if inside else 1.5),
      y,
      f"{share:.1f}% of {group.sum():,}",
      color="white" if inside else BLUE,
      ha="right" if inside else "left",
      va="center_baseline",
    )
  bars.set_yticks(
    range(len(groups)),
    [
      f"{low} frame{'s' * int(low > 1)}" if low == high else f"{low}-{high}"
      for low, high, _ in groups
    ],
  )
  right = "exactly right" if whole else f"within {tolerance:.2g}"
  bars.set_title(f"{right}, by length")
  bars.set(xlim=(0, 100), xticks=[], ylim=(len(groups) - 0.5, -0.5))
  bars.spines[:].set_visible(False)
  bars.tick_params(length=0)

  groups = list(_groups(targets, 50))
  middle = [(low + high) / 2 for low, high, _ in groups]
  finite = [miss[group & np.isfinite(miss)] for _, _, group in groups]
  mean = [x.mean() if x.size else np.nan for x in finite]
  dots.plot(middle, mean, "o-", color=VERMILION, ms=4, lw=1)
  dots.set_title(f"mean absolute error, by true {task}")
  dots.set_ylim(0)
  dots.tick_params(labelbottom=False)
  counts.vlines(middle, 0, [g.sum() for *_, g in groups], color=GREY, lw=3)
  seen = "sequences" if len(exact) == len(targets) else "parts"
  counts.set_title(f"{seen}, by true {task}")
  counts.set_ylim(0)
  counts.set_xlabel(f"true {task}")
  if middle[-1] > 200:
    counts.set_xscale("symlog", linthresh=10)
    counts.set_xlim(middle[0] - 1, middle[-1] * 1.2)
  elif whole:
    counts.xaxis.get_major_locator().set_params(integer=True)


def _groups(
  values: np.ndarray, most: int
) -> Iterator[tuple[float, float, np.ndarray]]:
  """(lowest, highest, which) of each value, or of neighbours if many."""
  unique = np.unique(values)
  for run in np.array_split(unique, min(most, len(unique))):
    yield run[0], run[-1], (values >= run[0]) & (values <= run[-1])


@picture
def agreement(
  figure: Any,
  targets: np.ndarray,
  predictions: np.ndarray,
  task: str,
  tolerance: float = WHOLE,
) -> None:
  """Predicted against true, with the band that rounds to the truth.

  Args:
    targets, predictions: [N] float, the final ones; of vectors [N, D].
    task: What the fold is called, "sum".
    tolerance: How near is right.
  """
  targets, predictions = targets.ravel(), predictions.ravel()
  exact = is_exact(predictions, targets, tolerance)  # of vectors, each part
  whole = tolerance == WHOLE
  some = np.unique(np.linspace(0, len(targets) - 1, MOST_POINTS).astype(int))
  axes = figure.subplots()
  low, high = targets.min(), targets.max()
  pad = 2 * tolerance + 0.08 * (high - low)
  if high > 200:
    axes.set_xscale("symlog", linthresh=10)
    axes.set_yscale("symlog", linthresh=10)
    pad = 1 + 0.5 * high
  low, high = low - min(pad, 5), high + pad
  ends = np.linspace(low, high, 1000)
  axes.fill_between(ends, ends - tolerance, ends + tolerance, color=PALE, lw=0)
  # If targets are whole numbers, points are spread along the diagonal, which
  # leaves each as far from it as it is.
  spread = np.random.default_rng(0).uniform(-0.35, 0.35, len(targets)) * whole
  for group, color, marker in ((exact, BLUE, "o"), (~exact, VERMILION, "x")):
    at = some[group[some] & np.isfinite(predictions[some])]
    x, y = targets[at] + spread[at], predictions[at] + spread[at]
    inside = (y >= low) & (y <= high)
    look = {"color": color, "alpha": 0.35, "lw": 0.7}
    filled = {"edgecolors": "none"} if marker == "o" else {}
    axes.scatter(x[inside], y[inside], 6, marker=marker, **(look | filled))
    for edge, mark, out in ((high, "^", y > high), (low, "v", y < low)):
      axes.scatter(
        x[out], np.full(out.sum(), edge), 16, color=color, marker=mark
      )
  axes.plot(ends, ends, color=INK, lw=0.8)
  axes.set(xlim=(low, high), ylim=(low, high))
  axes.set(xlabel=f"true {task}", ylabel=f"predicted {task}")
  axes.set_aspect("equal")
  share = 100 * exact.mean()
  said = [
    (f"✓ {share:.1f}% {'exactly right' if whole else 'nearer'}", BLUE),
    (f"✗ {100 - share:.1f}% off by {tolerance:.2g} or more", VERMILION),
  ]
  if lost := np.count_nonzero(~np.isfinite(predictions)):
    said.append((f"{lost:,} not finite", VERMILION))
  corner = {"transform": axes.transAxes, "va": "top"}
  for i, (line, color) in enumerate(said):
    axes.text(0.03, 0.97 - 0.06 * i, line, color=color, **corner)
