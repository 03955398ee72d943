"""Evaluate a model on fixed held-out sequences.

Batch n of a split is a function of n and the sampler (lengths, batch size), so
it is the same for every seed and number of devices.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh

from seqsum.sequences.shapes import Feed, Lengths, Values
from seqsum.sequences.tasks import ROUNDING
from seqsum.training import parallel
from seqsum.training.state import Experiment, batch_key

SEED = 0  # of the held-out sequences of all runs, whatever `config.seed`


class Predictions(struct.PyTreeNode):
  """A model's predictions for N sequences, without their frames.

  Attributes:
    lengths: [N] int32.
    targets: [N, T] float32, or [N, T, D] of vectors.
    predictions: Like `targets`, in digit units.
    losses: [N, T] float32, the loss of the value at each step.
    labels: [N, T] int32, the digits; None for sequences from files and videos.
    means: [N, T] float32, means of predicted distributions, or None.
    digits: [N, T] int32, digits recognized by a known fold; None for others.
    places: [N, 2] int, batch and row of a sequence's draw; set on the host.
    tolerance: Absolute error below which a prediction counts as exact.
  """

  lengths: Lengths
  targets: Values
  predictions: Values
  losses: Values
  labels: Values | None = None
  means: Values | None = None
  digits: Values | None = None
  places: np.ndarray | None = None
  tolerance: float = struct.field(pytree_node=False, default=ROUNDING)

  def final(self, values: Any) -> np.ndarray:
    """[N, T, ...] -> [N, ...], the value at each sequence's last real step."""
    return values[np.arange(len(values)), self.lengths - 1]


def eval_step(
  params: optax.Params,
  key_data: jax.Array,
  *data: jax.Array,
  experiment: Experiment,
  axis_name: str | None = None,
) -> Predictions:
  """Draws the batch of a key, given as its `key_data`, and predicts it.

  The other arguments are as for `step.train_step`.

  Returns:
    Predictions of the whole batch, in the same order on any number of devices.
  """
  shard, shards = parallel.shard_of_device(axis_name)
  key = jax.random.wrap_key_data(key_data)
  batch = experiment.sampler(key, *data, shard=shard, shards=shards)
  rows = experiment.sampler.rows(shards)
  outputs, variables = experiment.model.apply(
    params, batch.frames, rows, batch.lengths, mutable=["intermediates"]
  )
  digits, known_fold = None, experiment.model.known_fold
  if known_fold is not None and batch.labels is not None:
    digits = known_fold.digits(variables["intermediates"]["fold_inputs"][0])
  output = experiment.objective(outputs, batch.targets, batch.lengths)
  predictions = Predictions(
    lengths=batch.lengths,
    targets=batch.targets,
    predictions=output.predictions,
    losses=output.losses,
    labels=batch.labels,
    means=output.means,
    digits=digits,
    tolerance=experiment.sampler.task.tolerance,
  )
  return parallel.gather_rows(axis_name, predictions)


@dataclasses.dataclass(frozen=True)
class Evaluator:
  """Predicts a fixed number of sequences of one split.

  Attributes:
    batches: Computes `eval_step` on all batches.
    draw: Compiled `(key data, *data) -> SequenceBatch`, the same batches.
    stream: The split's stream of random numbers, `state.VALIDATION` or `TEST`.
    batch_size: Sequences in a batch.
    sequences: N.
    feed: Batch number -> arguments of the sampler, on the devices.
    is_sorted: Whether a batch is sorted by length.
  """

  batches: parallel.EvalBatches
  draw: Callable[..., Any]
  stream: int
  batch_size: int
  sequences: int
  feed: Feed
  is_sorted: bool

  def start(
    self, params: optax.Params, should_stop: Callable[[], bool]
  ) -> Callable[[], Predictions] | None:
    """Starts to predict; returns what waits for it, None if told to stop."""
    wait = self.batches.start(params, self._keys, self.feed, should_stop)
    return None if wait is None else lambda: self._join(wait())

  def lower(self, params: optax.Params) -> jax.stages.Lowered:
    """Lowers its program, for `parallel.compile_all`."""
    return self.batches.lower(params, self._keys, self.feed)

  def __call__(self, params: optax.Params) -> Predictions:
    """Predicts all sequences."""
    wait: Any = self.start(params, lambda: False)
    return wait()

  def _join(self, batches: Iterable[Predictions]) -> Predictions:
    parts = []
    for n, batch in enumerate(batches):
      rows = self._rows(n)
      part = jax.tree.map(lambda x, rows=rows: x[rows], batch)
      places = np.stack([np.full_like(rows, n), rows], axis=1)
      parts.append(part.replace(places=places))
    return jax.tree.map(lambda *x: np.concatenate(x), *parts)

  def frames(
    self, predictions: Predictions, which: Iterable[int]
  ) -> np.ndarray:
    """Draws the frames of some sequences again: [M, T, H, W, C]."""
    places = np.asarray(predictions.places)[np.asarray(which, int)]
    drawn = {}
    for n in sorted(set(places[:, 0].tolist())):
      # On one device of this process, so that other processes need not join.
      data = [x.addressable_data(0) for x in self.feed(n)]
      drawn[n] = np.asarray(self.draw(self._keys[n], *data).frames)
    return np.stack([drawn[n][row] for n, row in places.tolist()])

  @functools.cached_property
  def _keys(self) -> list[np.ndarray]:
    """The data of every batch's key."""
    batches = range(math.ceil(self.sequences / self.batch_size))
    keys = [batch_key(SEED, self.stream, n) for n in batches]
    return [np.asarray(jax.random.key_data(key)) for key in keys]

  def _rows(self, n: int) -> np.ndarray:
    """The rows of batch n that are used: all but those beyond `sequences`.

    In a batch sorted by length they are spread evenly over it.
    """
    left = min(self.batch_size, self.sequences - n * self.batch_size)
    rows = np.arange(left)
    return rows * self.batch_size // left if self.is_sorted else rows


def make_evaluator(
  experiment: Experiment,
  mesh: Mesh,
  stream: int,
  feed: Feed,
  *,
  sequences: int,
  batch_size: int,
  in_one_call: bool = False,
) -> Evaluator:
  """Makes an evaluator; nothing is compiled before its first call."""
  sampler = experiment.sampler.held_out(batch_size)
  experiment = dataclasses.replace(experiment, sampler=sampler)
  draw = lambda key, *data: sampler(jax.random.wrap_key_data(key), *data)
  return Evaluator(
    parallel.EvalBatches(eval_step, mesh, experiment, in_one_call),
    draw=jax.jit(draw),
    stream=stream,
    batch_size=batch_size,
    sequences=sequences,
    feed=feed,
    is_sorted=sampler.packed,
  )
