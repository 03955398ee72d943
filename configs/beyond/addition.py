r"""Multi-digit addition: two numbers of 1, 2, 4, 15, 100, 200 and 500 digits.

    python -m seqsum.study --study=configs/beyond/addition.py \
        --manual_dir=FOLDER

Best published, exact: 98.4% for 1 digit (DeepSoftLog), 96.7% for 2 (CTSketch),
94.0, 80.8, 37.8, 23.2 and 6.0% for 4, 15, 100, 200 and 500 (DeepProofLog, arXiv
2511.08581). Targets: 99.3, 98.6, 97, 89, 50, 25 and 3%.

Protocol: each training image in one addition, the digits of the sum are the
only label. Published results use MNIST's 60,000 training images; 5,000 of them
are the validation split here, which chooses nothing: the last parameters are
tested. The test images are dealt 200 times, each image in one addition.

Budget: 30 passes over the training images; `deep`, the encoder of deep.py, 60
from 100 digits on. Five seeds.
"""

import ml_collections

from configs import addition as base
from configs import deep
from seqsum.studies import addition_tables, probes
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  return base.get_config()


def of(digits: int, batch_size: int, passes: int = 30) -> dict:
  """Overrides for numbers of some digits."""
  return {
    "epochs": passes // 10,
    "addition.digits": digits,
    "batch_size": batch_size,
    "eval_sequences": max(100, 10_000 // (2 * digits)),
    "eval_batch_size": max(1, 400 // digits),
  }


def get_study() -> Study:
  return Study(
    question="How accurate are sums of numbers of many digits?",
    base=get_config(),
    variants={
      "1": of(1, 32),
      "2": of(2, 16),
      "4": of(4, 16),
      "15": of(15, 8),
      "100": of(100, 2),
      "200": of(200, 2),
      "500": of(500, 1),
      "4-deep": of(4, 16) | deep.ENCODER,
      "15-deep": of(15, 8) | deep.ENCODER,
      "100-deep": of(100, 2, passes=60) | deep.ENCODER,
      "200-deep": of(200, 2, passes=60) | deep.ENCODER,
      "500-deep": of(500, 1, passes=60) | deep.ENCODER,
    },
    seeds=5,
    measure=probes.reshuffled,
    conclude=addition_tables.additions,
  )
