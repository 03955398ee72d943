"""The network in Keras 3, on the backend that $KERAS_BACKEND names.

Frames are folded into the batch: `TimeDistributed` computes the same and is
slower. Padding stands at the end, so a mask would change nothing but the time:
the state at each sequence's last frame is picked out instead, and both GRUs
take their fast path (`use_cudnn="auto"`, no mask).
"""

import keras
import numpy as np
from keras import layers, ops

from benchmarks import network
from benchmarks.network import Batch

VERSIONS = {"keras": keras.__version__}


def build_model() -> keras.Model:
  frames = keras.Input((network.TIME, network.SIDE, network.SIDE, 1))
  last = keras.Input((network.TIME,))  # one-hot: the last real frame
  x = ops.reshape(frames, (-1, network.SIDE, network.SIDE, 1))
  for i, (features, side) in enumerate(network.CONVOLUTIONS):
    x = layers.Conv2D(features, side, activation="tanh", name=f"conv_{i}")(x)
  x = ops.reshape(x, (-1, network.TIME, network.ENCODED))
  for i, width in enumerate(network.GRUS):
    x = layers.GRU(
      width, return_sequences=True, unroll=UNROLL, name=f"gru_{i}"
    )(x)
  x = ops.sum(x * last[..., None], axis=1)
  return keras.Model([frames, last], layers.Dense(1, name="head")(x))
