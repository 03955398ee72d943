"""What is trained: an experiment, its state, and its randomness.

Batch n of a stream of random numbers is a function of (seed, stream, n), so
nothing of it need be saved.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import struct

from seqsum.models.model import SequenceModel
from seqsum.sequences.batch import AnySampler
from seqsum.sequences.shapes import Key, Scalar
from seqsum.training.losses import FoldObjective, Objective

# Streams of random numbers. Batch n of a stream is a function of
# fold_in(fold_in(key, stream), n) and of nothing else.
INIT, TRAIN, VALIDATION, TEST, FIXED = range(5)


class TrainState(struct.PyTreeNode):
  """All that a run needs to go on, and all that a checkpoint holds.

  Attributes:
    step: [] int32, steps taken so far, which is also the next batch's number.
    params: The model's variables.
    opt_state: The optimizer's.
    ema_params: The moving average of `params`; (), if none is kept.
  """

  step: Scalar
  params: optax.Params
  opt_state: optax.OptState
  ema_params: optax.Params | tuple[()] = ()

  @property
  def evaluated(self) -> optax.Params:
    """What validation and test read with: the average, if there is one."""
    return self.params if self.ema_params == () else self.ema_params


@dataclasses.dataclass(frozen=True)
class Experiment:
  """What is trained, on what, towards what.

  Attributes:
    model: Reads frames.
    objective: Loss and decoder; the model must give `objective.outputs`.
    optimizer: Optax transformation.
    sampler: Draws training batches, or deals out those of one's own.
    per_step: Whether the loss asks for every real step's value, not the last's.
    accumulate: In how many parts, one after the other, a device works through
      its rows of a training batch. The gradient is that of the whole batch; it
      takes the memory of a part.
    log_norms: Whether to log activation RMS and gradient norm, see
      `metrics.Norms`.
    skip_nonfinite: Whether an update is dropped if the loss, the gradient or
      what the update makes of the state is inf or nan.
    ema_decay: Decay of the parameters' moving average; 0 for none.
    center_targets: Fraction of the batch-mean error that is subtracted from
      the targets of sums, 0..1; 0 for none.
  """

  model: SequenceModel
  objective: Objective | FoldObjective
  optimizer: optax.GradientTransformation
  sampler: AnySampler
  per_step: bool = False
  accumulate: int = 1
  log_norms: bool = False
  skip_nonfinite: bool = False
  ema_decay: float = 0.0
  center_targets: float = 0.0


def batch_key(seed: Scalar | int, stream: int, n: Scalar | int) -> Key:
  """The key of batch `n` of a stream."""
  return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), n)


def init_state(
  experiment: Experiment, seed: Scalar | int, image_shape: tuple[int, int, int]
) -> TrainState:
  """Parameters as drawn from `seed`, for frames of [H, W, C]."""
  frames = jax.ShapeDtypeStruct((1, 1, *image_shape), jnp.uint8)
  params = experiment.model.lazy_init(batch_key(seed, INIT, 0), frames)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=experiment.optimizer.init(params),
    # Arrays of its own: those of the state may be donated, each once.
    ema_params=jax.tree.map(jnp.copy, params) if experiment.ema_decay else (),
  )


def update_ema(
  average: optax.Params, params: optax.Params, decay: float, step: Scalar
) -> optax.Params:
  """The moving average with the parameters after step number `step`.

  It follows more closely at first, at decays of (1 + step) / (10 + step), so
  that the parameters that training began with are soon forgotten (as in
  TensorFlow's ExponentialMovingAverage; Polyak & Juditsky 1992).
  """
  step = step.astype(jnp.float32)
  decay = jnp.minimum(decay, (1 + step) / (10 + step))
  return optax.incremental_update(params, average, 1 - decay)
