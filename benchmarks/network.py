"""The benchmarked network, its FLOPs and its batches.

    frames [B, 4, 28, 28, 1] -> conv 8@4x4, tanh -> conv 16@3x3, tanh
    -> [B, 4, 8464] -> GRU 200 -> GRU 100, last state -> [B, 1]

trained on the mean squared error by RMSProp (1e-3, decay 0.9).
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

SIDE, TIME = 28, 4  # pixels; frames of the longest sequence
CONVOLUTIONS = ((8, 4), (16, 3))  # filters, kernel size
ENCODED = 16 * 23 * 23  # features per frame after the convolutions
GRUS = (200, 100)
LEARNING_RATE, DECAY, EPSILON = 1e-3, 0.9, 1e-7

# The GRU of Flax and seqsum has one bias for each gate and one more for the new
# state. Keras and PyTorch have two for each gate; two such pairs appear only as
# sums. The function is the same.
PARAMETERS = 5_291_005
SPARE_BIASES = 2 * sum(GRUS)


class Batch(NamedTuple):
  """Sequences, longest first, right-padded with blank frames.

  Attributes:
    frames: [B, T, H, W, 1] float32, 0..1.
    lengths: [B] int64, 1..T.
    targets: [B] float32, the sum of the digits.
  """

  frames: np.ndarray
  lengths: np.ndarray
  targets: np.ndarray


def draw(images, labels, batch_size: int, count: int) -> list[Batch]:
  """Samples batches with equal shares of all lengths, as seqsum does.

  Args:
    images: [M, H, W, 1] uint8.
    labels: [M] int.
    batch_size: B, a multiple of T.
    count: Number of batches.
  """
  if batch_size % TIME:
    raise ValueError(f"batch_size={batch_size} must be a multiple of {TIME}")
  generator = np.random.default_rng(0)
  lengths = TIME - np.arange(batch_size) * TIME // batch_size
  real = np.arange(TIME) < lengths[:, None]  # [B, T]
  batches = []
  for _ in range(count):
    index = generator.integers(len(images), size=real.shape)
    frames = np.where(real[..., None, None, None], images[index], 0)
    batches.append(
      Batch(
        frames.astype(np.float32) / 255,
        lengths,
        np.where(real, labels[index], 0).sum(axis=1).astype(np.float32),
      )
    )
  return batches


def flops(frames: float, *, train: bool) -> float:
  """FLOPs of the matrix products and convolutions for one sequence.

  Training adds two products of the same size for each product of the forward
  pass: the gradients of its weights and of its input. The gradient with respect
  to the images is not computed.

  Args:
    frames: Frames computed: 4 with padding, 2.5 on average without.
    train: Forward and backward pass, or forward pass only.
  """
  side, channels, first, total = SIDE, 1, None, 0
  for features, kernel in CONVOLUTIONS:
    side -= kernel - 1
    cost = 2 * side**2 * features * kernel**2 * channels
    first = cost if first is None else first
    total, channels = total + cost, features
  inputs = side**2 * channels
  for width in GRUS:
    total += 2 * 3 * width * (inputs + width)
    inputs = width
  head = 2 * inputs  # once per sequence
  if not train:
    return frames * total + head
  return frames * (3 * total - first) + 3 * head


def best_seconds(call: Callable[[], object], times: int = 4) -> float:
  """Seconds of the fastest of a few calls."""
  best = float("inf")
  for _ in range(times):
    begin = time.perf_counter()
    call()
    best = min(best, time.perf_counter() - begin)
  return best
