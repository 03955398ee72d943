r"""Sums of 1,024 digits, from 5,000 sequences.

    python -m seqsum.study --study=configs/beyond/sum_1024.py \
        --manual_dir=FOLDER

sum_long.py has shorter sums and the details of training; this study uses its
settings for 256 digits. Best published: 2.73% exact (CTSketch). Target: more
than that. Each image appears in about a hundred frames per epoch.

Budget: each sequence eight times, 41 million frames per run, two hours on one
core; three seeds.
"""

import ml_collections

from configs.beyond import sum_long
from seqsum.studies import question_tables
from seqsum.studies.plan import Study, override


def get_config() -> ml_collections.ConfigDict:
  return override(sum_long.get_config(), sum_long.of(1024, **sum_long.LONGEST))


def get_study() -> Study:
  return Study(
    question="Can digits be learned from sums of a thousand digits?",
    base=get_config(),
    variants={"1024": {}},
    seeds=3,
    conclude=question_tables.seeds,
  )
