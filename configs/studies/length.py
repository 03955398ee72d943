"""What becomes of sequences longer than those trained on?

    python -m seqsum.study --study=configs/studies/length.py

The runs of every_step.py (1..4 frames and 1..10, the loss at the last frame or
at every one; three seeds), tested at 1..10, 12, 15, 20, 50 and 100 frames,
1,000 sequences each. Where that study has been made, a copy of its `runs/` in
this one's folder saves training them again.
"""

import ml_collections

from configs.studies import every_step
from seqsum import probes, question_tables
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
    conclude=question_tables.lengths,
  )
