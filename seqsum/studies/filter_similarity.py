"""How alike the filters of two convolutions are."""

import functools

import numpy as np
import scipy


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
  return float(cosines[scipy.optimize.linear_sum_assignment(-cosines)].mean())


def chance(shape: tuple[int, ...], pairs: int = 200) -> float:
  """The mean similarity of random normal filters of a shape."""
  normal = functools.partial(np.random.default_rng(0).normal, size=shape)
  return float(np.mean([similarity(normal(), normal()) for _ in range(pairs)]))
