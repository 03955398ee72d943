"""Do networks generalize to longer sequences?

    python -m seqsum.study --study=configs/studies/length.py

The network of sum_small.py, trained on 300,000 sequences of 1..4 and of 1..10
frames; tested at 1..20, 50 and 100 frames, 1,000 sequences each, three seeds.
"""

import ml_collections

from configs import sum_small as base
from seqsum.studies import probes, question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 10
  config.sequences_per_epoch = 30_000
  config.checkpoint.keep = 1
  return config


def get_study() -> Study:
  return Study(
    question="Do networks generalize to longer sequences?",
    base=get_config(),
    variants={"1..4": {}, "1..10": {"sequence.max_len": 10}},
    display_names={
      "1..4": "trained on 1 to 4 frames",
      "1..10": "trained on 1 to 10 frames",
    },
    figures=("lengths", "learning", "final"),
    measure=probes.by_length,
    conclude=question_tables.lengths,
  )
