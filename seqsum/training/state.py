"""Training configuration, training state, and streams of random numbers.

Batch n of a stream is a function of (seed, stream, n), so a checkpoint holds no
state of a random number generator or iterator.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import struct

from seqsum.models.model import SequenceModel
from seqsum.sequences.any_sampler import AnySampler
from seqsum.sequences.shapes import Key, Scalar
from seqsum.training.losses import Objective

INIT, TRAIN, VALIDATION, TEST, FIXED = range(5)  # streams; FIXED: finite.py


class TrainState(struct.PyTreeNode):
  """The state of training. A checkpoint holds it and `metrics.Totals`.

  Attributes:
    step: [] int32, steps taken, which is also the number of the next batch.
    params: The model's variables.
    opt_state: The optimizer's state.
    ema_params: Exponential moving average of `params`; () without one.
  """

  step: Scalar
  params: optax.Params
  opt_state: optax.OptState
  ema_params: optax.Params | tuple[()] = ()

  @property
  def evaluated(self) -> optax.Params:
    """The parameters for validation and test: the average if there is one."""
    return self.params if self.ema_params == () else self.ema_params


@dataclasses.dataclass(frozen=True)
class Experiment:
  """Static training configuration, built by `experiment.build_experiment`.

  Attributes:
    model: The network.
    objective: Loss and decoder; the model's head has `objective.outputs`.
    optimizer: Optax transformation.
    sampler: Draws synthetic batches, or takes rows of batches from files.
    per_step: Whether the loss covers every real step, not only the last.
    accumulate: Micro-batches per device (gradient accumulation); the gradient
      is that of the whole batch, the memory that of a micro-batch.
    log_norms: Whether to log activation RMS and gradient norm.
    skip_nonfinite: Whether to skip updates with a nonfinite loss or gradient.
    ema_decay: Decay of the parameters' moving average; 0 for none.
    center_targets: Fraction 0..1 of the batch-mean error taken off targets.
  """

  model: SequenceModel
  objective: Objective
  optimizer: optax.GradientTransformation
  sampler: AnySampler
  per_step: bool = False
  accumulate: int = 1
  log_norms: bool = False
  skip_nonfinite: bool = False
  ema_decay: float = 0.0
  center_targets: float = 0.0


def batch_key(seed: Scalar | int, stream: int, n: Scalar | int) -> Key:
  """The key of batch `n` of a stream, `INIT`, `TRAIN`, ... or `FIXED`."""
  return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), n)


def init_state(
  experiment: Experiment, seed: Scalar | int, image_shape: tuple[int, int, int]
) -> TrainState:
  """Draws the initial parameters, for frames of [H, W, C]."""
  frames = jax.ShapeDtypeStruct((1, 1, *image_shape), jnp.uint8)
  params = experiment.model.lazy_init(batch_key(seed, INIT, 0), frames)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    params=params,
    opt_state=experiment.optimizer.init(params),
    # A copy, because a step donates every buffer of the state, each once.
    ema_params=jax.tree.map(jnp.copy, params) if experiment.ema_decay else (),
  )
