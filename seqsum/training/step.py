"""One training step: a pure function of arrays and a static `Experiment`.

A step reads no clock, file or config. It draws its own batch from all training
images, which are arguments. Jitted, as `parallel.compile_step` does it:

    step = jax.jit(
      functools.partial(train_steps, experiment=experiment), donate_argnums=0
    )
    state, totals = step(state, totals, num_steps, seed, images, labels)

The same functions run under `jax.shard_map` and `jax.pmap`, given `axis_name`.
"""

import jax
import jax.numpy as jnp
import optax

from seqsum.sequences.batch import SequenceBatch
from seqsum.sequences.shapes import Scalar
from seqsum.training.metrics import NEVER, Totals
from seqsum.training.norms import Norms
from seqsum.training.parallel import shard_of_device, sum_over_devices
from seqsum.training.state import (
  FIXED,
  TRAIN,
  Experiment,
  TrainState,
  batch_key,
)
from seqsum.training.updates import (
  accumulate,
  center_targets,
  skip_if_nonfinite,
  update_ema,
)


def train_step(
  state: TrainState,
  seed: Scalar | int,
  *data: jax.Array,
  experiment: Experiment,
  axis_name: str | None = None,
) -> tuple[TrainState, Totals]:
  """Draws batch number `state.step` and takes one optimizer step on it.

  Args:
    state: The state before the step.
    seed: [] int, the run's seed.
    *data: Arguments of `experiment.sampler`: images [M, H, W, C] uint8 and
      labels [M] int32 of the training split; of sequences from files, one batch
      of frames, lengths and targets.
    experiment: Static training configuration.
    axis_name: The mapped axis over whose devices the batch is divided, or None
      on one device. Gradients and totals are summed over the axis, so all
      devices return the same values.

  Returns:
    The next state, and the batch's totals under the parameters before the step.
    `experiment.skip_nonfinite` changes both, see `updates.skip_if_nonfinite`.
  """
  key = batch_key(seed, TRAIN, state.step)
  # Each shard divides its loss by the number of values in the whole batch, so
  # that gradients need only be added. A shard has only its own rows, so the
  # lengths of all rows are drawn here; the sampler draws equal ones again.
  lengths = experiment.sampler.lengths(key, state.step, *data)
  loss_count = lengths.sum() if experiment.per_step else len(lengths)

  def gradients(shard, shards):
    batch = experiment.sampler(
      key,
      *data,
      step=state.step,
      run_key=batch_key(seed, FIXED, 0),
      shard=shard,
      shards=shards,
    )
    return shard_gradients(
      state.params, batch, loss_count, experiment, shards, axis_name
    )

  grads, totals, squares = accumulate(
    gradients, experiment.accumulate, *shard_of_device(axis_name)
  )
  grads, totals = sum_over_devices(axis_name, (grads, totals))
  totals = totals.replace(
    nonfinite=jnp.where(jnp.isfinite(totals.loss), NEVER, state.step + 1)
  )
  if experiment.log_norms:
    square = sum_over_devices(axis_name, squares) / lengths.sum()
    norms = Norms.of_step(square, optax.tree.norm(grads))
    totals = totals.replace(norms=norms)
  updates, opt_state = experiment.optimizer.update(
    grads, state.opt_state, state.params
  )
  params = optax.apply_updates(state.params, updates)
  ema_params = state.ema_params
  if experiment.ema_decay:
    ema_params = update_ema(
      ema_params, params, experiment.ema_decay, state.step + 1
    )
  after = TrainState(state.step + 1, params, opt_state, ema_params)
  if experiment.skip_nonfinite:
    return skip_if_nonfinite(state, after, totals, grads)
  return after, totals


def shard_gradients(
  params: optax.Params,
  batch: SequenceBatch,
  loss_count: Scalar | int,
  experiment: Experiment,
  shards: int,
  axis_name: str | None,
) -> tuple[optax.Params, Totals, Scalar]:
  """Computes gradients and metric sums of one shard of a batch.

  The loss is divided by `loss_count`, the number of its values in the whole
  batch. `shards` is devices times micro-batches per device.

  Returns:
    The gradients of the shard's part of the loss; its totals, without norms;
    [] the sum of the mean squares of its encoded real frames if
    `experiment.log_norms`, else 0.
  """
  rows = experiment.sampler.rows(shards)
  step = jnp.arange(experiment.sampler.max_len)[None, :]
  last = batch.lengths[:, None] - 1
  loss_mask = step <= last if experiment.per_step else step == last  # [B, T]

  def loss_fn(params):
    outputs, variables = experiment.model.apply(
      params, batch.frames, rows, batch.lengths, mutable=["intermediates"]
    )
    targets = batch.targets
    if experiment.center_targets:
      targets = center_targets(outputs, batch, experiment, axis_name)
    output = experiment.objective(outputs, targets, batch.lengths)
    loss = jnp.where(loss_mask, output.losses, 0).sum() / loss_count
    return loss, (output.predictions, variables["intermediates"])

  grad_fn = jax.value_and_grad(loss_fn, has_aux=True)
  (loss, (predictions, intermediates)), grads = grad_fn(params)
  totals = Totals.of_batch(
    predictions,
    batch.targets,
    batch.lengths,
    loss=loss * loss_count,
    loss_count=loss_mask.sum(dtype=jnp.float32),
    tolerance=experiment.sampler.task.tolerance,
  )
  if not experiment.log_norms:
    return grads, totals, jnp.float32(0)
  (squares,) = intermediates["mean_squares"]
  return grads, totals, jnp.where(step <= last, squares, 0).sum()


def train_steps(
  state: TrainState,
  totals: Totals,
  num_steps: Scalar | int | None,
  seed: Scalar | int,
  *data: jax.Array,
  experiment: Experiment,
  axis_name: str | None = None,
) -> tuple[TrainState, Totals]:
  """Takes `num_steps` training steps and adds their totals to `totals`.

  `num_steps` is not static: every number runs the same compiled program. None
  takes one step without a loop; on a CPU, XLA's convolutions are slow in loops.
  """

  def step(state, totals):
    state, new = train_step(
      state, seed, *data, experiment=experiment, axis_name=axis_name
    )
    return state, totals.merge(new)

  if num_steps is None:
    return step(state, totals)
  return jax.lax.fori_loop(
    0, num_steps, lambda _, carry: step(*carry), (state, totals)
  )
