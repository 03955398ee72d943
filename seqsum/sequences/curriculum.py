"""Curriculum: the maximum length of sequences rises during training."""

import numpy as np

from seqsum.sequences.shapes import Scalar


def longest(step: Scalar | int, steps: int, max_len: int) -> Scalar:
  """The maximum length at a training step (Bengio et al. 2009).

  Args:
    step: The training step, from 0.
    steps: Steps until `max_len` is reached; each length before it lasts equally
      long.
    max_len: Frames, or units of the task's, as the columns of additions.

  Returns:
    [] int32, from 1 at step 0 to `max_len` from step `steps` on.
  """
  added = np.arange(1, max_len)
  starts = np.ceil(added * steps / max(1, max_len - 1))
  return 1 + (step >= starts.astype(np.int32)).sum(dtype=np.int32)
