"""Sums of 16, 64, 256 and 1,024 digits, from 5,000 sequences each.

    python -m seqsum.study --study=configs/beyond/sum_long.py \
        --manual_dir=FOLDER

To beat: 83.84, 47.14, 7.76 and 2.73% exact (CTSketch, Solko-Breslin et al.
2025: 5,000 sequences to train on, 1,000 to validate, 1,000 to test at every
length, the 55,000 images recycled, up to 100 epochs). To reach: more at every
length.

Budget: at most 1.3 million frames a run, with the encoder of sum_small.py, some
5 minutes on two cores, so 20 epochs of 16 digits, 4 of 64, and a share of one
epoch of the others: 4,000 sums of 256 digits and 1,000 of 1,024. For the whole
5,000 of both, `--sequences=5000`.
"""

import ml_collections

from configs import fold as base
from configs import sum_small as small
from seqsum import question_tables
from seqsum.plan import Study, fields, override


def get_config() -> ml_collections.ConfigDict:
  encoder = {
    field: value
    for field, value in fields(small.get_config(), "model").items()
    if field.startswith("model.conv.")
  }
  config = override(base.get_config(), encoder)
  config.eval_sequences = 1_000
  config.eval_batch_size = 16
  config.sequence.fixed = 5_000
  config.checkpoint.every_steps = 100
  config.log_every = 25
  return config


def _of(length: int, epochs: int, sequences: int, batch_size: int) -> dict:
  return {
    "sequence.min_len": length,
    "sequence.max_len": length,
    "epochs": epochs,
    "sequences_per_epoch": sequences,
    "batch_size": batch_size,
  }


def get_study() -> Study:
  return Study(
    question="How long may the sums be that the digits are learned from?",
    base=get_config(),
    variants={
      "16": _of(16, 20, 5_000, 16),
      "64": _of(64, 4, 5_000, 8),
      "256": _of(256, 4, 1_000, 4),
      "1024": _of(1024, 4, 250, 2),
    },
    seeds=3,
    conclude=question_tables.seeds,
  )
