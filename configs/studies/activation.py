"""When does relu drive the loss to infinity?

    python -m seqsum.study --study=configs/studies/activation.py

The post's network, 300 steps of 32 sequences: a run that diverges does so in
its first hundred. The convolutions' activation, pixels in 0..1 and in 0..255,
the GRU of Keras 1 and of today, two learning rates, with and without clipping,
and relu within the GRU; three seeds.
"""

import itertools

import ml_collections

from configs import sum as base
from seqsum import question_tables
from seqsum.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 2
  config.sequences_per_epoch = 4_800
  config.eval_sequences = 2_000
  config.log_every = 10
  config.norms = True
  config.sequence.shift = 0
  config.optimizer.schedule = "constant"
  config.checkpoint.every_steps = 200
  config.checkpoint.keep = 1
  return config


def get_study() -> Study:
  variants = {}
  for activation, ink, core, rate in itertools.product(
    ("tanh", "relu"), (1.0, 255.0), ("gru", "gru_keras1"), (1e-3, 1e-2)
  ):
    variants[f"{activation}-{ink:g}-{core}-{rate:g}"] = {
      "model.activation": activation,
      "model.input_max": ink,
      "model.core": core,
      "optimizer.learning_rate": rate,
    }
  inside = {"model.activation": "relu", "model.cell_activation": "relu"}
  for ink, core, clip in itertools.product(
    (1.0, 255.0), ("gru", "gru_keras1"), (0.0, 1.0)
  ):
    variants[f"relu+cell-{ink:g}-{core}{'-clipped' if clip else ''}"] = {
      **inside,
      "model.input_max": ink,
      "model.core": core,
      "optimizer.clip_norm": clip,
    }
  return Study(
    question="When does relu drive the loss to infinity?",
    base=get_config(),
    variants=variants,
    figures=("final", "norms"),
    conclude=question_tables.divergence,
  )
