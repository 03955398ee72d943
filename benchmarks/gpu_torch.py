"""The training step in PyTorch on a GPU, for gpu.py.

- eager: every frame of the padded batch, one kernel after the other.
- graph: the whole step, with the drawing of its batch, as one CUDA graph.
- packed-graph: the same on `PackedSequence`, without padding.

The networks are those of peer_torch.py: channels_last, cuDNN's GRU. Without a
GPU, steps run eagerly on the CPU.
"""

import importlib.util
from collections.abc import Callable

import numpy as np

from benchmarks import network


def is_installed() -> bool:
  return importlib.util.find_spec("torch") is not None


def versions() -> dict[str, str]:
  if not is_installed():
    return {}
  import torch

  return {"torch": torch.__version__}


def block(
  kind: str, precision: str, batch: int, images: np.ndarray, labels: np.ndarray
) -> Callable[[int], float]:
  """A function that takes n steps and returns the last loss."""
  import torch
  from torch import nn
  from torch.nn.utils.rnn import PackedSequence

  from benchmarks import peer_torch

  device = "cuda" if torch.cuda.is_available() else "cpu"
  torch.manual_seed(0)
  packed = kind == "packed-graph"
  model = peer_torch.Packed() if packed else peer_torch.Padded()
  model.to(device)
  optimizer = torch.optim.RMSprop(
    model.parameters(),
    lr=network.LEARNING_RATE,
    alpha=network.DECAY,
    eps=network.EPSILON**0.5,  # see peer_torch.py
    foreach=True,
    capturable=device == "cuda",
  )
  pixels = torch.tensor(images, device=device).permute(0, 3, 1, 2)
  digits = torch.tensor(labels, device=device).float()
  # Equal shares of the lengths, longest first, as seqsum draws them.
  lengths = network.TIME - np.arange(batch) * network.TIME // batch
  real = np.arange(network.TIME) < lengths[:, None]  # [B, T]
  rows = torch.tensor(real.sum(axis=0))  # frames of each step, on the host
  owner = torch.tensor(np.nonzero(real.T)[1], device=device)  # packed -> [N]
  last = torch.tensor(lengths - 1, device=device)
  mask = torch.tensor(real, device=device)

  def draw():
    count = len(owner) if packed else batch * network.TIME
    index = torch.randint(len(pixels), (count,), device=device)
    frames = pixels[index].float() / 255
    if packed:
      targets = torch.zeros(batch, device=device)
      targets = targets.index_add(0, owner, digits[index])
    else:
      frames = frames * mask.flatten()[:, None, None, None]
      targets = (digits[index].unflatten(0, mask.shape) * mask).sum(1)
    frames = frames.contiguous(memory_format=torch.channels_last)
    inputs = (PackedSequence(frames, rows),) if packed else (frames, last)
    return inputs, targets

  def step():
    optimizer.zero_grad(set_to_none=True)
    inputs, targets = draw()
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
      outputs = model(*inputs)
    loss = nn.functional.mse_loss(outputs.float(), targets)
    loss.backward()
    optimizer.step()
    return loss

  def allow_tf32():
    torch.backends.cuda.matmul.allow_tf32 = precision != "fp32"
    torch.backends.cudnn.allow_tf32 = precision != "fp32"

  allow_tf32()
  if device == "cpu" or kind == "eager":

    def run(steps: int) -> float:
      allow_tf32()  # of the process; another peer may have changed it
      for _ in range(steps):
        loss = step()
      return loss.item()

    return run

  stream = torch.cuda.Stream()
  stream.wait_stream(torch.cuda.current_stream())
  with torch.cuda.stream(stream):  # allocate before the capture
    for _ in range(3):
      step()
  torch.cuda.current_stream().wait_stream(stream)
  graph = torch.cuda.CUDAGraph()
  optimizer.zero_grad(set_to_none=True)
  with torch.cuda.graph(graph):
    loss = step()

  def replay(steps: int) -> float:
    for _ in range(steps):
      graph.replay()
    return loss.item()

  replay.step = step  # holds the tensors whose memory the graph uses
  return replay
