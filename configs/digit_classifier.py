"""A classifier of single digits, for comparing the first layer's filters.

    python -m seqsum.main --config=configs/digit_classifier.py

Sequences of one frame, with a softmax over ten classes on the encoder of
`sum.py` and no recurrence.

1.5 minutes on two cores: 98.8% of the test digits. Used by
configs/studies/filters.py.
"""

import ml_collections

from configs import sum as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 5
  config.loss = "cross_entropy"
  config.sequence.max_len = 1
  config.model.hidden_sizes = ()
  config.optimizer.name = "adam"
  return config
