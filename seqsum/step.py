"""One pure step of training, one of evaluation.

Nothing here reads a clock, a file or a config: plain values in, arrays out.
The same functions run under `jit` on one device, under `jit(shard_map)` on
many (`parallel.py`), and under `jax.pmap(..., axis_name=...)`.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import struct

from seqsum.losses import Objective
from seqsum.metrics import NEVER, Norms, Totals, final, is_exact
from seqsum.model import SequenceModel
from seqsum.sequences import Sampler
from seqsum.shapes import Images, Key, Labels, Lengths, Scalar, Values

# Streams of random numbers. Batch n of a stream is a function of
# fold_in(fold_in(key, stream), n) and of nothing else.
INIT, TRAIN, VALIDATION, TEST = range(4)


class TrainState(struct.PyTreeNode):
  """All that a run needs to go on, and all that a checkpoint holds.

  Attributes:
    step: [] int32, steps taken so far, which is also the next batch's number.
    params: The model's variables.
    opt_state: The optimizer's.
  """

  step: Scalar
  params: optax.Params
  opt_state: optax.OptState


class Readings(struct.PyTreeNode):
  """What a model says of a batch, without the batch's frames.

  Attributes:
    lengths: [B] int32.
    labels: [B, T] int32.
    targets: [B, T] float32.
    predictions: [B, T] float32 in digit units.
    losses: [B, T] float32, the loss of the value at each step.
  """

  lengths: Lengths
  labels: jax.Array
  targets: Values
  predictions: Values
  losses: Values


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What is trained, on what, towards what.

  Attributes:
    model: Reads frames.
    objective: Loss and decoder; the model must give `objective.outputs`.
    optimizer: Optax transformation.
    sampler: Draws training batches.
    per_step: Whether the loss asks for every real step's value, not the last's.
    norms: Whether to measure activations and gradients, see `metrics.Norms`.
  """

  model: SequenceModel
  objective: Objective
  optimizer: optax.GradientTransformation
  sampler: Sampler
  per_step: bool = False
  norms: bool = False


def batch_key(seed: Scalar | int, stream: int, n: Scalar | int) -> Key:
  """The key of batch `n` of a stream."""
  return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), n)


def init_state(
  recipe: Recipe, seed: Scalar | int, image_shape: tuple[int, int, int]
) -> TrainState:
  """Parameters as drawn from `seed`, for frames of [H, W, C]."""
  frames = jax.ShapeDtypeStruct((1, 1, *image_shape), jnp.uint8)
  params = recipe.model.lazy_init(batch_key(seed, INIT, 0), frames)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=recipe.optimizer.init(params),
  )


def _shard(axis_name: str | None) -> dict[str, int | jax.Array]:
  if axis_name is None:
    return {}
  return {
    "shard": jax.lax.axis_index(axis_name),
    "shards": jax.lax.axis_size(axis_name),
  }


def _sum_over(axis_name: str | None, tree):
  return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def train_step(
  state: TrainState,
  seed: Scalar | int,
  images: Images,
  labels: Labels,
  *,
  recipe: Recipe,
  axis_name: str | None = None,
) -> tuple[TrainState, Totals]:
  """Draws batch number `state.step` and takes one optimizer step on it.

  Args:
    state: The state to go on from.
    seed: [] int, the run's seed.
    images: [M, H, W, C] uint8.
    labels: [M] int32.
    recipe: What is trained; static.
    axis_name: The mapped axis over whose devices the batch is divided, or None
      on one device. Each device draws its own rows; gradients and totals are
      summed over the axis, so all devices return the same.

  Returns:
    The next state, and the batch's totals (of the state before the step).
  """
  shard = _shard(axis_name)
  rows = recipe.sampler.rows(shard.get("shards", 1))
  key = batch_key(seed, TRAIN, state.step)
  batch = recipe.sampler(key, images, labels, step=state.step, **shard)
  step = jnp.arange(recipe.sampler.max_len)[None, :]
  last = batch.lengths[:, None] - 1
  asked = step <= last if recipe.per_step else step == last  # [B, T]
  values = _sum_over(axis_name, asked.sum(dtype=jnp.float32))

  def share_of_loss(params):
    outputs, aside = recipe.model.read(params, batch.frames, rows, recipe.norms)
    losses = recipe.objective.loss(outputs, batch.targets)
    # This device's part of the mean over all of them. Divided here, not in the
    # gradients: that would be another pass over every parameter.
    return jnp.where(asked, losses, 0).sum() / values, (outputs, aside)

  grad = jax.value_and_grad(share_of_loss, has_aux=True)
  (loss, (outputs, squares)), grads = grad(state.params)

  prediction = final(recipe.objective.predict(outputs), batch.lengths)
  target = final(batch.targets, batch.lengths)
  error = prediction - target
  totals = Totals(
    sequences=jnp.float32(error.size),
    values=asked.sum(dtype=jnp.float32),
    loss=loss * values,
    squared=jnp.square(error).sum(),
    absolute=jnp.abs(error).sum(),
    exact=is_exact(prediction, target).sum(dtype=jnp.float32),
    nonfinite=jnp.int32(0),
  )
  grads, totals = _sum_over(axis_name, (grads, totals))
  totals = totals.replace(
    nonfinite=jnp.where(jnp.isfinite(totals.loss), NEVER, state.step + 1)
  )
  if recipe.norms:
    sums = jnp.where(step <= last, squares, 0).sum(), batch.lengths.sum()
    square, frames = _sum_over(axis_name, sums)
    norms = Norms.of_step(square / frames, optax.tree.norm(grads))
    totals = totals.replace(norms=norms)
  updates, opt_state = recipe.optimizer.update(
    grads, state.opt_state, state.params
  )
  state = TrainState(
    step=state.step + 1,
    params=optax.apply_updates(state.params, updates),
    opt_state=opt_state,
  )
  return state, totals


def train_steps(
  state: TrainState,
  totals: Totals,
  seed: Scalar | int,
  images: Images,
  labels: Labels,
  count: Scalar | None = None,
  **static,
) -> tuple[TrainState, Totals]:
  """Takes `count` training steps and adds their totals to those given.

  Without a count it is one step with no loop: on a CPU, XLA's convolutions are
  slow inside one. The count is not static, so any is the same program.
  """

  def step(state, totals):
    state, new = train_step(state, seed, images, labels, **static)
    return state, totals.merge(new)

  if count is None:
    return step(state, totals)
  return jax.lax.fori_loop(
    0, count, lambda _, carry: step(*carry), (state, totals)
  )


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
  shard = _shard(axis_name)
  key = jax.random.wrap_key_data(key_data)
  batch = recipe.sampler(key, images, labels, **shard)
  rows = recipe.sampler.rows(shard.get("shards", 1))
  outputs = recipe.model.apply(params, batch.frames, rows)
  readings = Readings(
    lengths=batch.lengths,
    labels=batch.labels,
    targets=batch.targets,
    predictions=recipe.objective.predict(outputs),
    losses=recipe.objective.loss(outputs, batch.targets),
  )
  if axis_name is None:
    return readings

  def gather(x):  # [B / D, ...] -> [B, ...]; device d has rows d, d + D, ...
    x = jax.lax.all_gather(x, axis_name, axis=1)
    return x.reshape(-1, *x.shape[2:])

  return jax.tree.map(gather, readings)


def is_finite(tree) -> Scalar:
  """[] bool, whether no array of a tree holds an inf or a nan."""
  leaves = [jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]
  return jnp.stack(leaves).all()
