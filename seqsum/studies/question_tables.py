"""Tables for the question of one study: lines of results.jsonl -> Markdown.

They follow the table that every study has, see `plan.Study.conclude`.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import scipy
from numpy.typing import ArrayLike

from seqsum.studies.charts import Lines, by_variant, finished
from seqsum.training.scores import number

# Lengths that have a column if they were measured.
SHOWN = (1, 4, 5, 8, 10, 12, 20, 50, 100, 300, 1000)


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """Returns a Markdown table; all columns but the first are right-aligned."""
  rules = ["---"] + ["--:"] * (len(titles) - 1)
  return "\n".join(f"| {' | '.join(row)} |" for row in (titles, rules, *rows))


def together(*tables: Callable[[Lines], str]) -> Callable[[Lines], str]:
  """Joins several tables, one below the other."""
  return lambda lines: "\n".join(table(lines) for table in tables)


def pairs(lines: Lines) -> str:
  """Exact accuracy for pairs of digits; all pairs have equal weight.

  Numbers are over all seeds of a variant. Lines are measured by
  `probes.by_pair`.
  """
  rows = []
  for name, group in by_variant(finished(lines)).items():
    right, seen = (
      np.sum([x["measured"][key] for x in group], axis=0, dtype=float)
      for key in ("right", "seen")
    )
    accuracy = right / np.maximum(seen, 1)
    rows.append(
      [name]
      + [
        f"{100 * np.mean(some):.1f}%"
        for some in (accuracy, *(accuracy[x] for x in ((1, 9), (9, 1), (9, 9))))
      ]
      + [_worst(accuracy)]
    )
  titles = ("variant", "all pairs", "1, 9", "9, 1", "9, 9", "worst pair")
  return markdown(titles, rows) + "\n"


def _worst(accuracy: np.ndarray) -> str:
  first, second = np.unravel_index(accuracy.argmin(), accuracy.shape)
  return f"{first}, {second}: {100 * accuracy.min():.1f}%"


def lengths(lines: Lines, digits: int = 0, part: str = "") -> str:
  """Exact accuracy and mean absolute error by length, means over runs.

  Lines are measured by `probes.by_length`; percentages have `digits` decimals.
  `part` is "deformed", or empty for test digits.
  """
  groups = by_variant(finished(lines))
  shown = [x for x in SHOWN if _at_length(finished(lines), x, part)]
  rows = []
  for name, group in groups.items():
    cells = []
    for length in shown:
      exact, mae = (
        np.mean([m[key] for m in _at_length(group, length, part)])
        for key in ("exact_accuracy", "mae")
      )
      cells.append(f"{100 * exact:.{digits}f}%, {number(mae, 2)}")
    rows.append([name, *cells])
  first = f"{part}: exact, mae at length".removeprefix(": ")
  return markdown((first, *map(str, shown)), rows) + "\n"


def _at_length(lines: Lines, length: int, part: str = "") -> Lines:
  found = [m for x in lines for m in x["measured"] if m["length"] == length]
  return [m[part] for m in found if part in m] if part else found


def seeds(lines: Lines) -> str:
  """Exact accuracy and mean squared error of every run on the test set."""
  groups = by_variant(lines)
  most = max(x["seed"] for x in lines) + 1
  rows = []
  for name, group in groups.items():
    cells = [""] * most
    for x in group:
      cells[x["seed"]] = "diverged"
      if x["status"] == "finished":
        exact, mse = x["test"]["exact_accuracy"], x["test"]["mse"]
        cells[x["seed"]] = f"{100 * exact:.2f}%, {number(mse)}"
    rows.append([name, *cells])
  titles = ("exact, mse of seed", *map(str, range(most)))
  return markdown(titles, rows) + "\n"


def identified(lines: Lines, groups: Mapping[str, Sequence[int]]) -> str:
  """What the classes of a network without digit labels tell about a digit.

  Means over seeds: exact sequences; digits read right; digits right under the
  best one-to-one relabelling of the classes (Kuhn 1955); and the information
  about the digit in bits: of its class, of the group of its class, and most
  that the labels of sequences can tell.

  Args:
    lines: Runs measured by `probes.confusion`.
    groups: Variant -> the group of each of the ten digits. Labels do not tell
      digits of a group apart. Of other variants each digit is a group.
  """
  rows = []
  for name, group in by_variant(finished(lines)).items():
    exact = [x["test"]["exact_accuracy"] for x in group]
    counts = [np.array(x["measured"]) for x in group]
    right = [np.trace(x) / x.sum() for x in counts]
    best = [
      x[scipy.optimize.linear_sum_assignment(-x)].sum() / x.sum()
      for x in counts
    ]
    cells = [f"{100 * np.mean(x):.2f}%" for x in (exact, right, best)]
    merge = np.eye(10, dtype=int)[np.array(groups.get(name, range(10)))]
    for table in (counts, [x @ merge for x in counts], [merge]):
      cells.append(f"{np.mean([information(x) for x in table]):.2f}")
    rows.append([name, *cells])
  titles = (
    *("labels", "exact", "digits", "relabelled"),
    *("bits of classes", "of groups", "at most"),
  )
  return markdown(titles, rows) + "\n"


def spread(values: ArrayLike, unit: str = "") -> str:
  """Mean ± sample standard deviation; of one value, the value alone."""
  values = np.asarray(values)
  deviation = f" ± {values.std(ddof=1):.1f}" if values.size > 1 else ""
  return f"{values.mean():.1f}{deviation}{unit}"


def misread(lines: Lines) -> str:
  """Misread digits of the validation and test images, over seeds.

  Args:
    lines: Runs measured by `probes.misread`.
  """
  splits, rows, of = ("validation", "test"), [], {}
  for name, group in by_variant(finished(lines)).items():
    row = [name, f"{group[0]['parameters']:,}"]
    for split in splits:
      counts = [x["measured"][split] for x in group]
      found, averaged = (
        [x[key] for x in counts] for key in ("misread", "averaged")
      )
      of[split] = counts[0]["of"]
      row += [spread(found), ", ".join(map(str, found)), spread(averaged)]
    rows.append(row)
  titles = [
    title
    for x in of
    for title in (f"misread of {of[x]:,} {x} digits", "each seed", "averaged")
  ]
  return markdown(("", "parameters", *titles), rows) + "\n"


def information(counts: np.ndarray) -> float:
  """Mutual information of row and column in bits, from counts [M, N]."""
  joint = counts / counts.sum()
  independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0)
  seen = joint > 0
  ratio = joint[seen] / independent[seen]
  return float((joint[seen] * np.log2(ratio)).sum())


def soonest(lines: Lines, accuracy: float) -> str:
  """Seconds until a fraction of the validation predictions was exact.

  Seconds are wall-clock time since the run began, with compilation and earlier
  validations. `accuracy` is in 0..1.
  """
  rows = []
  for name, group in by_variant(finished(lines)).items():
    reached = [
      next((second for second, exact in x["clock"] if exact >= accuracy), None)
      for x in group
    ]
    cells = [f"{x:.0f} s" if x is not None else "never" for x in reached]
    rows.append([name, ", ".join(cells)])
  return markdown(("", f"seconds to {accuracy:.1%}, each seed"), rows) + "\n"


def solved(lines: Lines, length: int, accuracy: float) -> str:
  """Number of runs that reach an exact accuracy, in 0..1, at a length.

  Lines are measured by `probes.by_length`.
  """
  rows = []
  for name, group in by_variant(lines).items():
    measured = _at_length(finished(group), length)
    exact = [m["exact_accuracy"] for m in measured]
    good = sum(x >= accuracy for x in exact)
    each = ", ".join(f"{x:.1%}" for x in exact)
    rows.append([name, f"{good} of {len(group)}", each])
  titles = (f"{length} digits", f"seeds of {accuracy:.1%}", "exact, each seed")
  return markdown(titles, rows) + "\n"


def targets(lines: Lines, borders: Sequence[int], single: int = 0) -> str:
  """Exact accuracy by size of the target, over all runs.

  Args:
    lines: Runs measured by `probes.by_target`.
    borders: Ascending; a row is for targets from one border to below the next.
    single: Number of least accurate targets that have a row of their own.
  """
  seen: dict[float, int] = {}
  right: dict[float, float] = {}
  for x in finished(lines):
    for target, found in x["measured"].items():
      value = float(target)
      count = found["count"]
      seen[value] = seen.get(value, 0) + count
      right[value] = right.get(value, 0) + found["exact_accuracy"] * count
  rows = []

  def row(name, values):
    count = sum(seen[value] for value in values)
    accuracy = sum(right[value] for value in values) / max(count, 1)
    rows.append([name, str(len(values)), f"{count:,}", f"{accuracy:.2%}"])

  for low, high in itertools.pairwise(borders):
    inside = [value for value in seen if low <= value < high]
    if inside:
      row(f"{low:,}" + (f" to {high - 1:,}" if high > low + 1 else ""), inside)
  worst = sorted(seen, key=lambda value: right[value] / seen[value])[:single]
  for n, value in enumerate(worst):
    row(f"{value:,g}" + (", the worst" if n == 0 else ""), [value])
  titles = ("target", "distinct values", "sequences", "exact")
  return markdown(titles, rows) + "\n"


def steps(lines: Lines) -> str:
  """Mean squared error of the prediction at each step, means over runs."""
  groups = by_variant(finished(lines))
  most = max(
    (len(x["by_step"]) for group in groups.values() for x in group), default=0
  )
  rows = []
  for name, group in groups.items():
    means = [
      number(np.mean([x["by_step"][step]["mse"] for x in group]))
      for step in group[0]["by_step"]
    ]
    rows.append([name, *means, *[""] * (most - len(means))])
  titles = ("mse at step", *map(str, range(1, most + 1)))
  return markdown(titles, rows) + "\n"
