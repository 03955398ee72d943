"""Do sums teach the first layer the same filters as labels?

    python -m seqsum.study --study=configs/studies/filters.py

The original post's network on 120,000 sequences with the sum as the label, and
as a classifier of 120,000 single digits (digit_classifier.py); three seeds.
"""

import ml_collections

from configs import sum as base
from seqsum.studies import filter_tables, probes
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 4
  config.sequences_per_epoch = 30_000
  config.checkpoint.keep = 1
  return config


def get_study() -> Study:
  return Study(
    question="Do sums teach the first layer the same filters as labels?",
    base=get_config(),
    variants={
      "sums": {},
      "labels": {
        "loss": "cross_entropy",
        "sequence.max_len": 1,
        "model.hidden_sizes": (),
        "optimizer.name": "adam",
      },
    },
    display_names={"sums": "trained on sums", "labels": "trained on labels"},
    figures=("filters", "learning", "final"),
    measure=probes.filters,
    conclude=filter_tables.filters,
  )
