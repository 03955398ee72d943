r"""Sums of 16, 64 and 256 digits, from 5,000 sequences each.

    python -m seqsum.study --study=configs/beyond/sum_long.py \
        --manual_dir=FOLDER

Best published: 83.84, 47.14 and 7.76% exact (CTSketch, Solko-Breslin et al.
2025: 5,000 sequences to train on, 1,000 to validate, 1,000 to test at every
length, the 55,000 images recycled, up to 100 epochs). Target: more at every
length.

Most of the batch-mean error is subtracted from the targets
(`config.task.center_targets`), and a frame's logits start from a Gaussian prior
over the digits (`config.model.digit_prior_std`); docs/beyond.md explains both.
At 256 digits frames are shifted by one pixel at most, because networks learn
undistorted frames sooner, and the last checkpoint is tested, because digits
still improve when the validation loss does not. sum_1024.py has longer sums.

Budget: each sequence ten times at 16 and 64 digits and eight times at 256, that
is 0.8, 3.2 and 10 million frames per run; three seeds. `16-deep` and `64-deep`
have the encoder of deep.py and elastic distortions; `16-deep` twice the budget.
"""

import ml_collections

from configs import deep
from configs import fold as base
from seqsum.studies import question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 4
  config.sequences_per_epoch = 5_000
  config.eval_sequences = 1_000
  config.eval_batch_size = 16
  config.sequence.num_sequences = 5_000
  config.sequence.elastic = 0.0
  config.task.center_targets = 0.9
  config.model.digit_prior_std = 1.4
  config.checkpoint.every_steps = 500
  config.checkpoint.best = "loss"  # a fixed training set can overfit
  config.log_every = 50
  return config


# Overrides for 256 digits and more.
LONGEST = {
  "epochs": 8,  # each one pass over the 5,000 sequences
  "batch_size": 4,
  "sequence.shift": 1,
  "sequence.rotate": 0.0,
  "sequence.scale": 0.0,
  "checkpoint.best": "last",
}


def of(length: int, **more) -> dict:
  """Overrides for sequences of one length, and further overrides."""
  return {"sequence.min_len": length, "sequence.max_len": length} | more


def get_study() -> Study:
  distorted = deep.ENCODER | {"sequence.elastic": 1.5}
  return Study(
    question="From how long sums can digits be learned?",
    base=get_config(),
    variants={
      "16": of(16, sequences_per_epoch=12_500, batch_size=16),
      "64": of(64, sequences_per_epoch=12_500, batch_size=8),
      "256": of(256, **LONGEST),
      "16-deep": of(16, sequences_per_epoch=25_000, batch_size=16) | distorted,
      "64-deep": of(64, sequences_per_epoch=12_500, batch_size=8) | distorted,
    },
    seeds=3,
    conclude=question_tables.seeds,
  )
