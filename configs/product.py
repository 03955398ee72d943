"""The product of two digits, as one of the 37 values that it can take.

    python -m seqsum.main --config=configs/product.py

Products are far apart and of very different sizes, so the loss is the cross
entropy over all that two digits can make; docs/studies.md sets that beside
other remedies. The recurrence is the post's, 200 and 100; the encoder is that
of `sum_small.py`, which reads a frame as well at a tenth of the cost.
"""

import ml_collections

from configs import sum_small as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.loss = "cross_entropy"
  config.model.gru = (200, 100)
  config.sequence.min_len = 2
  config.sequence.max_len = 2
  config.task.name = "product"
  return config
