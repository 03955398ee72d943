"""`fold.py` with a deeper encoder, normalized in groups of channels.

    python -m seqsum.main --config=configs/deep.py

Five convolutions without pooling, 2.8 times the operations of the encoder of
`fold.py`. docs/beyond.md compares encoders by misread digits. Other config
files take the encoder by `config.update_from_flattened_dict(deep.ENCODER)`.
"""

import ml_collections

from configs import fold as base

ENCODER = {
  "model.activation": "relu",
  "model.conv.features": (16, 24, 32, 48, 64),
  "model.conv.kernels": (4, 3, 3, 3, 3),
  "model.conv.strides": (2, 1, 1, 1, 1),
  "model.conv.pool": (1, 1, 1, 1, 1),
  "model.conv.group_size": 8,
  "model.dense": (),
}


def get_config() -> ml_collections.ConfigDict:
  config = base.get_config()
  config.update_from_flattened_dict(ENCODER)
  return config
