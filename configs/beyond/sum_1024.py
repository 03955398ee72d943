"""Sums of 1,024 digits, from 5,000 sequences.

    python -m seqsum.study --study=configs/beyond/sum_1024.py \
        --manual_dir=FOLDER

As sum_long.py, which has the shorter ones. To beat: 2.73% exact (CTSketch). To
reach: more. A hundred frames of an epoch are of one image. They are moved by up
to a pixel alone, since networks learn still frames sooner.

Budget: each sequence five times, 26 million frames a run, which is an hour of
one core and more; three seeds.
"""

import ml_collections

from configs.beyond import sum_long
from seqsum import question_tables
from seqsum.plan import Study, override


def get_config() -> ml_collections.ConfigDict:
  return override(
    sum_long.get_config(),
    sum_long.of(1024, batch_size=4, epochs=5, **sum_long.STILL),
  )


def get_study() -> Study:
  return Study(
    question="Do sums of a thousand digits teach digits?",
    base=get_config(),
    variants={"1024": {}},
    seeds=3,
    conclude=question_tables.seeds,
  )
