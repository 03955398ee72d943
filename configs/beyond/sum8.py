r"""Sums of 1..8 digits, from fresh sequences.

    python -m seqsum.study --study=configs/beyond/sum8.py \
        --manual_dir=FOLDER

Best published: RMSE 1.17 (the Keras example mnistCRNN) and 0.65 (the same with
a MobileNet); both in the README of github.com/jamesmf/mnistCRNN, whose
sequences are padded with blank frames. Target: RMSE 0.30, an MSE of 0.09.

Budget: 600,000 sequences of 4.5 digits per run; five seeds.
"""

import ml_collections

from configs import deep
from configs import fold as base
from seqsum.studies import question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.sequences_per_epoch = 150_000
  config.sequence.max_len = 8
  return config


def get_study() -> Study:
  return Study(
    question="How small is the error of sums of up to eight digits?",
    base=get_config(),
    variants={"fold": {}, "deep": deep.ENCODER},
    seeds=5,
    conclude=question_tables.seeds,
  )
