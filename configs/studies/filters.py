"""Does the sum teach the first layer what labels of digits teach it?

    python -m seqsum.study --study=configs/studies/filters.py

The post's network on sums, 120,000 sequences, and a softmax in place of its
recurrence on single digits (digit_classifier.py), 120,000 of those; three
seeds. One picture with both; how alike they are, in docs/studies.md.
"""

import ml_collections

from configs import sum as base
from seqsum.studies import probes, question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 4
  config.sequences_per_epoch = 30_000
  config.checkpoint.keep = 1
  return config


def get_study() -> Study:
  return Study(
    question="Does the sum teach the first layer what labels teach it?",
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
    labels={"sums": "taught by sums", "labels": "taught by labels"},
    figures=("filters", "learning", "final"),
    measure=probes.filters,
    conclude=question_tables.filters,
  )
