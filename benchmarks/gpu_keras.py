"""The training step in Keras 3 on a GPU, for gpu.py.

The network is that of peer_keras.py, on the backend of $KERAS_BACKEND, trained
by `fit` on four padded batches that are on the device.
"""

import contextlib
import importlib.util
import os
from collections.abc import Callable

import jax
import numpy as np

from benchmarks import network

BACKEND = os.environ.setdefault("KERAS_BACKEND", "jax")
BATCHES = 4


def is_installed() -> bool:
  return all(map(importlib.util.find_spec, ("keras", BACKEND)))


def versions() -> dict[str, str]:
  if not is_installed():
    return {}
  import keras

  return {"keras": keras.__version__}


@contextlib.contextmanager
def _precision(name: str):
  """The products' precision, of the backend that is used."""
  if BACKEND == "torch":
    import torch

    torch.backends.cuda.matmul.allow_tf32 = name != "fp32"
    torch.backends.cudnn.allow_tf32 = name != "fp32"
  with jax.default_matmul_precision("highest" if name == "fp32" else "default"):
    yield


def block(
  precision: str, batch: int, images: np.ndarray, labels: np.ndarray
) -> Callable[[int], float]:
  """A function that takes n steps and returns the last loss."""
  import keras

  from benchmarks import peer_keras

  policy = "mixed_bfloat16" if precision == "bf16" else "float32"
  keras.config.set_dtype_policy(policy)
  batches = network.draw(images, labels, batch, BATCHES)
  peer = peer_keras.Peer(batches, BACKEND)
  train = peer.train_ways["fit"]

  def run(steps: int) -> float:
    with _precision(precision):
      return train(steps)

  return run
