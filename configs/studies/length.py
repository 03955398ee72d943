"""What becomes of sequences longer than those trained on?

    python -m seqsum.study --study=configs/studies/length.py

The network of sum_small.py, trained on 1..4 frames (200,000 sequences) and on
1..10 (100,000), the loss at the last frame or at every one; tested at 1..10,
12, 15, 20, 50 and 100 frames, 1,000 sequences each, three seeds.
"""

import ml_collections

from configs.studies import every_step
from seqsum import probes
from seqsum.plan import Study


def get_config() -> ml_collections.ConfigDict:
  return every_step.get_config()


def get_study() -> Study:
  return Study(
    question="What becomes of sequences longer than those trained on?",
    base=get_config(),
    variants=every_step.get_study().variants,
    figures=("lengths", "learning", "final"),
    measure=probes.by_length,
  )
