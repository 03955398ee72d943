"""Does a target at every frame help?

    python -m seqsum.study --study=configs/studies/every_step.py

The network of sum_small.py on sequences of up to 4 and of up to 10 frames,
120,000 and 60,000 training sequences, three seeds.
"""

import ml_collections

from configs import sum_small as base
from seqsum.studies import question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 10
  config.sequences_per_epoch = 12_000
  config.checkpoint.keep = 1
  return config


def get_study() -> Study:
  longer = {"sequence.max_len": 10, "sequences_per_epoch": 6_000}
  every = {"task.per_step": True}
  return Study(
    question="Does a target at every frame help?",
    base=get_config(),
    variants={
      "last-1..4": {},
      "every-1..4": every,
      "last-1..10": longer,
      "every-1..10": longer | every,
    },
    display_names={
      "last-1..4": "1 to 4, the last value",
      "every-1..4": "1 to 4, every value",
      "last-1..10": "1 to 10, the last value",
      "every-1..10": "1 to 10, every value",
    },
    figures=("learning", "final", "steps"),
    conclude=question_tables.steps,
  )
