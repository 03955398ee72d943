r"""Sums of two digits, each training image in one of 27,500 pairs.

    python -m seqsum.study --study=configs/beyond/sum2.py \
        --manual_dir=FOLDER

Best published: 98.4% exact (DeepSoftLog, Maene & De Raedt 2023, with 30,000
pairs), and 98.1% in 47 seconds on an A100 (ABL, examples/mnist_add of ABLkit).
5,000 images are the validation split here, which leaves 27,500 pairs. Target:
98.5%, and the CPU seconds to 98.1%, from the validation lines of metrics.jsonl.

Budget: each pair 12 times, 660,000 frames per run; five seeds. The variant
`quick` measures time: each pair four times, with a validation after each pass.
`deep` has the encoder of deep.py.
"""

import functools

import ml_collections

from configs import deep
from configs import fold as base
from seqsum.studies import question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.sequences_per_epoch = 3 * 27_500
  config.batch_size = 64
  config.sequence.min_len = 2
  config.sequence.max_len = 2
  config.sequence.num_sequences = 27_500
  config.checkpoint.best = "loss"  # a fixed training set can overfit
  return config


def get_study() -> Study:
  return Study(
    question="How accurate are sums of two digits, and after how many seconds?",
    base=get_config(),
    variants={
      "fold": {},
      "deep": deep.ENCODER,
      "quick": {
        "sequences_per_epoch": 27_500,
        "eval_sequences": 5_000,
      },
    },
    seeds=5,
    conclude=question_tables.together(
      question_tables.seeds,
      functools.partial(question_tables.soonest, accuracy=0.981),
    ),
  )
