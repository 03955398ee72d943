"""Subtract the batch-mean error from the targets (`task.center_targets`)."""

import jax
import jax.numpy as jnp

from seqsum.sequences.batch import SequenceBatch
from seqsum.sequences.shapes import Outputs, Values
from seqsum.training.metrics import final
from seqsum.training.parallel import sum_over_devices
from seqsum.training.state import Experiment


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
