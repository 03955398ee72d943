r"""Five splits of SumMe or TVSum: the benchmark as published.

    python -m seqsum.study --study=configs/studies/summarize.py \
        --workdir=studies/tvsum \
        --set=data.name=eccv16:eccv16_dataset_tvsum_google_pool5.h5 \
        --set=benchmark.splits=tvsum_splits.json \
        --set=benchmark.annotations=ydata-tvsum50-anno.tsv

Trains `configs/summarize.py` on each split and judges it on the test videos.
The table has means and deviations over the splits, of the predictions, of
random scores and of people. docs/video_benchmarks.md describes the metrics, and
how the checkpoint is chosen.
"""

import ml_collections

from configs import summarize as base
from seqsum.studies.plan import Study
from seqsum.summarization import benchmark, judge

SPLITS = 5


def get_config() -> ml_collections.ConfigDict:
  return base.get_config()


def get_study() -> Study:
  return Study(
    question="How well does a model rank the frames of new videos?",
    base=get_config(),
    variants={f"split_{n}": {"benchmark.split": n} for n in range(SPLITS)},
    display_names={f"split_{n}": f"split {n}" for n in range(SPLITS)},
    seeds=1,
    figures=("learning",),
    measure=judge.measure,
    conclude=benchmark.compare_splits,
  )
