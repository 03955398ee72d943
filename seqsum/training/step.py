"""One pure step of training.

Nothing here reads a clock, a file or a config: plain values in, arrays out.
The same function runs under `jit` on one device, under `jit(shard_map)` on
many (`parallel.py`), and under `jax.pmap(..., axis_name=...)`.
"""

import jax
import jax.numpy as jnp
import optax

from seqsum.sequences.batch import SequenceBatch
from seqsum.sequences.shapes import Outputs, Scalar, Values
from seqsum.training.metrics import (
  NEVER,
  Norms,
  Totals,
  final,
  is_exact,
  of_sequence,
)
from seqsum.training.state import (
  FIXED,
  TRAIN,
  Experiment,
  TrainState,
  batch_key,
  update_ema,
)


def shard_of(axis_name: str | None) -> dict[str, int | jax.Array]:
  """Which share of a batch is this device's, as `Sampler` takes it."""
  if axis_name is None:
    return {}
  return {
    "shard": jax.lax.axis_index(axis_name),
    "shards": jax.lax.axis_size(axis_name),
  }


def _sum_over(axis_name: str | None, tree):
  return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def _gradients(
  params: optax.Params,
  batch: SequenceBatch,
  values: Scalar | int,
  experiment: Experiment,
  shards: int,
  axis_name: str | None,
) -> tuple[optax.Params, Totals, Scalar]:
  """What one share of a batch gives to the step.

  Args:
    params: The model's variables.
    batch: The share.
    values: How many values the loss is a mean of, in the whole batch.
    experiment: What is trained.
    shards: How many shares there are.
    axis_name: As for `train_step`.

  Returns:
    The gradients of its share of the loss; its totals, without norms; [] the
    mean squares of what the encoder gave for its real frames, summed, if
    `experiment.log_norms`, else 0.
  """
  rows = experiment.sampler.rows(shards)
  step = jnp.arange(experiment.sampler.max_len)[None, :]
  last = batch.lengths[:, None] - 1
  asked = step <= last if experiment.per_step else step == last  # [B, T]

  def share_of_loss(params):
    outputs, aside = experiment.model.read(
      params, batch.frames, rows, experiment.log_norms
    )
    targets = batch.targets
    if experiment.center_targets:
      targets = _recentred(outputs, batch, experiment, axis_name)
    verdict = experiment.objective.read(outputs, targets, batch.lengths)
    loss = jnp.where(asked, verdict.losses, 0).sum() / values
    return loss, (verdict.predictions, aside)

  grad = jax.value_and_grad(share_of_loss, has_aux=True)
  (loss, (predictions, aside)), grads = grad(params)
  prediction = final(predictions, batch.lengths)
  target = final(batch.targets, batch.lengths)
  error = prediction - target
  totals = Totals(
    sequences=jnp.float32(len(error)),
    values=asked.sum(dtype=jnp.float32),
    loss=loss * values,
    squared=of_sequence(jnp.square(error)).sum(),
    absolute=of_sequence(jnp.abs(error)).sum(),
    exact=is_exact(prediction, target, experiment.sampler.task.tolerance).sum(
      dtype=jnp.float32
    ),
    nonfinite=jnp.int32(0),
    skipped=jnp.int32(0),
    in_a_row=jnp.int32(0),
  )
  if not experiment.log_norms:
    return grads, totals, jnp.float32(0)
  return grads, totals, jnp.where(step <= last, aside["squares"], 0).sum()


def _recentred(
  outputs: Outputs,
  batch: SequenceBatch,
  experiment: Experiment,
  axis_name: str | None,
) -> Values:
  """A batch's targets, freed of a share of the error that all of it has.

  The labels of long sums say, before all, by how much the digits are misjudged
  in the mean: a gradient that every frame has alike, and that drowns what tells
  frames apart, the more so the longer the sums are (docs/beyond.md). The error
  of the mean of what the model says, per digit and over the whole batch, times
  `experiment.center_targets`, is subtracted from the targets; in whole numbers,
  where the model predicts a distribution. The rest is learned as before.

  Returns:
    [B, T] float32; only the last value of each sequence has a meaning.
  """
  verdict = experiment.objective.read(outputs, batch.targets, batch.lengths)
  is_number = verdict.means is None
  said = verdict.predictions if is_number else verdict.means
  target = final(batch.targets, batch.lengths)
  error = target - final(said, batch.lengths)
  error, digits = _sum_over(
    axis_name, (error.sum(), batch.lengths.sum(dtype=jnp.float32))
  )
  common = jax.lax.stop_gradient(error / digits)
  shift = experiment.center_targets * common * batch.lengths
  if is_number:
    target = target - shift
  else:  # it must stay a value that the sum can have
    worth = experiment.sampler.task.digits
    target = jnp.clip(
      target - jnp.round(shift),
      min(worth) * batch.lengths,
      max(worth) * batch.lengths,
    )
  return jnp.broadcast_to(target[:, None], batch.targets.shape)


