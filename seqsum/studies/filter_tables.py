"""The table of a study of first layers: how similar their filters are."""

import itertools
from collections.abc import Iterable

import numpy as np
import scipy

from seqsum.studies.charts import Line, Lines, by_variant, finished
from seqsum.studies.question_tables import markdown
from seqsum.training.scores import number


def filters(lines: Lines) -> str:
  """Similarity of first layers within and between variants, and of random ones.

  Runs with the same seed start with the same filters. Lines are measured by
  `probes.filters`.
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
  rows.append(
    ["normal random filters", number(random_similarity(shape)), "200"]
  )
  titles = ("first layers", "mean absolute cosine of the best match", "pairs")
  return markdown(titles, rows) + "\n"


def _kernel(line: Line, when: str = "after") -> np.ndarray:
  return np.array(line["measured"][when])


def _mean(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[str, str]:
  found = [similarity(*pair) for pair in pairs]
  return number(float(np.mean(found))) if found else "-", str(len(found))


def similarity(first: np.ndarray, second: np.ndarray) -> float:
  """Mean absolute cosine similarity of two sets of filters, in 0..1.

  Filters are matched one to one so that it is largest (Kuhn 1955). The sign
  does not count, since the next layer can undo it.

  Args:
    first, second: [kh, kw, C, F] float.
  """
  columns = (x.reshape(-1, x.shape[-1]) for x in (first, second))
  first, second = (x / np.linalg.norm(x, axis=0) for x in columns)
  cosines = np.abs(first.T @ second)
  return float(cosines[scipy.optimize.linear_sum_assignment(-cosines)].mean())


def random_similarity(shape: tuple[int, ...], pairs: int = 200) -> float:
  """Mean similarity of filters with standard normal weights."""
  normal = np.random.default_rng(0).normal
  found = [
    similarity(normal(size=shape), normal(size=shape)) for _ in range(pairs)
  ]
  return float(np.mean(found))
