"""What a run reads of its data: batches to train on, and held-out ones.

Images are on the devices once, and each batch is drawn from all of them there.
Sequences of one's own are read from their files, batch by batch.
"""

import math

import jax
import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from seqsum.data.digits import Digits, Split
from seqsum.data.recordings import Batches, SequenceDataset
from seqsum.runtime.devices import replicated
from seqsum.sequences.shapes import Feed
from seqsum.training.evaluate import Evaluator, make_evaluator
from seqsum.training.state import TEST, TRAIN, VALIDATION, Experiment


def make_feed(
  config: ConfigDict, data: Digits | SequenceDataset, mesh: Mesh, stream: int
) -> Feed:
  """Batch number -> what the batches of a split are drawn from.

  Args:
    config: A run's resolved config.
    data: Its data.
    mesh: Each gets all of a batch.
    stream: The split, `state.TRAIN`, `VALIDATION` or `TEST`.
  """
  split = _split(data, stream)
  everywhere = replicated(mesh)
  if isinstance(data, Digits):
    arrays = jax.device_put(split, everywhere)
    return lambda n: arrays
  if stream == TRAIN:
    batches = Batches(data, split, config.batch_size, config.seed)
  else:
    sequences, batch_size = _held_out(config, data, mesh, stream)
    count = math.ceil(sequences / batch_size)
    batches = Batches(data, split, batch_size, None, count)

  def feed(n: int) -> tuple[jax.Array, ...]:
    # Not `device_put`, which asks the other processes for the same.
    return tuple(
      jax.make_array_from_callback(x.shape, everywhere, x.__getitem__)
      for x in batches(n)
    )

  return feed


def make_reader(
  config: ConfigDict,
  experiment: Experiment,
  data: Digits | SequenceDataset,
  mesh: Mesh,
  stream: int,
) -> Evaluator:
  """Reads the fixed sequences of the validation or the test split."""
  sequences, batch_size = _held_out(config, data, mesh, stream)
  return make_evaluator(
    experiment,
    mesh,
    stream,
    make_feed(config, data, mesh, stream),
    sequences=sequences,
    batch_size=batch_size,
  )


def _split(data: Digits | SequenceDataset, stream: int) -> Split | np.ndarray:
  return {TRAIN: data.train, VALIDATION: data.validation, TEST: data.test}[
    stream
  ]


def _held_out(
  config: ConfigDict, data: Digits | SequenceDataset, mesh: Mesh, stream: int
) -> tuple[int, int]:
  """How many sequences of a split are read, and how many at a time."""
  sequences, most = config.eval_sequences, config.eval_batch_size
  if isinstance(data, Digits):
    return sequences, most
  # Each at most once, in parts as equal as the devices allow: what fills up
  # the last batch is read for nothing.
  sequences = min(sequences, len(_split(data, stream)))
  part = math.ceil(sequences / math.ceil(sequences / most))
  return sequences, math.ceil(part / mesh.size) * mesh.size
