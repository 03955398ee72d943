"""Tables that answer one question each: lines of a results.jsonl -> Markdown.

They stand below the table that every study has, see `plan.Study.conclude`.
"""

import functools
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from seqsum.metrics import number
from seqsum.study_charts import Line, Lines, by_variant, finished

SHOWN = (1, 4, 5, 8, 10, 12, 20, 50, 100)  # lengths with a column


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """A Markdown table; all columns but the first are set flush right."""
  rules = ["---"] + ["--:"] * (len(titles) - 1)
  return "\n".join(f"| {' | '.join(row)} |" for row in (titles, rules, *rows))


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


def lengths(lines: Lines) -> str:
  """Exact accuracy and mean absolute error at some lengths, means of runs."""
  rows = []
  for name, group in by_variant(finished(lines)).items():
    cells = []
    for length in SHOWN:
      found = [m for x in group for m in x["measured"] if m["length"] == length]
      exact, mae = (
        np.mean([m[key] for m in found]) for key in ("exact_accuracy", "mae")
      )
      cells.append(f"{100 * exact:.0f}%, {number(mae, 2)}")
    rows.append([name, *cells])
  titles = ("exact, mae at length", *map(str, SHOWN))
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


def similarity(first: np.ndarray, second: np.ndarray) -> float:
  """How alike two sets of filters are, in 0..1.

  The mean absolute cosine similarity of the best one-to-one matching (Kuhn
  1955). The sign does not count: an odd activation and the layer after it can
  undo it.

  Args:
    first, second: [kh, kw, C, F] float.
  """
  columns = (x.reshape(-1, x.shape[-1]) for x in (first, second))
  first, second = (x / np.linalg.norm(x, axis=0) for x in columns)
  cosines = np.abs(first.T @ second)
  return float(cosines[linear_sum_assignment(-cosines)].mean())


def chance(shape: tuple[int, ...], pairs: int = 200) -> float:
  """The mean similarity of random normal filters of a shape."""
  normal = functools.partial(np.random.default_rng(0).normal, size=shape)
  return float(np.mean([similarity(normal(), normal()) for _ in range(pairs)]))
