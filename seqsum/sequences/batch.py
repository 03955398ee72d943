"""A batch of sequences."""

from typing import TypeVar

import jax
from flax import struct

from seqsum.sequences.shapes import Frames, Lengths, Values

Tree = TypeVar("Tree")


class SequenceBatch(struct.PyTreeNode):
  """Sequences, right-padded with blank frames.

  Attributes:
    frames: [B, T, H, W, C].
    lengths: [B] int32, 1..T.
    labels: [B, T] int32, the digit on each frame, 0 in the padding; for reports
      and tests only. None for data without digit labels.
    targets: [B, T] float32, or vectors [B, T, D]. The padding of digit
      sequences repeats the final target.
  """

  frames: Frames
  lengths: Lengths
  labels: jax.Array | None
  targets: Values


def take_shard(batch: Tree, shard: int | jax.Array, shards: int) -> Tree:
  """Arrays [B, ...] -> [B / shards, ...]: rows shard, shard + shards, ..."""
  return jax.tree.map(
    lambda x: x.reshape(-1, shards, *x.shape[1:])[:, shard], batch
  )
