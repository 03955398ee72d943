r"""Sums of four digits from 5,000 sequences.

    python -m seqsum.study --study=configs/beyond/sum4_few.py \
        --manual_dir=FOLDER

Best published: 94.13% exact (DeepSoftLog), 94.10% (ISED), 92.17% (CTSketch),
all with 5,000 training sequences (CTSketch, Solko-Breslin et al. 2025, whose
mnist-sum has 5,000 / 1,000 / 1,000; the page debugml.github.io of 2025-11-04
has the table). Target: 95.5%.

Budget: each sequence 40 times (theirs: up to 100), 800,000 frames per run; five
seeds. 20,000 of the 55,000 training images are used, each once.
"""

import ml_collections

from configs import deep
from configs.beyond import sum4_once
from seqsum.studies import question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = sum4_once.get_config()
  config.sequences_per_epoch = 10 * 5_000
  config.sequence.num_sequences = 5_000
  return config


def get_study() -> Study:
  return Study(
    question="How accurate are sums of four digits after 5,000 sequences?",
    base=get_config(),
    variants={"fold": {}, "deep": deep.ENCODER},
    seeds=5,
    conclude=question_tables.seeds,
  )
