"""Which loss is best?

    python -m seqsum.study --study=configs/studies/loss.py

The network of sum_small.py, 120,000 training sequences, five losses, three
seeds.
"""

import ml_collections

from configs import sum_small as base
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 10
  config.sequences_per_epoch = 12_000
  config.checkpoint.keep = 1
  return config


def get_study() -> Study:
  names = {
    "mse": "squared error",
    "mae": "absolute error",
    "huber": "Huber",
    "log_cosh": "log-cosh",
    "cross_entropy": "cross entropy",
  }
  return Study(
    question="Which loss is best?",
    base=get_config(),
    variants={loss: {"loss": loss} for loss in names},
    display_names=names,
    figures=("learning", "final", "targets"),
  )
