"""How many digits can a GRU learn to add?

    python -m seqsum.study --study=configs/studies/carrying.py

Two numbers of 1, 2, 4, 8 and 15 digits, column by column; the digits of the sum
are the only label. The encoder and augmentation of fold.py with a GRU of 128,
with all columns from the start ("gru") and with a curriculum ("grow"), in which
the number of columns rises during the first half of training; and the same
encoder with the carry built in ("carry"). Every run sees 480,000 fresh frames
(with a curriculum about a fifth less), about 256 in each batch; three seeds. At
15 digits the GRU also has a lower learning rate, RMSProp in place of Adam, and
four times as large a batch.
"""

from typing import Any

import ml_collections

from configs import addition as base
from seqsum.studies import addition_tables, probes
from seqsum.studies.plan import Study

FRAMES = 480_000  # in training
DIGITS = (1, 2, 4, 8, 15)


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 5
  config.eval_sequences = 1_000
  config.sequence.num_sequences = 0  # fresh additions, also for the curriculum
  config.model.core = "gru"
  config.model.hidden_sizes = (128,)
  return config


def get_study() -> Study:
  kinds: dict[str, tuple[str, dict[str, Any]]] = {
    "gru": ("GRU", {}),
    "grow": ("GRU, curriculum", {"sequence.curriculum": 0.5}),
    "carry": ("carry built in", {"model.core": "carry"}),
  }
  optimizers: dict[str, tuple[str, dict[str, Any]]] = {
    "slow": ("GRU, rate 5e-4", {"optimizer.learning_rate": 5e-4}),
    "rmsprop": (
      "GRU, RMSProp",
      {"optimizer.name": "rmsprop", "optimizer.learning_rate": 1e-3},
    ),
    "batch": ("GRU, batch of 32", {"batch_size": 32}),
  }
  variants: dict[str, dict[str, Any]] = {}
  names = {}
  for digits in DIGITS:
    some = kinds | optimizers if digits == DIGITS[-1] else kinds
    for kind, (name, changes) in some.items():
      if (kind, digits) != ("grow", 1):  # the same as the GRU
        size = {
          "addition.digits": digits,
          "batch_size": 128 // digits,
          "sequences_per_epoch": FRAMES // (2 * digits * 5),
        }
        variants[f"{kind}-{digits}"] = size | changes
        names[f"{kind}-{digits}"] = f"{name}, {digits} digit{'s'[: digits - 1]}"
  return Study(
    question="How many digits can a GRU learn to add?",
    base=get_config(),
    variants=variants,
    display_names=names,
    figures=("columns", "learning", "final"),
    measure=probes.by_columns,
    conclude=addition_tables.columns,
  )
