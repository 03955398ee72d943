"""Test sequences: a dot that moves through colour frames."""

import numpy as np

SIZE = 8, 14  # not square
LONGEST = 5


def dots(count, seed=0):
  """Frames [N, T, 8, 14, 3] uint8, lengths [N], speeds [N, 2] in pixels."""
  rng = np.random.default_rng(seed)
  speeds = rng.integers(-1, 2, (count, 2))
  start = rng.integers(0, SIZE, (count, 2))
  place = start[:, None] + speeds[:, None] * np.arange(LONGEST)[:, None]
  place %= SIZE  # [N, T, 2]; wraps around
  frames = np.zeros((count, LONGEST, *SIZE, 3), np.uint8)
  n, t = np.ogrid[:count, :LONGEST]
  frames[n, t, place[..., 0], place[..., 1]] = 250, 130, 20
  lengths = rng.integers(2, LONGEST + 1, count)
  return frames, lengths.astype(np.int32), speeds


def travelled(speeds):
  """Half the distance that the dot has moved by each frame, [N, T, 2] float."""
  return 0.5 * speeds[:, None] * np.arange(LONGEST)[:, None]
