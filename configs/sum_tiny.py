"""The sum in a minute, with no network: the bundled digits.

    python -m seqsum.main --config=configs/sum_tiny.py

A small strided encoder and one GRU, trained on 1,297 images; README.md says how
far it gets in how many seconds.
"""

import ml_collections

from configs import sum as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 10
  config.sequences_per_epoch = 8_000
  config.batch_size = 16  # the noise of small batches helps with few images
  config.log_every = 50
  config.eval_sequences = 1_000
  config.loss = "huber"  # a few misread digits do not outweigh all others
  config.data.name = "digits"
  config.model.activation = "relu"
  config.model.conv.features = (16, 32)
  config.model.conv.kernels = (5, 3)
  config.model.conv.strides = (2, 2)
  config.model.hidden_sizes = (64,)
  config.optimizer.learning_rate = 2e-3
  return config
