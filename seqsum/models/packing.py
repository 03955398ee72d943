"""Packed batches: the real frames of sorted sequences, step after step.

Let `rows[t]` be the number of leading rows of a batch that may be alive at step
t, never rising with t. Packed, the batch is one array of `N = sum(rows)` rows:
the `rows[0]` frames of step 0, then the `rows[1]` frames of step 1, and so on.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.sequences.shapes import Packed

Rows = tuple[int, ...]
LAID_OUT = 16  # steps; a recurrence of more is a loop


def places(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
  """Where packed frames come from: their rows [N] and their steps [N]."""
  if any(a < b for a, b in itertools.pairwise(rows)):
    raise ValueError(f"rows must not rise from step to step, got {rows}")
  row = np.concatenate([np.arange(n) for n in rows])
  return row, np.repeat(np.arange(len(rows)), rows)


def pack(padded: jax.Array, rows: Rows) -> Packed:
  """[B, T, ...] -> [N, ...], leaving out what stands beyond `rows`."""
  return padded[places(rows)]


def unpack(packed: Packed, rows: Rows, batch: int) -> jax.Array:
  """[N, ...] -> [B, T, ...], zero beyond `rows`."""
  index = np.full((batch, len(rows)), len(packed))
  index[places(rows)] = np.arange(len(packed))
  return packed.at[index].get(mode="fill", fill_value=0)


def scan(
  step: Callable[[Any, Any], tuple[Any, Any]],
  carry: Any,
  inputs: Any,
  rows: Rows,
) -> Any:
  """A recurrence over a packed batch.

  Up to `LAID_OUT` steps follow each other without a loop, and each works on no
  more rows than may be alive. More steps are one loop over all rows: they cost
  twice what they must, but little beside an encoder, and the compiled program
  does not grow with them.

  Args:
    step: `(carry, inputs of one step) -> (carry, outputs of one step)`, row by
      row; as for `jax.lax.scan`.
    carry: A tree of arrays [rows[0], ...] to start from.
    inputs: A tree of packed arrays [N, ...].
    rows: See the module's docstring.

  Returns:
    The outputs of all steps, a tree of packed arrays [N, ...].
  """
  if len(rows) > LAID_OUT:
    padded = jax.tree.map(
      lambda x: unpack(x, rows, rows[0]).swapaxes(0, 1), inputs
    )
    _, outputs = jax.lax.scan(step, carry, padded)
    return jax.tree.map(lambda y: pack(y.swapaxes(0, 1), rows), outputs)
  outputs, start = [], 0
  for n in rows:
    now = slice(start, start := start + n)
    carry, out = step(
      jax.tree.map(lambda c, n=n: c[:n], carry),
      jax.tree.map(lambda x, now=now: x[now], inputs),
    )
    outputs.append(out)
  return jax.tree.map(lambda *ys: jnp.concatenate(ys), *outputs)
