r"""Importance of every video frame, the application that the post proposed.

    python -m seqsum.main --config=configs/importance.py
    python -m seqsum.importance --workdir=runs/importance

Digits move through synthetic videos, one after the other, among blank frames
and noise (`seqsum/sequences/videos.py`). The label of every frame is the sum of
the distinct digits so far. At every frame the network predicts this sum and the
importance of the frame. The second command compares predicted and attributed
importance with the ground truth and writes a summary video.

The carry of the core is the exact distribution of the set of digits so far, and
the loss is the negative log-likelihood of the sums. Importance has no labels:
it follows from the digits on the frames (`training/fold_loss.VideoObjective`).
A GRU that learns both from labels, as the post proposed:

    python -m seqsum.main --config=configs/importance.py \
        --config.model.core=gru --config.loss=mse --config.task.target=standard

14 minutes on one core of an Intel Xeon virtual machine, seed 0: sum and
importance of the last frame are exact for 92.6% of the test videos, and
Kendall's tau of the predicted with the true ranking is 0.98 (docs/use.md).
"""

import ml_collections

from configs import sum_small as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 15
  config.sequences_per_epoch = 6_000
  config.batch_size = 32
  config.eval_sequences = 2_000
  config.eval_batch_size = 50
  config.loss = "cross_entropy"
  config.checkpoint.best = "last"  # the learning rate is 0 by then
  config.sequence.min_len = 24  # frames of every video
  config.sequence.max_len = 24
  config.sequence.shift = 0
  config.data.kind = "videos"
  config.video = ml_collections.ConfigDict()
  config.video.windows = 4  # parts of a video; a digit can appear in each
  config.video.side = 40  # height and width of a frame; digits have 28
  config.video.importance = True  # False: predict the sum only
  config.task.per_step = True  # targets at every frame
  config.model.core = "fold"
  config.model.conv.features = (16, 32, 64, 128)
  config.model.conv.kernels = (4, 3, 3, 3)
  config.model.conv.strides = (2, 1, 1, 1)
  config.model.conv.pool = (2, 1, 1, 3)  # the last one over all places
  config.optimizer.ema_decay = 0.995
  return config
