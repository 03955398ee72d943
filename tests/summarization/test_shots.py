"""Kernel temporal segmentation against brute force, and its memory."""

import itertools
import tracemalloc

import numpy as np
import pytest

from seqsum.summarization import shots


def objective(x, changes):
  """The published objective, from its definition."""
  edges = [0, *changes, len(x)]
  parts = [x[a:b] for a, b in itertools.pairwise(edges)]
  scatter = sum(np.square(part - part.mean(axis=0)).sum() for part in parts)
  m = len(changes)
  return scatter + (m / 2 * (np.log(len(x) / m) + 1) if m else 0)


def draw(rng, n, size, noise):
  """Vectors of unit length that change in a few places."""
  centers = rng.normal(size=(4, size))
  which = np.sort(rng.integers(0, 4, n))
  return shots._unit_rows(centers[which] + noise * rng.normal(size=(n, size)))


def test_the_minimum_of_all_segmentations_is_found():
  rng = np.random.default_rng(0)
  numbers = set()
  for trial in range(60):
    n = int(rng.integers(1, 10))
    x = draw(rng, n, 3, rng.choice([0.1, 0.5, 2.0]))
    x *= rng.choice([0.3, 1, 2])
    least = min(
      objective(x, changes)
      for m in range(n)
      for changes in itertools.combinations(range(1, n), m)
    )
    found = shots.segment(x)
    assert objective(x, found) == pytest.approx(least, abs=1e-7), trial
    numbers.add(len(found))
  assert len(numbers) > 3


def test_the_minimum_over_all_numbers_of_changes_is_found():
  """Tables of all scatters and of all numbers of changes, as usually done."""
  rng = np.random.default_rng(1)
  for noise in (0.1, 0.4, 0.7, 1.5):
    n = 70  # more than a block
    x = draw(rng, n, 6, noise)
    table = np.full((n + 1, n + 1), np.inf)
    for a, b in itertools.combinations(range(n + 1), 2):
      table[a, b] = np.square(x[a:b] - x[a:b].mean(axis=0)).sum()
    scatter, totals = table[0], []
    for _ in range(n):
      totals.append(scatter[n])
      scatter = (scatter[:, None] + table).min(axis=0)
    least = (np.array(totals) + shots.penalty(np.arange(n), n)).min()
    assert objective(x, shots.segment(x)) == pytest.approx(least, abs=1e-7)


def test_shots_of_clear_scenes_are_found():
  rng = np.random.default_rng(2)
  centers = np.eye(5)[[0, 1, 2, 0, 3]]
  x = np.repeat(centers, [7, 30, 2, 50, 9], axis=0) * 100
  x += rng.uniform(-1, 1, size=x.shape)
  assert shots.find(x).tolist() == [0, 7, 37, 39, 89]
  assert shots.find(x, 1e6).tolist() == [0]
  assert len(shots.find(x, 1e-9)) == len(x)


def test_degenerate_features_are_one_shot():
  for x in (np.ones((1, 3)), np.zeros((9, 3)), np.full((9, 2), 1e200)):
    assert shots.find(x).tolist() == [0]


@pytest.mark.slow
def test_memory_is_linear_in_the_number_of_steps():
  rng = np.random.default_rng(3)
  peaks = []
  for n in (1000, 4000):
    x = draw(rng, n, 8, 0.2).astype(np.float32)
    tracemalloc.start()
    shots.find(x)
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
  assert peaks[1] < 5 * peaks[0]
  assert peaks[1] < 4000 * 4000  # a byte for each pair of steps
