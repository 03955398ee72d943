"""Where a model errs: predictions and targets -> PNG.

Values that are inf or nan are counted in a note and never drawn.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from seqsum.plots.captions import count_noun, exact_name
from seqsum.plots.figures import (
  BLUE,
  FAINT,
  GREY,
  INK,
  PALE,
  VERMILION,
  WIDTH,
  Chart,
)
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.metrics import is_exact

MOST_POINTS = 10_000
MANY_POINTS = 100  # more are drawn small and translucent
FEW = 10  # sequences; a mean over fewer has a hollow marker
SYMLOG = 200  # axes that reach further are logarithmic


@Chart
def errors(
  figure: Any,
  lengths: np.ndarray,
  targets: np.ndarray,
  predictions: np.ndarray,
  task: str,
  tolerance: float = ROUNDING,
) -> None:
  """Exact accuracy by length; mean absolute error and count by target.

  Error bars are one standard error of the mean.

  Args:
    lengths: [N] int.
    targets, predictions: [N] float, the final ones; of vectors [N, D].
  """
  if not len(lengths):
    return
  exact = is_exact(predictions, targets, tolerance)
  components = "sequences" if targets.ndim == 1 else "parts"
  targets, predictions = targets.ravel(), predictions.ravel()
  bins = list(_bins(lengths, 12))
  figure.set_size_inches(WIDTH, 3.6 + 0.26 * len(bins))
  bars, means, counts = figure.subplots(
    3, 1, height_ratios=(0.4 + 0.26 * len(bins), 2, 0.6)
  )
  means.sharex(counts)
  _draw_accuracy(bars, bins, exact)
  bars.set_title(f"{exact_name(tolerance)}, by length")

  bins = list(_bins(targets, 50))
  groups = [group for *_, group in bins]
  middle = np.array([(low + high) / 2 for low, high, _ in bins], float)
  mean, error, count = _means(np.abs(predictions - targets), groups)
  bar = {"fmt": "none", "ecolor": VERMILION, "elinewidth": 1}
  means.errorbar(middle, mean, error, **bar)
  few = count < FEW
  means.plot(middle, mean, color=VERMILION, lw=0.8, alpha=0.4)
  look = {"marker": "o", "ms": 4, "ls": "", "mec": VERMILION, "clip_on": False}
  look["in_layout"] = False  # an empty line has no position
  means.plot(middle[~few], mean[~few], mfc=VERMILION, **look)
  means.plot(middle[few], mean[few], mfc="white", **look)
  hollow = f"; hollow: of fewer than {FEW}" if few.any() else ""
  means.set_title(f"mean error ± standard error{hollow}")
  means.set_ylim(0)
  means.tick_params(labelbottom=False)
  sizes = np.array([group.sum() for group in groups], int)
  counts.vlines(middle, 0, sizes, color=GREY, lw=3)
  counts.set_title(f"{components}, by true {task}")
  counts.set_ylim(0)
  counts.set_xlabel(f"true {task}")
  if not middle.size:
    means.text(0.5, 0.5, "no finite targets", transform=means.transAxes)
  elif middle[-1] > SYMLOG:
    counts.set_xscale("symlog", linthresh=10)
    counts.set_xlim(middle[0] - 1, middle[-1] * 1.2)
  elif tolerance == ROUNDING:
    counts.xaxis.get_major_locator().set_params(integer=True)


def _draw_accuracy(
  axes: Any, bins: list[tuple[float, float, np.ndarray]], exact: np.ndarray
) -> None:
  """A bar for each bin of lengths, with its accuracy and count."""
  for y, (*_, group) in enumerate(bins):
    percent = 100 * exact[group].mean()
    axes.barh(y, 100, color=FAINT, height=0.72)
    axes.barh(y, percent, color=BLUE, height=0.72)
    inside = percent > 50
    axes.text(
      percent + (-1.5 if inside else 1.5),
      y,
      f"{percent:.1f}% of {group.sum():,}",
      color="white" if inside else BLUE,
      ha="right" if inside else "left",
      va="center_baseline",
    )
  names = [
    f"{low}-{high}" if low != high else f"{low} frame{'s' * int(low > 1)}"
    for low, high, _ in bins
  ]
  axes.set_yticks(range(len(bins)), names)
  axes.set(xlim=(0, 100), xticks=[], ylim=(len(bins) - 0.5, -0.5))
  axes.spines[:].set_visible(False)
  axes.tick_params(length=0)


def _bins(
  values: np.ndarray, most: int
) -> Iterator[tuple[float, float, np.ndarray]]:
  """Yields (lowest, highest, mask [N]) of at most `most` bins of values.

  Each distinct value has a bin if there is room. Values that are inf or nan are
  in no bin.
  """
  unique = np.unique(values[np.isfinite(values)])
  for some in np.array_split(unique, max(1, min(most, len(unique)))):
    if some.size:
      yield some[0], some[-1], (values >= some[0]) & (values <= some[-1])


def _means(
  values: np.ndarray, groups: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Mean, standard error and count of each group's finite values; [G] each.

  The standard error of one value is 0; the mean of none is nan.
  """
  rows = []
  for group in groups:
    finite = values[group & np.isfinite(values)].astype(np.float64)
    n = finite.size
    mean = finite.sum() / n if n else np.nan
    error = finite.std(ddof=1) / np.sqrt(n) if n > 1 else 0.0
    rows.append((mean, error, n))
  mean, error, count = np.array(rows, float).reshape(-1, 3).T
  return mean, error, count


