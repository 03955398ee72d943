"""The network in Keras 3, on the backend given by $KERAS_BACKEND.

Frames are folded into the batch; `TimeDistributed` took about three times as
long on PyTorch at batch 32. Padding is at the end, so instead of a mask the
state at each sequence's last frame is selected, which keeps the fast path of
both GRUs. Compiled as Keras chooses (`jit_compile="auto"`: XLA on JAX and
TensorFlow, eager on PyTorch). The faster of `fit` and `train_on_batch` is
measured, and the faster of `predict` and `predict_on_batch`.
"""

import importlib.metadata

import keras
import numpy as np
from keras import layers, ops

from benchmarks import network
from benchmarks.network import Batch

BACKEND = keras.backend.backend()
VERSIONS = {
  "keras": keras.__version__,
  BACKEND: importlib.metadata.version(
    {"tensorflow": "tensorflow-cpu"}.get(BACKEND, BACKEND)
  ),
}


def build_model() -> keras.Model:
  frames = keras.Input((network.TIME, network.SIDE, network.SIDE, 1))
  last = keras.Input((network.TIME,))  # one-hot: the last real frame
  x = ops.reshape(frames, (-1, network.SIDE, network.SIDE, 1))
  for i, (features, side) in enumerate(network.CONVOLUTIONS):
    x = layers.Conv2D(features, side, activation="tanh", name=f"conv_{i}")(x)
  x = ops.reshape(x, (-1, network.TIME, network.ENCODED))
  for i, width in enumerate(network.GRUS):
    x = layers.GRU(
      width,
      return_sequences=True,
      # Measured on a busy machine: unrolling was slower on JAX at batch 32 and
      # 128; on PyTorch and TensorFlow the difference was within the noise.
      unroll=BACKEND == "tensorflow",
      name=f"gru_{i}",
    )(x)
  x = ops.sum(x * last[..., None], axis=1)
  return keras.Model([frames, last], layers.Dense(1, name="head")(x))


class Peer:
  """See `worker.Peer`."""

  def __init__(self, batches: list[Batch], variant: str):
    del variant  # $KERAS_BACKEND selects the backend
    keras.utils.set_random_seed(0)
    self.model = build_model()
    self.model.compile(
      optimizer=keras.optimizers.RMSprop(
        network.LEARNING_RATE, rho=network.DECAY, epsilon=network.EPSILON
      ),
      loss="mse",
    )
    self.size = len(batches[0].lengths)
    self.batches = [
      [ops.convert_to_tensor(x) for x in _arrays(batch)] for batch in batches
    ]
    # All batches concatenated, for `fit` and `predict`.
    self.everything = [
      ops.concatenate(parts) for parts in zip(*self.batches, strict=True)
    ]
    self.train_ways = {
      "train_on_batch": self._train_on_batch,
      "fit": self._fit,
    }
    self.predict_ways = {
      "predict_on_batch": self._predict_on_batch,
      "predict": self._predict,
    }

  @property
  def parameters(self) -> int:
    return self.model.count_params()

  def _train_on_batch(self, steps: int) -> float:
    for n in range(steps):
      frames, last, targets = self.batches[n % len(self.batches)]
      loss = self.model.train_on_batch([frames, last], targets)
    return float(loss)

  def _fit(self, steps: int) -> float:
    *inputs, targets = self._first(steps)
    history = self.model.fit(
      inputs,
      targets,
      batch_size=self.size,
      epochs=max(1, steps // len(self.batches)),
      shuffle=False,
      verbose=0,
    )
    return history.history["loss"][-1]

  def _predict_on_batch(self, steps: int) -> None:
    for n in range(steps):
      self.model.predict_on_batch(self.batches[n % len(self.batches)][:2])

  def _predict(self, steps: int) -> None:
    for _ in range(max(1, steps // len(self.batches))):
      inputs = self._first(steps)[:2]
      self.model.predict(inputs, batch_size=self.size, verbose=0)

  def _first(self, steps: int):
    """The first `steps` batches, concatenated; at most all batches."""
    return [x[: steps * self.size] for x in self.everything]

  def read(self) -> list[float]:
    outputs = self.model.predict_on_batch(self.batches[0][:2])
    return np.asarray(outputs)[:, 0].tolist()

  def load(self, path: str) -> None:
    p = np.load(path)
    for i in range(len(network.CONVOLUTIONS)):
      self.model.get_layer(f"conv_{i}").set_weights(
        [p[f"conv_{i}/kernel"], p[f"conv_{i}/bias"]]
      )
    for i in range(len(network.GRUS)):
      join = lambda names, leaf, i=i: np.concatenate(
        [p[f"gru_{i}/{name}/{leaf}"] for name in names], axis=-1
      )
      bias = p[f"gru_{i}/hn/bias"]
      self.model.get_layer(f"gru_{i}").set_weights(
        [
          join(("iz", "ir", "in"), "kernel"),
          join(("hz", "hr", "hn"), "kernel"),
          np.stack(
            [
              join(("iz", "ir", "in"), "bias"),
              np.concatenate([np.zeros(2 * len(bias), np.float32), bias]),
            ]
          ),
        ]
      )
    self.model.get_layer("head").set_weights([p["head/kernel"], p["head/bias"]])


def _arrays(batch: Batch):
  last = np.eye(network.TIME, dtype=np.float32)[batch.lengths - 1]
  return batch.frames, last, batch.targets[:, None]
