"""Importance of the frames of SumMe's and TVSum's videos, from their features.

    python -m seqsum.main --config=configs/summarize.py \
        --config.data.name=eccv16:eccv16_dataset_tvsum_google_pool5.h5
    python -m seqsum.importance --workdir=runs/summarize

The file has 1,024 numbers for every fifteenth frame or so, and what people said
of it (seqsum/data/tvsum.py has the layout). A GRU reads them in order and
predicts at each how important the frame is; a fifth of the videos is held out,
half of it for the test. With 25 or 50 videos the figures depend on which these
are.
"""

import ml_collections

from configs import sum_small as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 20
  config.sequences_per_epoch = 200
  config.batch_size = 4
  config.log_every = 50
  config.data.kind = "files"
  config.eval_batch_size = 5
  config.sequence.shift = 0
  config.task.per_step = True
  config.model.conv.features = (64,)  # of a frame that is one pixel: a layer
  config.model.conv.kernels = (1,)
  config.model.conv.strides = (1,)
  config.model.conv.pool = (1,)
  config.model.hidden_sizes = (64,)
  config.optimizer.learning_rate = 1e-3
  config.checkpoint.every_steps = 250
  return config
