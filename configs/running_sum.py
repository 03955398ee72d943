"""A value at every step: the sum so far, asked for at each frame.

    python -m seqsum.main --config=configs/running_sum.py

The network is that of `sum.py`, and so is everything else.
"""

import ml_collections

from configs import sum as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.task.per_step = True
  return config
