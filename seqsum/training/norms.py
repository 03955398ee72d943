"""Activation and gradient norms, logged with `config.log_norms`."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from seqsum.sequences.shapes import Scalar


class Norms(struct.PyTreeNode):
  """Sums and maxima of norms over consecutive steps; zeros if not measured.

  A maximum stays inf or nan once one of its steps is.

  Attributes:
    steps: [] float32, steps measured.
    encoded: [] float32, sum over steps of the mean square of the encoder's
      features of real frames; `encoded_max` the largest.
    gradient: [] float32, sum over steps of the gradient's global norm before
      clipping; `gradient_max` the largest.
  """

  steps: Scalar
  encoded: Scalar
  encoded_max: Scalar
  gradient: Scalar
  gradient_max: Scalar

  @classmethod
  def zero(cls) -> "Norms":
    zero: Any = np.zeros((), np.float32)
    return cls(zero, zero, zero, zero, zero)

  @classmethod
  def of_step(cls, encoded: Scalar, gradient: Scalar) -> "Norms":
    """The norms of one step: its mean square and global norm."""
    return cls(jnp.float32(1), encoded, encoded, gradient, gradient)

  def merge(self, other: "Norms") -> "Norms":
    return jax.tree.map(jnp.add, self, other).replace(
      encoded_max=jnp.maximum(self.encoded_max, other.encoded_max),
      gradient_max=jnp.maximum(self.gradient_max, other.gradient_max),
    )

  def means(self) -> dict[str, float]:
    """The fields of metrics.jsonl; none if nothing was measured."""
    if not self.steps:
      return {}
    steps = float(self.steps)
    return {
      "encoded_rms": math.sqrt(self.encoded / steps),
      "encoded_rms_max": math.sqrt(self.encoded_max),
      "gradient_norm": float(self.gradient) / steps,
      "gradient_norm_max": float(self.gradient_max),
    }
