"""One pure step of evaluation: a batch drawn, read and judged."""

import jax
import optax
from flax import struct

from seqsum.sequences.shapes import Lengths, Values
from seqsum.training.state import Experiment
from seqsum.training.step import shard_of


class Readings(struct.PyTreeNode):
  """What a model says of a batch, without the batch's frames.

  Attributes:
    lengths: [B] int32.
    labels: [B, T] int32; None of sequences that somebody recorded.
    targets: [B, T] or [B, T, D] float32.
    predictions: As `targets`, in their units.
    losses: [B, T] float32, the loss of the value at each step.
    means: [B, T] float32, see `losses.ObjectiveOutput`; or None.
    digits: [B, T] int32, the digit that a given fold took each frame for; None
      if the fold is not given.
  """

  lengths: Lengths
  labels: jax.Array | None
  targets: Values
  predictions: Values
  losses: Values
  means: Values | None = None
  digits: jax.Array | None = None


def eval_step(
  params: optax.Params,
  key_data: jax.Array,
  *data: jax.Array,
  experiment: Experiment,
  axis_name: str | None = None,
) -> Readings:
  """Draws a batch and reads it.

  Args:
    params: The model's variables.
    key_data: `jax.random.key_data` of the batch's key.
    *data: What the experiment's sampler draws the batch from.
    experiment: Its sampler draws the batch; static.
    axis_name: As for `train_step`.

  Returns:
    Readings of the whole batch, in the same order on every device, whatever
    their number.
  """
  shard = shard_of(axis_name)
  key = jax.random.wrap_key_data(key_data)
  batch = experiment.sampler(key, *data, **shard)
  rows = experiment.sampler.rows(shard.get("shards", 1))
  known_fold = experiment.model.known_fold
  tells_digits = known_fold is not None and batch.labels is not None
  outputs, aside = experiment.model.read(
    params, batch.frames, rows, tells_digits
  )
  verdict = experiment.objective.read(outputs, batch.targets, batch.lengths)
  readings = Readings(
    lengths=batch.lengths,
    labels=batch.labels,
    targets=batch.targets,
    predictions=verdict.predictions,
    losses=verdict.losses,
    means=verdict.means,
    digits=known_fold.digits(aside["inputs"]) if tells_digits else None,
  )
  if axis_name is None:
    return readings

  def gather(x):  # [B / D, ...] -> [B, ...]; device d has rows d, d + D, ...
    x = jax.lax.all_gather(x, axis_name, axis=1)
    return x.reshape(-1, *x.shape[2:])

  return jax.tree.map(gather, readings)
