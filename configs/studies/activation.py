"""When does relu drive the loss to infinity?

    python -m seqsum.study --study=configs/studies/activation.py

The post's network, its first 150 steps of 32 sequences. Which activation: tanh,
relu in the convolutions, relu in the recurrence's candidate too; pixels in 0..1
and in 0..255; the GRU of today and of Keras 1; two learning rates; the
gradients as they are and, where there is a relu, clipped to norm 1. Three seeds.
"""

import itertools

import ml_collections

from configs import sum as base
from seqsum import question_tables
from seqsum.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 1
  config.sequences_per_epoch = 4_800
  config.eval_sequences = 1_000
  config.log_every = 10
  config.norms = True
  config.sequence.shift = 0
  config.optimizer.schedule = "constant"
  config.checkpoint.every_steps = 200
  config.checkpoint.keep = 1
  return config


def get_study() -> Study:
  activations = {
    "tanh": {"model.activation": "tanh"},
    "relu": {"model.activation": "relu"},
    "relu+cell": {
      "model.activation": "relu",
      "model.cell_activation": "relu",
    },
  }
  variants = {}
  for activation, ink, core, rate, clip in itertools.product(
    activations, (1.0, 255.0), ("gru", "gru_keras1"), (1e-3, 1e-2), (0.0, 1.0)
  ):
    if activation == "tanh" and clip:
      continue
    name = f"{activation}-{ink:g}-{core}-{rate:g}{'-clipped' if clip else ''}"
    variants[name] = activations[activation] | {
      "model.input_max": ink,
      "model.core": core,
      "optimizer.learning_rate": rate,
      "optimizer.clip_norm": clip,
    }
  return Study(
    question="When does relu drive the loss to infinity?",
    base=get_config(),
    variants=variants,
    figures=("final", "norms"),
    conclude=question_tables.divergence,
  )
