"""Where a run is wrong: predictions and targets -> PNG, as `figures` looks.

Whatever is inf or nan is counted and said, never drawn as a number.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from seqsum.plots.figures import (
  BLUE,
  FAINT,
  GREY,
  INK,
  PALE,
  VERMILION,
  WIDTH,
  nothing,
  picture,
)
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.metrics import is_exact

MOST_POINTS = 10_000
FEW = 10  # sequences; a mean of fewer is drawn hollow


@picture
def errors(
  figure: Any,
  lengths: np.ndarray,
  targets: np.ndarray,
  predictions: np.ndarray,
  task: str,
  tolerance: float = ROUNDING,
) -> None:
  """Where the errors are: exact accuracy by length, error by target.

  A mean of the error has a bar of one standard error up and down.

  Args:
    lengths: [N] int.
    targets, predictions: [N] float, the final ones; of vectors [N, D].
    task: What the fold is called, "sum".
    tolerance: How near is right.
  """
  if not len(lengths):
    nothing(figure)
    return
  exact = is_exact(predictions, targets, tolerance)
  whole = tolerance == ROUNDING
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
    bars.barh(y, 100, color=FAINT, height=0.72)
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
  middle = np.array([(low + high) / 2 for low, high, _ in groups], float)
  counted = np.array([group.sum() for *_, group in groups], int)
  mean, error, count = _means(miss, [group for *_, group in groups])
  dots.errorbar(middle, mean, error, fmt="none", ecolor=VERMILION, elinewidth=1)
  few = count < FEW
  dots.plot(middle, mean, color=VERMILION, lw=0.8, alpha=0.4)
  look = {"marker": "o", "ms": 4, "ls": "", "mec": VERMILION, "clip_on": False}
  look["in_layout"] = False  # a line without points has no place
  dots.plot(middle[~few], mean[~few], mfc=VERMILION, **look)
  dots.plot(middle[few], mean[few], mfc="white", **look)
  hollow = f"; hollow: of fewer than {FEW}" if few.any() else ""
  dots.set_title(f"mean error ± standard error{hollow}")
  dots.set_ylim(0)
  dots.tick_params(labelbottom=False)
  counts.vlines(middle, 0, counted, color=GREY, lw=3)
  seen = "sequences" if len(exact) == len(targets) else "parts"
  counts.set_title(f"{seen}, by true {task}")
  counts.set_ylim(0)
  counts.set_xlabel(f"true {task}")
  if not middle.size:
    dots.text(0.5, 0.5, "no finite targets", transform=dots.transAxes)
  elif middle[-1] > 200:
    counts.set_xscale("symlog", linthresh=10)
    counts.set_xlim(middle[0] - 1, middle[-1] * 1.2)
  elif whole:
    counts.xaxis.get_major_locator().set_params(integer=True)


def _groups(
  values: np.ndarray, most: int
) -> Iterator[tuple[float, float, np.ndarray]]:
  """(lowest, highest, which) of each value, or of neighbours if many.

  Values that are inf or nan are in no group.
  """
  unique = np.unique(values[np.isfinite(values)])
  for run in np.array_split(unique, max(1, min(most, len(unique)))):
    if run.size:
      yield run[0], run[-1], (values >= run[0]) & (values <= run[-1])


def _means(
  values: np.ndarray, groups: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Of each group, its finite values': mean, standard error, count; [G] each.

  Of one value the standard error is 0, of none the mean is nan.
  """
  found = []
  for group in groups:
    some = values[group & np.isfinite(values)].astype(np.float64)
    n = some.size
    mean = some.sum() / n if n else np.nan
    error = some.std(ddof=1) / np.sqrt(n) if n > 1 else 0.0
    found.append((mean, error, n))
  mean, error, count = np.array(found, float).reshape(-1, 3).T
  return mean, error, count


@picture
def agreement(
  figure: Any,
  targets: np.ndarray,
  predictions: np.ndarray,
  task: str,
  tolerance: float = ROUNDING,
) -> None:
  """Predicted against true, with the band that rounds to the truth.

  Args:
    targets, predictions: [N] float, the final ones; of vectors [N, D].
    task: What the fold is called, "sum".
    tolerance: How near is right.
  """
  targets, predictions = targets.ravel(), predictions.ravel()
  known = np.isfinite(targets)
  if not known.any():
    nothing(figure)
    return
  targets, predictions = targets[known], predictions[known]
  exact = is_exact(predictions, targets, tolerance)  # of vectors, each part
  whole = tolerance == ROUNDING
  some = np.unique(np.linspace(0, len(targets) - 1, MOST_POINTS).astype(int))
  axes = figure.subplots()
  low, high = targets.min(), targets.max()
  pad = 2 * tolerance + 0.08 * (high - low)
  if high > 200:
    axes.set_xscale("symlog", linthresh=10)
    axes.set_yscale("symlog", linthresh=10)
    pad = 1 + 0.5 * high
  pad = pad or 1.0  # of targets that are all alike
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


@picture
def confusion(figure: Any, labels: np.ndarray, digits: np.ndarray) -> None:
  """How often each digit was taken for each, with the counts.

  Args:
    labels: [N] int, the digits that are shown.
    digits: [N] int, those that they were taken for.
  """
  from matplotlib.colors import LinearSegmentedColormap, to_rgba

  if not len(labels):
    nothing(figure)
    return
  names = np.unique(np.concatenate([labels, digits, np.arange(10)]))
  counts = np.zeros((len(names), len(names)), int)
  places = np.searchsorted(names, labels), np.searchsorted(names, digits)
  np.add.at(counts, places, 1)
  shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  figure.set_size_inches(WIDTH, 4.9)
  axes = figure.subplots()
  right = np.eye(len(names), dtype=bool)
  # From nothing to the full colour, so that the page is what they lie on.
  for where, color, full in ((right, BLUE, 1.0), (~right, VERMILION, 0.05)):
    clear = to_rgba(color, 0), to_rgba(color, 0.85)
    ramp = LinearSegmentedColormap.from_list("", clear)
    shown = np.where(where & (counts > 0), shares, np.nan)
    axes.imshow(shown, cmap=ramp, vmin=0, vmax=full)
  small = 7 if len(names) <= 10 else 5
  for (row, column), count in np.ndenumerate(counts):
    if not count:
      continue
    strong = shares[row, column] > (0.5 if row == column else 0.03)
    color = "#FCFCFD" if strong else INK  # on both pages
    said = f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k"
    axes.text(
      column, row, said, ha="center", va="center", fontsize=small, color=color
    )
  axes.set_xticks(range(len(names)), list(map(str, names)))
  axes.set_yticks(range(len(names)), list(map(str, names)))
  axes.tick_params(length=0)
  axes.set(xlabel="taken for", ylabel="digit")
  axes.set_title(
    f"{(labels == digits).mean():.2%} of {len(labels):,} digits are right"
  )
  axes.set_xticks(np.arange(len(names) + 1) - 0.5, minor=True)
  axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
  axes.grid(which="minor", color=PALE, lw=0.5)
  axes.tick_params(which="minor", length=0)
  axes.spines[:].set_visible(False)
