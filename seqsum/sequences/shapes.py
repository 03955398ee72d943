"""Names of array shapes.

    B  sequences in a batch
    T  frames in the longest sequence of a batch
    H  height, W width, C channels of a frame
    M  images in a split
    N  frames in a packed batch, the sum of its `Rows`
    F  features of one frame, or of one step
    K  outputs of the model at one step, V values that a target can take
    D  parts of a target that is a vector

A sequence is right-padded: its first `length` frames are real, the others are
blank. The padding cannot change a value at a real step: every computation is
causal in time, or, in `models/whole_sequence.py`, knows the lengths.
"""

from collections.abc import Callable

import jax

Images = jax.Array  # [M, H, W, C] uint8
Labels = jax.Array  # [M] int32, the digit on each image
Frames = jax.Array  # [B, T, H, W, C] uint8 0..255 or float32 0..1
Lengths = jax.Array  # [B] int32, 1..T
Values = jax.Array  # [B, T] float32, a value at each step; or [B, T, D]
Outputs = jax.Array  # [B, T, K] float32
Packed = jax.Array  # [N, ...] the real frames of a batch, step after step
Rows = tuple[int, ...]  # [T] how many leading rows have a real frame at step t
Key = jax.Array  # [] a typed key, `jax.random.key`
Scalar = jax.Array  # []
Feed = Callable[[int], tuple[jax.Array, ...]]  # batch number -> sampler's data
