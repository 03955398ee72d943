"""The post's task: sums of 1..4 digits, fresh sequences, the sum alone a label.

    python -m seqsum.study --study=configs/beyond/post_task.py \
        --manual_dir=FOLDER

To beat: mse 0.61 (the post, 2016: a GRU, 20 epochs of 60,000 sequences). To
reach: mse 0.12 and 99.0% exact. The distribution that the fold says has a mode,
which is its prediction, and a mean (mse_of_mean).

Budget: 1,200,000 sequences a run, as the post's; five seeds. One run of it is
`--config=configs/fold.py` in seqsum.main. Other cores behind the same encoder
are compared in length.py.
"""

import ml_collections

from configs import fold as base
from seqsum.studies import question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  return base.get_config()


def get_study() -> Study:
  return Study(
    question="How well does a core that knows how to add do the post's task?",
    base=get_config(),
    variants={"fold": {}},
    seeds=5,
    conclude=question_tables.seeds,
  )
