"""Sequences of one's own: where to begin.

    python -m seqsum.main --config=configs/own.py \
        --config.data.name=npz:mine.npz --workdir=runs/mine

The small network, two layers of it strided, reads frames of some thirty pixels
a side as they are; give larger ones another stride. docs/your_own_sequences.md
has the whole way, and how long it takes.
"""

import ml_collections

from configs import sum_small as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 10
  config.sequences_per_epoch = 2_000  # drawn; one pass is what there are
  config.batch_size = 32
  config.log_every = 50
  config.data.kind = "files"
  config.eval_sequences = 1_000  # at most; each is read once
  config.sequence.shift = 0  # a frame that moves by itself is no motion
  config.task.target = "standard"  # whatever their unit
  config.checkpoint.every_steps = 500
  return config
