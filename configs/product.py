"""The post's network learns the product of two digits, as one of 37 values.

    python -m seqsum.main --config=configs/product.py

Products are far apart and of very different sizes, so the loss is the cross
entropy over all that two digits can make. A first version, not yet tuned.
"""

import ml_collections

from configs import sum as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.loss = "cross_entropy"
  config.sequence.min_len = 2
  config.sequence.max_len = 2
  config.task.name = "product"
  return config
