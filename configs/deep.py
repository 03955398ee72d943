"""`fold.py` with a deeper encoder, normalized in groups of channels.

    python -m seqsum.main --config=configs/deep.py

Five convolutions without pooling read a frame with 2.8 times the operations of
`fold.py`. Group normalization trains them: without it they are no better than
the encoder of `fold.py`. docs/beyond.md compares encoders by misread digits.
"""

import ml_collections

from configs import fold as base


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  set_encoder(config.model)
  return config


def set_encoder(model: ml_collections.ConfigDict) -> None:
  """Sets the encoder of a config, for other config files."""
  model.activation = "relu"
  model.conv.features = (16, 24, 32, 48, 64)
  model.conv.kernels = (4, 3, 3, 3, 3)
  model.conv.strides = (2, 1, 1, 1, 1)
  model.conv.pool = (1, 1, 1, 1, 1)
  model.conv.group_size = 8
  model.dense = ()
