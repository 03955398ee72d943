"""Running sums: the sum of the digits so far, predicted at every frame.

    python -m seqsum.main --config=configs/running_sum.py

`sum.py` with a target at every frame; it takes as long.
configs/studies/every_step.py measures what the targets at every frame change.
"""

import ml_collections

from configs import sum as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.task.per_step = True
  return config
