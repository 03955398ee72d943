"""The names of the array shapes.

    B  batch: sequences in a batch
    T  time: frames in the longest sequence of a batch
    H  height, W width, C channels of a frame
    N  frames in a packed batch (see `sampler.rows`)
    F  features of one frame or of one step
    K  outputs of the head at one step
    D  parts of a target that is a vector

A sequence is right-padded: its first `length` frames are real, the rest are
blank. Everything in seqsum is causal in time, so what stands in the padding
cannot reach a real step.
"""

from collections.abc import Callable

import jax

Images = jax.Array  # [M, H, W, C] uint8, the images of one split
Labels = jax.Array  # [M] int32, the digit that each image shows
Frames = jax.Array  # [B, T, H, W, C] uint8 0..255 or float32 0..1
Lengths = jax.Array  # [B] int32, 1..T
Values = jax.Array  # [B, T] float32, a value at each step; or [B, T, D]
Outputs = jax.Array  # [B, T, K] float32, what the head says at each step
Packed = jax.Array  # [N, ...] the real frames of a batch, step after step
Key = jax.Array  # [] a typed key, jax.random.key
Scalar = jax.Array  # []
Feed = Callable[[int], tuple[jax.Array, ...]]  # batch number -> its data
