r"""Your own sequences, from arrays, pictures or videos.

    python -m seqsum.main --config=configs/own.py \
        --config.data.name=npz:mine.npz --workdir=runs/mine

The network of `sum_small.py`, with two strided layers, for frames of about
30x30 pixels; use larger strides for larger frames. docs/your_own_sequences.md
is the guide, with examples and their training times.
"""

import ml_collections

from configs import sum_small as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 10
  config.sequences_per_epoch = 2_000  # in an epoch, whatever the file holds
  config.batch_size = 32
  config.log_every = 50
  config.data.kind = "files"
  config.eval_sequences = 1_000  # at most; each sequence once
  config.sequence.shift = 0  # shifts would differ from frame to frame
  config.task.target = "standard"  # z-score, for targets of any unit
  config.checkpoint.every_steps = 500
  return config