def train_step(
  state: TrainState,
  seed: Scalar | int,
  *data: jax.Array,
  experiment: Experiment,
  axis_name: str | None = None,
) -> tuple[TrainState, Totals]:
  """Draws batch number `state.step` and takes one optimizer step on it.

  Args:
    state: The state to go on from.
    seed: [] int, the run's seed.
    *data: What the experiment's sampler draws the batch from.
    experiment: What is trained; static.
    axis_name: The mapped axis over whose devices the batch is divided, or None
      on one device. Each device draws its own rows; gradients and totals are
      summed over the axis, so all devices return the same.

  Returns:
    The next state, and the batch's totals (of the state before the step). If
    the experiment skips updates that are not finite, a skipped step only
    increments `state.step`; its totals count one skip and no sequences.
  """
  key = batch_key(seed, TRAIN, state.step)
  lengths = experiment.sampler.lengths(key, state.step, *data)
  # Every part's loss is divided by what the whole batch asks for, so that
  # gradients only add up: dividing them is another pass over all parameters.
  values = lengths.sum() if experiment.per_step else len(lengths)
  device = shard_of(axis_name)
  parts = experiment.accumulate
  shards = parts * device.get("shards", 1)

  def part(n):
    """Gradients, totals and sizes of one part of this device's rows."""
    shard = device.get("shard", 0) * parts + n
    batch = experiment.sampler(
      key,
      *data,
      step=state.step,
      run_key=batch_key(seed, FIXED, 0),
      shard=shard,
      shards=shards,
    )
    return _gradients(
      state.params, batch, values, experiment, shards, axis_name
    )

  if parts == 1:
    grads, totals, sizes = part(0)
  else:
    zeros = jax.tree.map(
      lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(part, 0)
    )
    grads, totals, sizes = jax.lax.fori_loop(
      0, parts, lambda n, sums: jax.tree.map(jnp.add, sums, part(n)), zeros
    )
  grads, totals = _sum_over(axis_name, (grads, totals))
  totals = totals.replace(
    nonfinite=jnp.where(jnp.isfinite(totals.loss), NEVER, state.step + 1)
  )
  if experiment.log_norms:
    square = _sum_over(axis_name, sizes) / lengths.sum()
    norms = Norms.of_step(square, optax.tree.norm(grads))
    totals = totals.replace(norms=norms)
  updates, opt_state = experiment.optimizer.update(
    grads, state.opt_state, state.params
  )
  params = optax.apply_updates(state.params, updates)
  average = state.ema_params
  if experiment.ema_decay:
    average = update_ema(average, params, experiment.ema_decay, state.step + 1)
  after = TrainState(state.step + 1, params, opt_state, average)
  if not experiment.skip_nonfinite:
    return after, totals
  is_good = is_finite((totals.loss, grads, after))
  skipped = state.replace(step=after.step), totals.of_skipped()
  return jax.tree.map(
    lambda new, old: jnp.where(is_good, new, old), (after, totals), skipped
  )


def train_steps(
  state: TrainState,
  totals: Totals,
  count: Scalar | None,
  seed: Scalar | int,
  *data: jax.Array,
  **static,
) -> tuple[TrainState, Totals]:
  """Takes `count` training steps and adds their totals to those given.

  Without a count it is one step with no loop: on a CPU, XLA's convolutions are
  slow inside one. The count is not static, so any is the same program.
  """

  def step(state, totals):
    state, new = train_step(state, seed, *data, **static)
    return state, totals.merge(new)

  if count is None:
    return step(state, totals)
  return jax.lax.fori_loop(
    0, count, lambda _, carry: step(*carry), (state, totals)
  )


def is_finite(tree) -> Scalar:
  """[] bool, whether no array of a tree holds an inf or a nan."""
  leaves = [jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]
  return jnp.stack(leaves).all()
