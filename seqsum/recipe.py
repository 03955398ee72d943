"""What is trained: a recipe, the state that it works on, and its randomness.

Batch n of a stream of random numbers is a function of (seed, stream, n), so
nothing of it need be saved.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from flax import struct

from seqsum.losses import FoldObjective, Objective
from seqsum.model import SequenceModel
from seqsum.sequences import Sampler
from seqsum.shapes import Key, Scalar

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


@dataclasses.dataclass(frozen=True)
class Recipe:
  """What is trained, on what, towards what.

  Attributes:
    model: Reads frames.
    objective: Loss and decoder; the model must give `objective.outputs`.
    optimizer: Optax transformation.
    sampler: Draws training batches.
    per_step: Whether the loss asks for every real step's value, not the last's.
    accumulate: In how many parts, one after the other, a device works through
      its rows of a training batch. The gradient is that of the whole batch; it
      takes the memory of a part.
    norms: Whether to measure activations and gradients, see `metrics.Norms`.
  """

  model: SequenceModel
  objective: Objective | FoldObjective
  optimizer: optax.GradientTransformation
  sampler: Sampler
  per_step: bool = False
  accumulate: int = 1
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
