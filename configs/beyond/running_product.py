r"""Running products of digits 1..9, trained on 2 digits, tested on up to 20.

    python -m seqsum.study --study=configs/beyond/running_product.py \
        --manual_dir=FOLDER

Best published: 8 of 10 seeds solved at length 20 (the neural multiplication
unit, Madsen & Johansen 2020, read off their plot; LSTM and NALU: none, at any
length). Their protocol: a target at every step, digits 1..9, training on two
digits, up to 1,000 epochs. Here a seed is solved if at least 0.99^20 = 81.8% of
the products of 20 digits are exact, as with a classifier that recognizes 99% of
the digits. Target: 10 of 10.

Budget: 160,000 sequences per run; ten seeds.
"""

import functools

import ml_collections

from configs import fold as base
from seqsum.studies import probes, question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.sequences_per_epoch = 40_000
  config.batch_size = 64
  config.sequence.min_len = 2
  config.sequence.max_len = 2
  config.sequence.digits = tuple(range(1, 10))
  config.task.name = "product"
  config.task.per_step = True
  return config


def get_study() -> Study:
  return Study(
    question="Do products of two digits generalize to products of twenty?",
    base=get_config(),
    variants={"fold": {}},
    seeds=10,
    figures=("lengths", "final"),
    measure=functools.partial(
      probes.by_length, lengths=(1, 2, 5, 10, 20), sequences=300
    ),
    conclude=functools.partial(
      question_tables.solved, length=20, accuracy=0.99**20
    ),
  )
