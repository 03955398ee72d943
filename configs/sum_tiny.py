"""The sum in a minute, with no network: scikit-learn's bundled digits.

python -m seqsum.main --config=configs/sum_tiny.py
"""

import ml_collections

from configs import sum as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 10
  config.sequences_per_epoch = 3_200
  config.batch_size = 32
  config.log_every = 20
  config.eval_sequences = 1_000
  config.data.name = "digits"
  config.model.conv.features = (16, 32)
  config.model.conv.kernels = (5, 3)
  config.model.conv.strides = (2, 2)
  config.model.gru = (64,)
  config.optimizer.learning_rate = 3e-3
  config.checkpoint.every_steps = 50
  return config
