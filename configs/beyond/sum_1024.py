"""Sums of 1,024 digits, from 5,000 sequences.

    python -m seqsum.study --study=configs/beyond/sum_1024.py \
        --manual_dir=FOLDER

As sum_long.py, which has the shorter ones, and in all else as its 256 digits.
To beat: 2.73% exact (CTSketch). To reach: more. Of each image there are a
hundred frames in an epoch.

Budget: each sequence eight times, 41 million frames a run, which is two hours
of one core; three seeds.
"""

import ml_collections

from configs.beyond import sum_long
from seqsum.studies import question_tables
from seqsum.studies.plan import Study, override


def get_config() -> ml_collections.ConfigDict:
  return override(sum_long.get_config(), sum_long.of(1024, **sum_long.LONGEST))


def get_study() -> Study:
  return Study(
    question="Do sums of a thousand digits teach digits?",
    base=get_config(),
    variants={"1024": {}},
    seeds=3,
    conclude=question_tables.seeds,
  )
