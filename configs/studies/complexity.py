"""How much network does the sum need?

    python -m seqsum.study --study=configs/studies/complexity.py

From thousands to millions of parameters, 100,000 sequences each, three seeds.
Seconds count only on a machine that does nothing else.
"""

import ml_collections

from configs import sum_small as base
from seqsum.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 5
  config.sequences_per_epoch = 20_000
  config.checkpoint.keep = 1
  return config


def get_study() -> Study:
  narrow = {"model.conv.features": (4, 8)}
  wide = {"model.conv.features": (32, 64)}
  whole = {"model.conv.features": (8, 16), "model.conv.pool": (1, 1)}
  strided = {"model.conv.strides": (2, 2), "model.conv.pool": (1, 1)}
  return Study(
    question="How much network does the sum need?",
    base=get_config(),
    variants={
      "post": whole | {"model.activation": "tanh", "model.gru": (200, 100)},
      "pooled": {},
      "narrow": narrow,
      "narrow-gru16": narrow | {"model.gru": (16,)},
      "wide": wide,
      "strided": strided,
      "gru32": {"model.gru": (32,)},
      "gru256": {"model.gru": (256,)},
      "gru64,64": {"model.gru": (64, 64)},
      "lstm": {"model.core": "lstm"},
      "simple": {"model.core": "simple"},
    },
    figures=("cost", "learning", "final"),
  )
