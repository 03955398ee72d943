"""Optional parts of a training step.

Centered targets, gradient accumulation, moving averages and skipped updates.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from seqsum.sequences.batch import SequenceBatch
from seqsum.sequences.shapes import Outputs, Scalar, Values
from seqsum.training.metrics import Totals, final
from seqsum.training.parallel import sum_over_devices
from seqsum.training.state import Experiment, TrainState


def center_targets(
  outputs: Outputs,
  batch: SequenceBatch,
  experiment: Experiment,
  axis_name: str | None,
) -> Values:
  """Subtracts part of the batch-mean error from the targets.

  The gradient of a long sum's loss is dominated by the mean error per digit,
  which all frames share and which hides the differences between frames; the
  longer the sums, the more (docs/beyond.md). The mean error per digit over the
  whole batch, times `experiment.center_targets` and the sequence's length, is
  subtracted from each target. Where the model predicts a distribution, the
  error is that of its mean, and the correction is rounded to a whole number.

  Returns:
    [B, T] float32; only the value at each sequence's last step is meaningful.
  """
  output = experiment.objective(outputs, batch.targets, batch.lengths)
  is_number = output.means is None
  predicted = output.predictions if output.means is None else output.means
  target = final(batch.targets, batch.lengths)
  error = target - final(predicted, batch.lengths)
  error, digits = sum_over_devices(
    axis_name, (error.sum(), batch.lengths.sum(dtype=jnp.float32))
  )
  per_digit = jax.lax.stop_gradient(error / digits)
  correction = experiment.center_targets * per_digit * batch.lengths
  if is_number:
    target = target - correction
  else:  # The corrected target must stay a value that the sum can take.
    digits = experiment.sampler.task.digits
    target = jnp.clip(
      target - jnp.round(correction),
      min(digits) * batch.lengths,
      max(digits) * batch.lengths,
    )
  return jnp.broadcast_to(target[:, None], batch.targets.shape)


def accumulate(
  function: Callable[[jax.Array | int, int], Any],
  micro_batches: int,
  device: jax.Array | int,
  devices: int,
) -> Any:
  """Sums `function(shard, shards)` over the micro-batches of one device.

  Args:
    function: `(shard, shards) -> tree of arrays`. A batch is divided into
      `devices * micro_batches` shards.
    micro_batches: Shards per device. They are computed one after the other, so
      the memory is that of one.
    device: [] int, the index of the device.
    devices: The number of devices.
  """
  if micro_batches == 1:
    return function(device, devices)
  micro_batch = lambda n: function(
    device * micro_batches + n, devices * micro_batches
  )
  zeros = jax.tree.map(
    lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(micro_batch, 0)
  )
  return jax.lax.fori_loop(
    0,
    micro_batches,
    lambda n, sums: jax.tree.map(jnp.add, sums, micro_batch(n)),
    zeros,
  )


def update_ema(
  ema_params: optax.Params, params: optax.Params, decay: float, step: Scalar
) -> optax.Params:
  """The moving average, updated with the parameters after step `step`.

  The decay starts at (1 + step) / (10 + step), so that the initial parameters
  are soon forgotten (as in TensorFlow's ExponentialMovingAverage; Polyak &
  Juditsky 1992).
  """
  step = step.astype(jnp.float32)
  rate = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
  return optax.incremental_update(params, ema_params, rate)


def is_finite(tree) -> Scalar:
  """[] bool, whether no array of a tree contains inf or nan."""
  leaves = [jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]
  return jnp.stack(leaves).all()


def skip_if_nonfinite(
  before: TrainState, after: TrainState, totals: Totals, grads: optax.Updates
) -> tuple[TrainState, Totals]:
  """Drops a step's update if its loss, gradient or new state is not finite.

  Returns:
    `after` and `totals`. Of a skipped step, `before` with `step` incremented,
    and totals that count one skip and no sequences.
  """
  is_good = is_finite((totals.loss, grads, after))
  skipped = before.replace(step=after.step), totals.of_skipped()
  return jax.tree.map(
    lambda new, old: jnp.where(is_good, new, old), (after, totals), skipped
  )
