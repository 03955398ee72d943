r"""Products of four digits 0..9, from fresh sequences.

    python -m seqsum.study --study=configs/beyond/product4.py \
        --manual_dir=FOLDER

Best published: none found. A third of the products are 0, and a 0 carries no
information about the other three digits. `by_target` in results.jsonl has each
of the 226 products; the figure `targets` shows the error against their size.

Budget: 150,000 sequences, 600,000 frames per run; five seeds.
"""

import functools

import ml_collections

from configs import fold as base
from seqsum.studies import probes, question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.sequences_per_epoch = 37_500
  config.sequence.min_len = 4
  config.task.name = "product"
  return config


def get_study() -> Study:
  return Study(
    question="How accurate are products of four digits?",
    base=get_config(),
    variants={"fold": {}},
    seeds=5,
    figures=("learning", "final", "targets"),
    measure=probes.by_target,
    conclude=question_tables.together(
      question_tables.seeds,
      functools.partial(
        question_tables.targets,
        borders=(0, 1, 10, 100, 1000, 2000, 6562),
        single=5,
      ),
    ),
  )
