"""What studies ask of trained models beyond a test.

Each is `(session, best parameters) -> JSON`, for `plan.Study.measure`.
"""

import dataclasses
import functools
from typing import Any

import numpy as np
import optax
from scipy.optimize import linear_sum_assignment

from seqsum import evaluate
from seqsum.evaluate import make_evaluator
from seqsum.recipe import TEST
from seqsum.results import first_filters
from seqsum.session import Session

LENGTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 50, 100)


def by_length(
  session: Session,
  params: optax.Params,
  lengths: tuple[int, ...] = LENGTHS,
  sequences: int = 1000,
) -> list[dict[str, Any]]:
  """The test metrics for sequences of one length, for each of some lengths.

  Args:
    session: The run's.
    params: The model's.
    lengths: In frames, also far beyond those that it was trained on.
    sequences: Of each length.
  """
  found = []
  for length in lengths:
    sampler = dataclasses.replace(
      session.recipe.sampler, min_len=length, max_len=length
    )
    read = make_evaluator(
      dataclasses.replace(session.recipe, sampler=sampler),
      session.devices,
      TEST,
      *session.put(session.data.test),
      sequences=sequences,
      batch_size=session.devices.size * max(1, min(100, 1000 // length)),
    )
    metrics = evaluate.measure(read(params), session.recipe.per_step)
    found.append({"length": length, **metrics})
  return found


def by_pair(session: Session, params: optax.Params) -> dict[str, Any]:
  """Of test sequences of two digits: [10][10] `seen`, and exactly `right`."""
  reading = session.evaluator(TEST)(params)
  right = evaluate.is_exact(
    reading.final(reading.predictions), reading.final(reading.targets)
  )
  seen, hits = np.zeros((2, 10, 10), int)
  np.add.at(seen, tuple(reading.labels[:, :2].T), 1)
  np.add.at(hits, tuple(reading.labels[:, :2].T), right)
  return {"seen": seen.tolist(), "right": hits.tolist()}


def filters(session: Session, params: optax.Params) -> list:
  """[kh][kw][C][F], the kernel of the first convolution."""
  return first_filters(params).tolist()


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
