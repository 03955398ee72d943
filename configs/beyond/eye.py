r"""Which encoder misreads the fewest digits, if sums are the only labels?

    python -m seqsum.study --study=configs/beyond/eye.py \
        --manual_dir=FOLDER

Sums of two digits, drawn anew at every step. A sum is exact if both digits are
read right, so encoders are compared by misread digits, of all validation images
and of all test images; the last parameters are tested. Best published: 99.83%
of the test digits (Byerly et al., arXiv 2001.09136), with a label for each.
Target: 99.75%, from sums alone. ten_layers.py has an encoder for a GPU.

Budget: 550,000 pairs per run, 20 passes over the training images; three seeds.
"""

import ml_collections

from configs import deep
from configs import fold as base
from seqsum.studies import probes, question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.sequence.min_len = 2
  config.sequence.max_len = 2
  config.batch_size = 64
  config.sequences_per_epoch = 137_500
  config.eval_sequences = 5_000
  return config


def get_study() -> Study:
  wide = {"model.conv.features": (24, 32, 48, 64, 96)}
  return Study(
    question="Which encoder misreads the fewest digits?",
    base=get_config(),
    variants={
      "fold": {},
      "fold-normalized": {"model.conv.group_size": 8},
      "deep": deep.ENCODER,
      "deep-not-normalized": deep.ENCODER | {"model.conv.group_size": 0},
      "deep-wide": deep.ENCODER | wide,
    },
    seeds=3,
    measure=probes.misread,
    conclude=question_tables.misread,
  )
