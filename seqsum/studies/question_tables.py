"""Tables that answer one question each: lines of a results.jsonl -> Markdown.

They stand below the table that every study has, see `plan.Study.conclude`.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from seqsum.studies.charts import Line, Lines, by_variant, finished
from seqsum.studies.filter_similarity import chance, similarity
from seqsum.training.metrics import number

# Lengths with a column, if they were measured.
SHOWN = (1, 4, 5, 8, 10, 12, 20, 50, 100, 300, 1000)


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """A Markdown table; all columns but the first are set flush right."""
  rules = ["---"] + ["--:"] * (len(titles) - 1)
  return "\n".join(f"| {' | '.join(row)} |" for row in (titles, rules, *rows))


def together(*tables: Callable[[Lines], str]) -> Callable[[Lines], str]:
  """Several tables, one below the other."""
  return lambda lines: "\n".join(table(lines) for table in tables)


def pairs(lines: Lines) -> str:
  """How much of the sequences of two digits is exact; all pairs count alike.

  All figures are of the seeds together; the rarest pair has been seen some
  hundred times.
  """
  rows = []
  for name, group in by_variant(finished(lines)).items():
    right, seen = (
      np.sum([x["measured"][key] for x in group], axis=0, dtype=float)
      for key in ("right", "seen")
    )
    share = right / np.maximum(seen, 1)
    rows.append(
      [name]
      + [
        f"{100 * np.mean(some):.1f}%"
        for some in (share, share[1, 9], share[9, 1], share[9, 9])
      ]
      + [_worst(share)]
    )
  titles = ("variant", "all pairs", "1, 9", "9, 1", "9, 9", "worst pair")
  return markdown(titles, rows) + "\n"


def _worst(share: np.ndarray) -> str:
  first, second = np.unravel_index(share.argmin(), share.shape)
  return f"{first}, {second}: {100 * share.min():.1f}%"


def lengths(lines: Lines, digits: int = 0) -> str:
  """Exact accuracy and mean absolute error at some lengths, means of runs.

  Args:
    lines: Runs measured by `probes.by_length`.
    digits: Decimals of the percentages.
  """
  groups = by_variant(finished(lines))
  measured = {m["length"] for x in finished(lines) for m in x["measured"]}
  shown = [length for length in SHOWN if length in measured]
  rows = []
  for name, group in groups.items():
    cells = []
    for length in shown:
      found = [m for x in group for m in x["measured"] if m["length"] == length]
      exact, mae = (
        np.mean([m[key] for m in found]) for key in ("exact_accuracy", "mae")
      )
      cells.append(f"{100 * exact:.{digits}f}%, {number(mae, 2)}")
    rows.append([name, *cells])
  titles = ("exact, mae at length", *map(str, shown))
  return markdown(titles, rows) + "\n"


def seeds(lines: Lines) -> str:
  """Exact accuracy and mean squared error of every run in the test."""
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


def soonest(lines: Lines, share: float) -> str:
  """After how many seconds a share of the validation's answers was exact.

  Seconds are all that the run took until that validation ended, compiling and
  earlier validations among them.

  Args:
    lines: Of any study.
    share: In 0..1.
  """
  rows = []
  for name, group in by_variant(finished(lines)).items():
    reached = [
      next((second for second, exact in x["clock"] if exact >= share), None)
      for x in group
    ]
    cells = [f"{x:.0f} s" if x is not None else "never" for x in reached]
    rows.append([name, ", ".join(cells)])
  return markdown(("", f"seconds to {share:.1%}, each seed"), rows) + "\n"


def solved(lines: Lines, length: int, share: float) -> str:
  """In how many runs a share of the answers at a length is exact.

  Args:
    lines: Runs measured by `probes.by_length`.
    length: In frames.
    share: In 0..1.
  """
  rows = []
  for name, group in by_variant(lines).items():
    exact = [
      m["exact_accuracy"]
      for x in finished(group)
      for m in x["measured"]
      if m["length"] == length
    ]
    good = sum(x >= share for x in exact)
    each = ", ".join(f"{x:.1%}" for x in exact)
    rows.append([name, f"{good} of {len(group)}", each])
  titles = (f"{length} digits", f"seeds of {share:.1%}", "exact, each seed")
  return markdown(titles, rows) + "\n"


def targets(lines: Lines, borders: Sequence[int], single: int = 0) -> str:
  """How much is exact among answers of a size, the runs' together.

  Args:
    lines: Runs measured by `probes.by_target`.
    borders: Ascending; a row has those from one to below the next.
    single: So many answers have a row each, the worst of them.
  """
  seen, right = {}, {}
  for x in finished(lines):
    for target, found in x["measured"].items():
      value = float(target)
      count = found["count"]
      seen[value] = seen.get(value, 0) + count
      right[value] = right.get(value, 0) + found["exact_accuracy"] * count
  rows = []

  def row(name, values):
    count = sum(seen[value] for value in values)
    share = sum(right[value] for value in values) / max(count, 1)
    rows.append([name, str(len(values)), f"{count:,}", f"{share:.2%}"])

  for low, high in itertools.pairwise(borders):
    inside = [value for value in seen if low <= value < high]
    if inside:
      row(f"{low:,}" + (f" to {high - 1:,}" if high > low + 1 else ""), inside)
  worst = sorted(seen, key=lambda value: right[value] / seen[value])[:single]
  for n, value in enumerate(worst):
    row(f"{value:,g}" + (", the worst" if n == 0 else ""), [value])
  titles = ("answers", "of them", "sequences", "exact")
  return markdown(titles, rows) + "\n"


def steps(lines: Lines) -> str:
  """The mean squared error of the prediction at each step, means of runs."""
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


def filters(lines: Lines) -> str:
  """How alike first layers are, within variants, between them and by chance.

  Two runs of the same seed began with the same filters.
  """
  groups = by_variant(finished(lines))
  pairs = {}
  for name, group in groups.items():
    pairs[f"{name}, before and after training"] = [
      (_kernel(x, "before"), _kernel(x)) for x in group
    ]
    pairs[f"{name}, two seeds"] = [
      (_kernel(x), _kernel(y)) for x, y in itertools.combinations(group, 2)
    ]
  for a, b in itertools.combinations(groups, 2):
    for same in (True, False):
      pairs[f"{a} and {b}, {'the same seed' if same else 'two seeds'}"] = [
        (_kernel(x), _kernel(y))
        for x, y in itertools.product(groups[a], groups[b])
        if (x["seed"] == y["seed"]) == same
      ]
  rows = [[name, *_mean(some)] for name, some in pairs.items()]
  shape = _kernel(next(iter(groups.values()))[0]).shape
  rows.append(["normal random filters", number(chance(shape)), "200"])
  titles = ("first layers", "mean absolute cosine of the best match", "pairs")
  return markdown(titles, rows) + "\n"


def _kernel(line: Line, when: str = "after") -> np.ndarray:
  return np.array(line["measured"][when])


def _mean(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[str, str]:
  found = [similarity(*pair) for pair in pairs]
  return number(float(np.mean(found))) if found else "-", str(len(found))
