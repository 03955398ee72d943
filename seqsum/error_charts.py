"""Where a run is wrong: predictions and targets -> PNG, as `figures` looks.

Whatever is inf or nan is counted and said, never drawn as a number.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from seqsum.figures import BLUE, GREY, INK, PALE, VERMILION, WIDTH, picture
from seqsum.metrics import WHOLE, is_exact

MOST_POINTS = 10_000


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
