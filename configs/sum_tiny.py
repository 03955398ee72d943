"""The sum in under a minute, on the digits bundled with scikit-learn.

    python -m seqsum.main --config=configs/sum_tiny.py

A strided encoder and one GRU layer, trained on 1,297 images.

13 seconds of training on two cores of an AMD EPYC virtual machine, seed 0: test
MSE 1.14, 64.4% of the sums exact.
"""

import ml_collections

from configs import sum as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.epochs = 10
  config.sequences_per_epoch = 8_000
  config.batch_size = 16  # small batches regularize: there are few images
  config.log_every = 50
  config.eval_sequences = 1_000
  config.loss = "huber"  # limits the weight of a few misread digits
  config.data.name = "digits"
  config.model.activation = "relu"
  config.model.conv.features = (16, 32)
  config.model.conv.kernels = (5, 3)
  config.model.conv.strides = (2, 2)
  config.model.hidden_sizes = (64,)
  config.optimizer.learning_rate = 2e-3
  return config
