r"""Other folds: which digits can be learned from their labels alone?

    python -m seqsum.study --study=configs/beyond/folds.py \
        --manual_dir=FOLDER

The digits are never labelled. A network may read them right as they are; right
under another one-to-one relabelling, if the labels cannot tell the difference;
or not, if the labels do not depend on them. What they can identify:

- `sum`, `max` and `mod10` of one digit are the digit: all of them, log2 10 =
  3.32 bits. Of two digits only, all digits shifted by five have the same sums
  modulo 10, and the digits are known up to this shift.
- `parity`: any two even digits, and any two odd ones, can be swapped in every
  sequence: 1 bit.
- `threes`, the number of threes: whether a digit is a 3, of entropy H(0.1) =
  0.47 bits.
- `sorted`, whether no digit is less than the one before: all. a <= b and b <= a
  holds for equal digits only, so a relabelling that keeps all labels is
  one-to-one and ascending. One digit alone is always sorted.
- `subtraction` of two numbers of four digits: all. The last digit of every
  column's difference is kept if any number is added to all digits modulo 10;
  the borrow from the next column, and whether x >= y, tell these ten codes.

A network's classes may tell more than its labels: nothing prevents it from
reading 0 and 8 as different even digits. So the table has the information of
the class, and that of its group: even or odd, three or not.

Sequences have 1..4 digits (`sorted`: 2..4, `subtraction`: 8). Budget: 240,000
sequences per run, `subtraction` 80,000; three seeds.
"""

import functools

import ml_collections

from configs import fold as base
from seqsum.studies import probes, question_tables
from seqsum.studies.plan import Study

# The digits 0..9 in groups that labels do not tell apart.
GROUPS = {
  "parity": (0, 1, 0, 1, 0, 1, 0, 1, 0, 1),
  "threes": (0, 0, 0, 1, 0, 0, 0, 0, 0, 0),
}


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 2
  config.sequences_per_epoch = 120_000
  return config


def get_study() -> Study:
  return Study(
    question="Which digits can be learned from other folds?",
    base=get_config(),
    variants={
      "sum": {},
      "max": {"task.name": "max"},
      "parity": {"task.name": "parity"},
      "mod10": {"task.name": "mod10"},
      "threes": {"task.name": "threes"},
      "sorted": {"task.name": "sorted", "sequence.min_len": 2},
      "subtraction": {
        "task.name": "subtraction",
        "model.core": "carry",
        "sequence.min_len": 8,
        "sequence.max_len": 8,
        "sequences_per_epoch": 40_000,
        "batch_size": 16,
      },
    },
    seeds=3,
    measure=probes.confusion,
    conclude=functools.partial(question_tables.identified, groups=GROUPS),
  )
