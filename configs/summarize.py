r"""Importance of the frames of SumMe and TVSum, from precomputed features.

    python -m seqsum.main --config=configs/summarize.py \
        --config.data.name=eccv16:eccv16_dataset_tvsum_google_pool5.h5
    python -m seqsum.importance --workdir=runs/summarize

The file has 1,024 features for about every fifteenth frame, and the ratings of
annotators (`seqsum/data/tvsum.py` describes the layout). A GRU reads the frames
in order and predicts the importance of each. A fifth of the videos is held out,
half of it for the test; `config.benchmark` has the published splits instead.
With 25 or 50 videos the results depend on the split: the study
configs/studies/summarize.py trains on five (docs/video_benchmarks.md).
"""

import ml_collections

from configs import sum_small as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 20
  config.sequences_per_epoch = 200
  config.batch_size = 4
  config.log_every = 50
  config.data.kind = "files"
  config.benchmark = ml_collections.ConfigDict()
  config.benchmark.splits = ""  # file of train and test keys: json, txt or yml;
  # "": at random
  config.benchmark.split = 0  # its number in the file
  config.benchmark.validation = 0.2  # fraction of the training videos on which
  # the checkpoint is chosen; 0: none, with config.checkpoint.best = "last"
  config.benchmark.annotations = ""  # ydata-tvsum50-anno.tsv: people's scores
  config.eval_batch_size = 5
  config.sequence.shift = 0
  config.task.per_step = True
  config.model.conv.features = (64,)  # frames are one pixel: a dense layer
  config.model.conv.kernels = (1,)
  config.model.conv.strides = (1,)
  config.model.conv.pool = (1,)
  config.model.hidden_sizes = (64,)
  config.optimizer.learning_rate = 1e-3
  config.checkpoint.every_steps = 250
  return config
