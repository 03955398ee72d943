r"""Multi-digit addition, labelled by the digits of the sum alone.

    python -m seqsum.main --config=configs/addition.py \
        --config.addition.digits=4

Two numbers of N digits, least significant column first. The core adds with a
latent carry (`seqsum/models/carry.py`); the encoder learns to recognize digits.
Each training image is in one addition, seen 30 times with new augmentation.
97% of the test sums of numbers of 4 digits are exact, after 191 seconds on two
cores of an Intel Xeon virtual machine (docs/addition.md).

With `--config.model.core=gru` the recurrence must learn to carry, see
configs/studies/carrying.py. With `--config.sequence.min_len=2` numbers have 1
to N digits; with `--config.sequence.curriculum=0.5`, which needs
`--config.sequence.num_sequences=0`, N rises from 1 during half of training.
"""

import ml_collections

from configs import fold as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.addition = ml_collections.ConfigDict()
  digits = ml_collections.FieldReference(4)
  config.addition.digits = digits  # of each number
  config.sequence.min_len = 2 * digits
  config.sequence.max_len = 2 * digits
  config.sequence.num_sequences = 55_000 // (2 * digits)
  config.sequences_per_epoch = 10 * (55_000 // (2 * digits))
  config.epochs = 3
  config.batch_size = 16
  config.eval_sequences = 40_000 // digits
  config.eval_batch_size = 800 // digits
  config.task.name = "addition"
  config.model.core = "carry"
  return config
