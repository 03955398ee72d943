"""One pure step of evaluation: a batch drawn, read and judged."""

import jax
import optax
from flax import struct

from seqsum.recipe import Recipe
from seqsum.shapes import Images, Labels, Lengths, Values
from seqsum.step import shard_of


class Readings(struct.PyTreeNode):
  """What a model says of a batch, without the batch's frames.

  Attributes:
    lengths: [B] int32.
    labels: [B, T] int32.
    targets: [B, T] float32.
    predictions: [B, T] float32 in digit units.
    losses: [B, T] float32, the loss of the value at each step.
    means: [B, T] float32, see `losses.Verdict`; or None.
    digits: [B, T] int32, the digit that a given fold took each frame for; None
      if the fold is not given.
  """

  lengths: Lengths
  labels: jax.Array
  targets: Values
  predictions: Values
  losses: Values
  means: Values | None = None
  digits: jax.Array | None = None


def eval_step(
  params: optax.Params,
  key_data: jax.Array,
  images: Images,
  labels: Labels,
  *,
  recipe: Recipe,
  axis_name: str | None = None,
) -> Readings:
  """Draws a batch and reads it.

  Args:
    params: The model's variables.
    key_data: `jax.random.key_data` of the batch's key.
    images: [M, H, W, C] uint8.
    labels: [M] int32.
    recipe: Its sampler draws the batch; static.
    axis_name: As for `train_step`.

  Returns:
    Readings of the whole batch, in the same order on every device, whatever
    their number.
  """
  shard = shard_of(axis_name)
  key = jax.random.wrap_key_data(key_data)
  batch = recipe.sampler(key, images, labels, **shard)
  rows = recipe.sampler.rows(shard.get("shards", 1))
  given = recipe.model.given
  outputs, aside = recipe.model.read(
    params, batch.frames, rows, given is not None
  )
  verdict = recipe.objective.read(outputs, batch.targets, batch.lengths)
  readings = Readings(
    lengths=batch.lengths,
    labels=batch.labels,
    targets=batch.targets,
    predictions=verdict.predictions,
    losses=verdict.losses,
    means=verdict.means,
    digits=given and given.digits(aside["inputs"]),
  )
  if axis_name is None:
    return readings

  def gather(x):  # [B / D, ...] -> [B, ...]; device d has rows d, d + D, ...
    x = jax.lax.all_gather(x, axis_name, axis=1)
    return x.reshape(-1, *x.shape[2:])

  return jax.tree.map(gather, readings)
