"""Builds the model that `config.model` describes."""

import functools
import math

import jax.numpy as jnp
from ml_collections import ConfigDict

from seqsum.models.cores import CORES, GRU
from seqsum.models.encoder import ACTIVATIONS, ConvEncoder
from seqsum.models.known_fold import KNOWN_FOLDS, KnownFold
from seqsum.models.model import SequenceModel
from seqsum.models.packed_model import PackedModel
from seqsum.runtime.errors import InputError, choose, require
from seqsum.sequences.recorded import SequenceSpec
from seqsum.sequences.tasks import Task
from seqsum.sequences.videos import DistinctSum

MAX_LAYERS = 64  # of one kind; each makes compiling longer
RECURRENCES = {"flax": SequenceModel, "fused": PackedModel}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def build_known_fold(
  config: ConfigDict, task: Task | SequenceSpec | DistinctSum
) -> KnownFold | None:
  """The known fold that `config.model.core` names; None for other cores."""
  core, spread = config.model.core, config.model.digit_prior_std
  make = choose("config.model.core", core, CORES | KNOWN_FOLDS)
  require(
    0 <= spread < math.inf,
    "config.model.digit_prior_std",
    spread,
    "must be a number of digits, such as 1.4, or 0 for none",
  )
  require(
    not spread or core == "fold",
    "config.model.digit_prior_std",
    spread,
    "is for config.model.core='fold' alone; set it to 0.0",
  )
  require(
    core != "fold" or isinstance(task, Task),
    "config.model.core",
    core,
    "folds digits, one a frame; take 'additive' or 'gru'",
  )
  return make(task, spread) if core in KNOWN_FOLDS else None


def build_model(
  config: ConfigDict, outputs: int, known_fold: KnownFold | None
) -> SequenceModel:
  """The model that `config.model` describes.

  Args:
    config: The experiment's config.
    outputs: Features of the head.
    known_fold: From `build_known_fold`.

  Raises:
    InputError: A value cannot be used.
  """
  conv = config.model.conv
  layers = {
    "conv.features": conv.features,
    "conv.kernels": conv.kernels,
    "conv.strides": conv.strides,
    "conv.pool": conv.pool,
    "hidden_sizes": config.model.hidden_sizes,
    "dense": config.model.dense,
  }
  for field, numbers in layers.items():
    if len(numbers) > MAX_LAYERS:
      raise InputError(
        f"config.model.{field} has {len(numbers):,} layers; each makes "
        f"compiling longer: must be at most {MAX_LAYERS}"
      )
    require(
      (len(numbers) > 0 or field in ("hidden_sizes", "dense"))
      and all(type(n) is int and n > 0 for n in numbers),
      f"config.model.{field}",
      tuple(numbers),
      "must be positive whole numbers, one a layer",
    )
  for field in ("conv.kernels", "conv.strides", "conv.pool"):
    require(
      len(layers[field]) == len(conv.features),
      f"config.model.{field}",
      tuple(layers[field]),
      f"must be {len(conv.features)} numbers, as config.model.conv.features",
    )
  input_max = config.model.input_max
  require(
    0 < input_max < math.inf,
    "config.model.input_max",
    input_max,
    "must be a positive number, such as 1.0 or 255.0",
  )
  make = choose("config.model.recurrence", config.model.recurrence, RECURRENCES)
  remat = config.model.remat
  require(remat >= 0, "config.model.remat", remat, "must be at least 0")
  require(
    make is PackedModel or not remat,
    "config.model.remat",
    remat,
    "needs config.model.recurrence='fused'",
  )
  return make(
    encoder=functools.partial(
      ConvEncoder,
      features=tuple(conv.features),
      kernels=tuple(conv.kernels),
      strides=tuple(conv.strides),
      pools=tuple(conv.pool),
      dense=tuple(config.model.dense),
      activation=choose(
        "config.model.activation", config.model.activation, ACTIVATIONS
      ),
    ),
    core=CORES.get(config.model.core, GRU),
    cell_activation=choose(
      "config.model.cell_activation", config.model.cell_activation, ACTIVATIONS
    ),
    widths=() if known_fold else tuple(config.model.hidden_sizes),
    outputs=outputs,
    known_fold=known_fold,
    input_max=input_max,
    dtype=choose("config.model.dtype", config.model.dtype, DTYPES),
    **({"remat": remat} if remat else {}),
  )
