r"""The task of the post: sums of 1..4 digits, from fresh sequences.

    python -m seqsum.study --study=configs/beyond/post_task.py \
        --manual_dir=FOLDER

Best published: MSE 0.61 (the post, 2016: a GRU, 20 epochs of 60,000 sequences).
Target: MSE 0.12 and 99.0% exact. The prediction is the mode of the predicted
distribution; `mse_of_mean` is the MSE of its mean.

Budget: 1,200,000 sequences per run, as in the post; five seeds. A single run is
`--config=configs/fold.py` of seqsum.main. length.py compares other cores with
the same encoder.
"""

import ml_collections

from configs import deep
from configs import fold as base
from seqsum.studies import question_tables
from seqsum.studies.plan import Study


def get_config() -> ml_collections.ConfigDict:
  return base.get_config()


def get_study() -> Study:
  return Study(
    question="How accurate is built-in addition on the post's task?",
    base=get_config(),
    variants={"fold": {}, "deep": deep.ENCODER},
    seeds=5,
    conclude=question_tables.seeds,
  )
