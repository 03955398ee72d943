"""95% intervals of a run's test metrics, from its test line."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

Z = 1.959963984540054  # of a 95% interval of the normal distribution
FEWEST_TARGETS = 8  # from which `mse_interval` estimates a variance


def tested(test: Mapping[str, Any]) -> int:
  """The number of test sequences of a test line; 0 if it is unknown."""
  groups = test.get("by_length") or {}
  return sum(group.get("count", 0) for group in groups.values())


def wilson(share: float, count: int) -> tuple[float, float]:
  """The 95% score interval of a share (Wilson 1927).

  Args:
    share: The observed share, 0..1.
    count: The number of observations, at least 1.
  """
  scale = 1 + Z**2 / count
  middle = (share + Z**2 / (2 * count)) / scale
  width = share * (1 - share) / count + Z**2 / (4 * count**2)
  half = Z * math.sqrt(width) / scale
  return max(0.0, middle - half), min(1.0, middle + half)


def mse_interval(test: Mapping[str, Any]) -> tuple[float, float] | None:
  """A 95% interval of the test mse from its values by target.

  A run's files have no error of single sequences. The standard error is that
  of a ratio estimator whose clusters are the sequences of one target (Cochran,
  Sampling Techniques, 1977, section 9A): with n_g sequences of target g and
  their mse m_g, its square is G / (G - 1) * sum(n_g^2 (m_g - mse)^2) / n^2. It
  is too large where targets differ in difficulty, and needs no assumption on
  the distribution of errors. The interval uses Student's t with G - 1 degrees
  of freedom and does not extend below 0.

  Returns:
    None with fewer than `FEWEST_TARGETS` targets, or if a value is not finite.
  """
  groups = list((test.get("by_target") or {}).values())
  if len(groups) < FEWEST_TARGETS or test["mse"] is None:
    return None
  counts, errors = (
    np.array([group.get(key) for group in groups], np.float64)
    for key in ("count", "mse")  # a null becomes nan
  )
  mse, number_of_groups = test["mse"], len(groups)
  scale = number_of_groups / (number_of_groups - 1)
  square = scale * np.square(counts * (errors - mse)).sum() / counts.sum() ** 2
  if not np.isfinite(square):
    return None
  from scipy import special  # takes 0.1 s

  half = special.stdtrit(number_of_groups - 1, 0.975) * math.sqrt(square)
  return max(0.0, mse - half), mse + half
