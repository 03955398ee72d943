"""Training throughput of the variants of a study, measured side by side.

The throughput in a run's summary depends on the load of the machine at that
time. Here variants take turns of a few steps, for several rounds, so that any
other load slows all of them.
"""

import statistics
import time
from collections.abc import Sequence

import jax
from tqdm import tqdm

from seqsum.runs.session import open_session
from seqsum.studies.plan import Run
from seqsum.training.metrics import Totals
from seqsum.training.parallel import compile_step
from seqsum.training.state import TRAIN
from seqsum.training.step import train_steps

ROUNDS = 5
SECONDS = 1.0  # duration of a turn, approximately


def measure(runs: Sequence[Run]) -> dict[str, float]:
  """Sequences per second of each variant, the median of its turns.

  Args:
    runs: Finished runs; the first of each variant is measured.
  """
  firsts = {run.variant: run for run in reversed(runs)}
  turns = {}
  for name in tqdm(list(firsts)[::-1], desc="compiling", leave=False):
    turns[name] = _Turn(firsts[name])
  rates: dict[str, list[float]] = {name: [] for name in turns}
  for _ in tqdm(range(ROUNDS), desc="taking turns", leave=False):
    for name, turn in turns.items():
      rates[name].append(turn())
  return {name: statistics.median(found) for name, found in rates.items()}


class _Turn:
  """Takes some training steps of a run; returns sequences per second."""

  def __init__(self, run: Run):
    with open_session(run.config, run.folder) as session:
      self._advance = compile_step(
        train_steps, session.mesh, experiment=session.experiment, donate=True
      )
      self._fixed = run.config.seed, *session.feed(TRAIN)(0)
      self._totals = session.put(Totals.zero())
      self._state = session.init(run.config.seed)
    # As in training: one step per call, or several.
    several = session.schedule.steps_per_call
    self._count = several if several > 1 else None
    self._sequences = (self._count or 1) * run.config.batch_size
    self._take(1)  # compiles
    self._calls = 1
    self._calls = max(1, round(SECONDS * self() / self._sequences))

  def __call__(self) -> float:
    start = time.perf_counter()
    self._take(self._calls)
    return self._calls * self._sequences / (time.perf_counter() - start)

  def _take(self, calls: int) -> None:
    for _ in range(calls):
      self._state, totals = self._advance(
        self._state, self._totals, self._count, *self._fixed
      )
    jax.block_until_ready(totals)
