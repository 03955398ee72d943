"""The post's task by a core that knows how to add, and must learn to read.

python -m seqsum.main --config=configs/fold.py
"""

import ml_collections

from configs import sum as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.loss = "cross_entropy"
  config.batch_size = 64
  config.model.core = "fold"
  config.model.activation = "relu"
  config.model.conv.features = (32, 64, 64)
  config.model.conv.kernels = (4, 3, 3)
  config.model.conv.strides = (2, 1, 1)
  config.model.conv.pool = (1, 2, 1)
  config.model.dense = (128,)
  config.optimizer.name = "adam"
  config.optimizer.learning_rate = 2e-3
  return config
