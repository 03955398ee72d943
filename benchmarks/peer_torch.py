"""The network in PyTorch, in five variants.

- eager: every frame of the padded batch.
- compiled: the same under `torch.compile`, optimizer included. Dynamo does not
  compile `nn.GRU`; PyTorch's own kernels run.
- shared: the blank frame is encoded once for all padding.
- packed: `PackedSequence` from the pixels on, without padding.
- packed-compiled: packed, with encoder and optimizer compiled.

Frames are folded into the batch of one convolution, in channels_last, where
flattening an image is a view. The faster of the per-parameter and the `foreach`
update is measured. The loss is fetched once per block.
"""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from benchmarks import network
from benchmarks.network import Batch

VERSIONS = {"torch": torch.__version__}


class Network(nn.Module):
  """Maps a batch that `feed` has prepared to predictions [B]."""

  def __init__(self):
    super().__init__()
    layers, channels = [], 1
    for features, side in network.CONVOLUTIONS:
      layers += [nn.Conv2d(channels, features, side), nn.Tanh()]
      channels = features
    self.convolutions = nn.Sequential(*layers)
    self.gru_0 = nn.GRU(network.ENCODED, network.GRUS[0], batch_first=True)
    self.gru_1 = nn.GRU(*network.GRUS, batch_first=True)
    self.head = nn.Linear(network.GRUS[-1], 1)
    self.to(memory_format=torch.channels_last)

  def encode(self, images):
    """[N, 1, H, W] -> [N, F]."""
    x = self.convolutions(images)
    return x.permute(0, 2, 3, 1).flatten(1)  # a view in channels_last

  def read(self, x, last):
    """[B, T, F] and [B], the index of the last real frame -> [B]."""
    x = self.gru_1(self.gru_0(x)[0])[0]
    return self.head(x[torch.arange(len(x), device=x.device), last])[:, 0]


class Padded(Network):
  def feed(self, batch: Batch):
    return _images(batch.frames), torch.from_numpy(batch.lengths - 1)

  def forward(self, images, last):
    x = self.encode(images)
    return self.read(x.unflatten(0, (-1, network.TIME)), last)


class Shared(Network):
  def feed(self, batch: Batch):
    real = np.arange(network.TIME) < batch.lengths[:, None]
    # Row 0 is the blank frame; the real frames follow.
    place = np.where(real, real.cumsum().reshape(real.shape), 0)
    blank = np.zeros_like(batch.frames[:1, 0])
    images = np.concatenate([blank, batch.frames[real]])
    return (
      _images(images),
      torch.from_numpy(place),
      torch.from_numpy(batch.lengths - 1),
    )

  def forward(self, images, place, last):
    x = self.encode(images)
    x = x.index_select(0, place.flatten()).unflatten(0, place.shape)
    return self.read(x, last)


class Packed(Network):
  def feed(self, batch: Batch):
    packed = pack_padded_sequence(
      torch.from_numpy(batch.frames),
      torch.from_numpy(batch.lengths),
      batch_first=True,
    )
    return (packed._replace(data=_images(packed.data.numpy())),)

  def forward(self, packed):
    x = packed._replace(data=self.encode(packed.data))
    _, state = self.gru_1(self.gru_0(x)[0])
    return self.head(state[0])[:, 0]


KINDS = {
  "eager": Padded,
  "compiled": Padded,
  "shared": Shared,
  "packed": Packed,
  "packed-compiled": Packed,
}


def _images(frames: np.ndarray) -> torch.Tensor:
  """[..., H, W, 1] -> [N, 1, H, W] in channels_last."""
  images = torch.from_numpy(frames.reshape(-1, *frames.shape[-3:]))
  images = images.permute(0, 3, 1, 2)
  return images.contiguous(memory_format=torch.channels_last)


class Peer:
  """See `worker.Peer`."""

  def __init__(self, batches: list[Batch], variant: str):
    torch.manual_seed(0)
    self.model = KINDS[variant]()
    self.optimizer = torch.optim.RMSprop(
      self.model.parameters(),
      lr=network.LEARNING_RATE,
      alpha=network.DECAY,
      # PyTorch adds epsilon to the root, the others add it under the root.
      eps=network.EPSILON**0.5,
    )
    self.batches = [
      (self.model.feed(batch), torch.from_numpy(batch.targets))
      for batch in batches
    ]
    self.forward, self.update = self.model, self.optimizer.step
    compiled = variant.endswith("compiled")
    if compiled:
      self.update = torch.compile(self.optimizer.step)
    if variant == "compiled":
      self.forward = torch.compile(self.model)
    if variant == "packed-compiled":
      self.model.encode = torch.compile(self.model.encode)
    self.train_ways = (
      {"compiled update": self._train}
      if compiled
      else {
        "update one by one": functools.partial(self._train, foreach=False),
        "update foreach": functools.partial(self._train, foreach=True),
      }
    )
    self.predict_ways = {"inference_mode": self._predict}

  @property
  def parameters(self) -> int:
    return sum(p.numel() for p in self.model.parameters())

  def _train(self, steps: int, foreach: bool | None = None) -> float:
    self.model.train()
    for group in self.optimizer.param_groups:
      group["foreach"] = foreach
    for n in range(steps):
      inputs, targets = self.batches[n % len(self.batches)]
      self.optimizer.zero_grad(set_to_none=True)
      loss = nn.functional.mse_loss(self.forward(*inputs), targets)
      loss.backward()
      self.update()
    return loss.item()

  def _predict(self, steps: int) -> None:
    self.model.eval()
    with torch.inference_mode():
      for n in range(steps):
        self.forward(*self.batches[n % len(self.batches)][0]).numpy()

  def read(self) -> list[float]:
    self.model.eval()
    with torch.inference_mode():
      return self.forward(*self.batches[0][0]).tolist()

  def load(self, path: str) -> None:
    p = {k: torch.from_numpy(v) for k, v in np.load(path).items()}
    state = {}
    for i in range(len(network.CONVOLUTIONS)):
      name = f"convolutions.{2 * i}"
      state[f"{name}.weight"] = p[f"conv_{i}/kernel"].permute(3, 2, 0, 1)
      state[f"{name}.bias"] = p[f"conv_{i}/bias"]
    for i in range(len(network.GRUS)):
      gates = [p[f"gru_{i}/{name}/kernel"].T for name in ("ir", "iz", "in")]
      state[f"gru_{i}.weight_ih_l0"] = torch.cat(gates)
      gates = [p[f"gru_{i}/{name}/kernel"].T for name in ("hr", "hz", "hn")]
      state[f"gru_{i}.weight_hh_l0"] = torch.cat(gates)
      biases = [p[f"gru_{i}/{name}/bias"] for name in ("ir", "iz", "in")]
      state[f"gru_{i}.bias_ih_l0"] = torch.cat(biases)
      bias = p[f"gru_{i}/hn/bias"]
      none = torch.zeros(2 * len(bias))
      state[f"gru_{i}.bias_hh_l0"] = torch.cat([none, bias])
    state["head.weight"] = p["head/kernel"].T
    state["head.bias"] = p["head/bias"]
    self.model.load_state_dict(state)

  def multiply(self, side: int) -> float:
    """Seconds of the fastest product of two square matrices."""
    x = torch.ones(side, side)
    out = torch.empty(side, side)
    return network.best_seconds(lambda: torch.mm(x, x, out=out))
