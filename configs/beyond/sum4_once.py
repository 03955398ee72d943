"""Sums of four digits, each training image in one sequence: 13,750 of them.

    python -m seqsum.study --study=configs/beyond/sum4_once.py \
        --manual_dir=FOLDER

To beat: 97.0% exact (Scallop, Li et al. 2023; its script sum_4.py makes 15,000
sequences of MNIST's 60,000 training images and tests 2,500). 5,000 images are
kept for validation here, so the other 55,000 make 13,750 sequences. To reach:
97.5%.

Budget: each sequence 12 times, newly moved (theirs: 10 times), 660,000 frames a
run; five seeds. Theirs are tested after every epoch and the best is told; here
validation digits choose, and test digits are read once.
"""

import ml_collections

from configs import fold as base
from seqsum.studies import question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.sequences_per_epoch = 3 * 13_750
  config.sequence.min_len = 4
  config.sequence.num_sequences = 13_750
  config.checkpoint.best = "loss"  # the same sequences, again and again
  return config


def get_study() -> Study:
  return Study(
    question="How well are four digits added if each image is in one sum?",
    base=get_config(),
    variants={"fold": {}},
    seeds=5,
    conclude=question_tables.seeds,
  )