@Chart
def agreement(
  figure: Any,
  targets: np.ndarray,
  predictions: np.ndarray,
  task: str,
  tolerance: float = ROUNDING,
) -> None:
  """Predicted against true values, with the band that counts as exact.

  Predictions beyond the axes are triangles at their edge.

  Args:
    targets, predictions: [N] float, the final ones; of vectors [N, D].
  """
  targets, predictions = targets.ravel(), predictions.ravel()
  known = np.isfinite(targets)
  if not known.any():
    return
  targets, predictions = targets[known], predictions[known]
  exact = is_exact(predictions, targets, tolerance)  # of vectors, each part
  rounds = tolerance == ROUNDING
  axes = figure.subplots()
  low, high = targets.min(), targets.max()
  pad = 2 * tolerance + 0.08 * (high - low)
  if high > SYMLOG:
    axes.set_xscale("symlog", linthresh=10)
    axes.set_yscale("symlog", linthresh=10)
    pad = 1 + 0.5 * high
  pad = pad or 1.0  # all targets are equal
  low, high = low - min(pad, 5), high + pad
  ends = np.linspace(low, high, 1000)
  band = ends - tolerance, ends + tolerance
  axes.fill_between(ends, *band, color=PALE, lw=0, zorder=0.8)
  axes.plot(ends, ends, color=INK, lw=0.8, zorder=0.9)  # below the points
  # Integer targets would lie on top of each other: points are moved along the
  # diagonal, which keeps their distance from it.
  jitter = np.random.default_rng(0).uniform(-0.35, 0.35, len(targets)) * rounds
  some = np.unique(np.linspace(0, len(targets) - 1, MOST_POINTS).astype(int))
  area, alpha = (6, 0.35) if len(targets) > MANY_POINTS else (20, 0.8)
  for group, color, marker in ((exact, BLUE, "o"), (~exact, VERMILION, "x")):
    at = some[group[some] & np.isfinite(predictions[some])]
    x, y = targets[at] + jitter[at], predictions[at] + jitter[at]
    inside = (y >= low) & (y <= high)
    look = {"color": color, "alpha": alpha, "lw": 0.7, "marker": marker}
    filled = {"edgecolors": "none"} if marker == "o" else {}
    axes.scatter(x[inside], y[inside], area, **(look | filled))
    for edge, triangle, out in ((high, "^", y > high), (low, "v", y < low)):
      edges = np.full(out.sum(), edge)
      axes.scatter(
        x[out], edges, 16, color=color, marker=triangle, clip_on=False
      )
  axes.set(xlim=(low, high), ylim=(low, high))
  axes.set(xlabel=f"true {task}", ylabel=f"predicted {task}")
  axes.set_aspect("equal")
  percent = 100 * exact.mean()
  notes = [
    (f"✓ {percent:.1f}% {'exactly right' if rounds else 'nearer'}", BLUE),
    (f"✗ {100 - percent:.1f}% off by {tolerance:.2g} or more", VERMILION),
  ]
  if count := np.count_nonzero(~np.isfinite(predictions)):
    notes.append((f"{count:,} not finite", VERMILION))
  corner = {"transform": axes.transAxes, "va": "top"}
  for i, (line, color) in enumerate(notes):
    axes.text(0.03, 0.97 - 0.06 * i, line, color=color, **corner)


@Chart
def confusion(figure: Any, labels: np.ndarray, digits: np.ndarray) -> None:
  """The confusion matrix of true and predicted digits, [N] int, with counts."""
  from matplotlib.colors import LinearSegmentedColormap, to_rgba

  if not len(labels):
    return
  names = np.unique(np.concatenate([labels, digits, np.arange(10)]))
  counts = np.zeros((len(names), len(names)), int)
  cells = np.searchsorted(names, labels), np.searchsorted(names, digits)
  np.add.at(counts, cells, 1)
  fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  figure.set_size_inches(WIDTH, 4.9)
  axes = figure.subplots()
  right = np.eye(len(names), dtype=bool)
  # From transparent to the full colour, so that the page shows through.
  for where, color, full in ((right, BLUE, 1.0), (~right, VERMILION, 0.05)):
    ends = to_rgba(color, 0), to_rgba(color, 0.85)
    colormap = LinearSegmentedColormap.from_list("", ends)
    shown = np.where(where & (counts > 0), fractions, np.nan)
    axes.imshow(shown, cmap=colormap, vmin=0, vmax=full)
  size = 7 if len(names) <= 10 else 5
  for (row, column), count in np.ndenumerate(counts):
    if not count:
      continue
    strong = fractions[row, column] > (0.5 if row == column else 0.03)
    color = "#FCFCFD" if strong else INK  # on both pages
    text = f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k"
    axes.text(
      column, row, text, ha="center", va="center", fontsize=size, color=color
    )
  axes.set_xticks(range(len(names)), list(map(str, names)))
  axes.set_yticks(range(len(names)), list(map(str, names)))
  axes.tick_params(length=0)
  axes.set(xlabel="predicted", ylabel="digit")
  accuracy = (labels == digits).mean()
  axes.set_title(f"{count_noun(len(labels), 'digit')}, {accuracy:.2%} right")
  axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
  axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
  axes.grid(which="minor", color=PALE, lw=0.5)
  axes.tick_params(which="minor", length=0)
  axes.spines[:].set_visible(False)
