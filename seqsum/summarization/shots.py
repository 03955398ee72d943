"""Shots of a video: kernel temporal segmentation (Potapov et al. 2014).

"Category-specific video summarization" cuts n frames at the m change points
that minimize

    scatter(m) + factor * m / 2 * (log(n / m) + 1)

where scatter(m) is the smallest sum, over the shots, of squared distances of
features to the mean of their shot. The usual programs tabulate scatter(m) for
every m: n^2 numbers and n^3 time. Here the same minimum is found in memory
linear in n:

- The second term is concave in m, so the minimum is a vertex of the lower
  convex hull of scatter(m). Each vertex minimizes scatter(m) + slope * m for
  some slope.
- For one slope the change points follow by dynamic programming over the last
  one, where candidates that can never be the last one again are dropped (PELT,
  Killick et al. 2012).
- A solution for a slope bounds scatter(m) from below for every m. Parts of the
  hull that cannot contain the minimum are not searched.
"""

import numpy as np

BLOCK = 64  # steps whose products with earlier ones are computed together
TOLERANCE = 1e-9  # of sums of squared distances, relative to n


def find(features: np.ndarray, factor: float = 1.0) -> np.ndarray:
  """The first step of each shot.

  Args:
    features: [n, D] float, finite. Rows are scaled to length 1; the kernel is
      the cosine of two rows.
    factor: Above 0, of the penalty of change points: less of it gives more
      shots. 1 is usual for features whose rows differ much.

  Returns:
    [n_shots] int64, ascending, the first is 0.
  """
  x = _unit_rows(np.asarray(features, np.float64))
  return np.append(0, segment(x / factor**0.5))


def _unit_rows(x: np.ndarray) -> np.ndarray:
  largest = np.abs(x).max(axis=1, keepdims=True, initial=0)
  x = x / np.where(largest > 0, largest, 1)  # squares of 1e200 overflow
  length = np.linalg.norm(x, axis=1, keepdims=True)
  return x / np.where(length > 0, length, 1)


def penalty(changes: np.ndarray | int, n: int) -> np.ndarray:
  """The second term of the objective; 0 without change points."""
  m = np.asarray(changes, np.float64)
  return m / 2 * (np.log(n / np.maximum(m, 1)) + 1)


def segment(x: np.ndarray) -> np.ndarray:
  """Change points that minimize the scatter and the penalty.

  Args:
    x: [n, D] float64, the vectors whose scatter is summed.

  Returns:
    [m] int64, ascending, in 1..n-1: the first step after each change.
  """
  n = len(x)
  scatter = _Scatter(x)
  every = np.arange(n)
  best = every[:0], float(scatter.total(every[:0]))  # no change
  tolerance = TOLERANCE * n
  lower = np.zeros(n)  # of scatter(m), for each m

  def keep_better(changes, value):
    nonlocal best
    value += float(penalty(len(changes), n))
    if value < best[1] - tolerance:
      best = changes, value

  keep_better(every[1:], 0.0)
  # Vertices of the hull between which there may be others.
  parts = [((0, float(scatter.total(every[:0]))), (n - 1, 0.0))]
  while parts:
    bounds = [
      (lower + penalty(every, n))[left[0] + 1 : right[0]].min(initial=np.inf)
      for left, right in parts
    ]
    most = int(np.argmin(bounds))
    if not bounds[most] < best[1] - tolerance:
      break
    left, right = parts.pop(most)
    slope = (left[1] - right[1]) / (right[0] - left[0])
    changes = scatter.minimize(slope)
    value = float(scatter.total(changes))
    vertex = len(changes), value
    keep_better(changes, value)
    least = value + slope * vertex[0]
    lower = np.maximum(lower, least - slope * every)
    # Between two vertices of one edge there is none below the edge.
    if least < left[1] + slope * left[0] - tolerance:
      parts += [(left, vertex), (vertex, right)]
  return best[0]


class _Scatter:
  """Sums of squared distances to the mean, for any run of rows.

  Args:
    x: [n, D] float64.
  """

  def __init__(self, x: np.ndarray):
    x = x - x.mean(axis=0)  # the same distances, smaller sums
    zero = np.zeros((1, x.shape[1]))
    self._sums = np.concatenate([zero, x.cumsum(axis=0)])  # [n + 1, D]
    self._norms = np.square(self._sums).sum(axis=1)
    self._squares = np.append(0, np.square(x).sum(axis=1).cumsum())

  def total(self, changes: np.ndarray) -> float:
    """The scatter of all shots."""
    n = len(self._norms) - 1
    edges = np.concatenate([[0], changes, [n]])
    difference = np.diff(self._sums[edges], axis=0)
    norms = np.square(difference).sum(axis=1) / np.diff(edges)
    return float(np.maximum(np.diff(self._squares[edges]) - norms, 0).sum())

  def minimize(self, slope: float) -> np.ndarray:
    """Change points with the least total scatter + slope * their number."""
    n = len(self._norms) - 1
    tolerance = TOLERANCE * n
    least = np.full(n + 1, -slope)  # of rows 0..t-1
    last = np.zeros(n + 1, np.int64)  # the last change before t
    alive = np.ones(n + 1, bool)
    low = 0  # the first candidate
    for start in range(1, n + 1, BLOCK):
      stop, first = min(start + BLOCK, n + 1), low
      # One product of matrices, much faster than one of vectors for each t.
      products = self._sums[start:stop] @ self._sums[low:stop].T
      for t in range(start, stop):
        taus = slice(low, t)
        norms = self._norms[taus] + self._norms[t]
        norms -= 2 * products[t - start, low - first : t - first]
        squares = self._squares[t] - self._squares[taus]
        scatter = squares - norms / np.arange(t - low, 0, -1)
        known = least[taus] + np.maximum(scatter, 0)
        last[t] = low + int(np.argmin(np.where(alive[taus], known, np.inf)))
        least[t] = known[last[t] - low] + slope
        alive[taus] &= known < least[t] + tolerance
        low += int(np.argmax(alive[low : t + 1]))
    changes = []
    t = last[n]
    while t > 0:
      changes.append(t)
      t = last[t]
    return np.array(changes[::-1], np.int64)
