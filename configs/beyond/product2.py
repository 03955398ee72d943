r"""Products of two digits 0..9, from 10,000 sequences.

    python -m seqsum.study --study=configs/beyond/product2.py \
        --manual_dir=FOLDER

Best published: 96.62% exact (REINFORCE), 96.32% (IndeCateR), 96.25% (A-NeSI),
in the table mult_2 of ISED (Solko-Breslin et al. 2024; page debugml.github.io
of 2024-06-11; mostly 5,000 to 10,000 sequences). Target: 98%, from 10,000
sequences with new augmentation each time.

Budget: each sequence 32 times, 640,000 frames per run; five seeds.
"""

import ml_collections

from configs import fold as base
from seqsum.studies import question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.sequences_per_epoch = 80_000
  config.batch_size = 64
  config.sequence.min_len = 2
  config.sequence.max_len = 2
  config.sequence.num_sequences = 10_000
  config.checkpoint.best = "loss"  # a fixed training set can overfit
  config.task.name = "product"
  return config


def get_study() -> Study:
  return Study(
    question="How accurate are products of two digits?",
    base=get_config(),
    variants={"fold": {}},
    seeds=5,
    conclude=question_tables.seeds,
  )
