"""Packed batches: the real frames of sorted sequences, step after step.

Let `rows[t]` be the number of leading rows of a batch that may have a real
frame at step t; it never increases with t. The packed batch is one array of N =
sum(rows) rows: the `rows[0]` frames of step 0, then the `rows[1]` frames of
step 1, and so on.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.sequences.shapes import Packed, Rows

MAX_UNROLL = 16  # steps; longer recurrences are loops


def places(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
  """The row [N] and the step [N] of each packed frame."""
  row = np.concatenate([np.arange(n) for n in rows])
  return row, np.repeat(np.arange(len(rows)), rows)


def pack(padded: jax.Array, rows: Rows) -> Packed:
  """[B, T, ...] -> [N, ...]; drops everything beyond `rows`."""
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
  """Runs a recurrence over a packed batch.

  Up to `MAX_UNROLL` steps are unrolled, and each computes its `rows[t]` rows
  only. More steps are one `jax.lax.scan` over all rows, at about twice the
  recurrent operations, so that the size of the compiled program stays bounded.

  Args:
    step: `(carry, inputs of one step) -> (carry, outputs of one step)`, row by
      row, as for `jax.lax.scan`.
    carry: The first carry, a tree of arrays [rows[0], ...].
    inputs: A tree of packed arrays [N, ...].
    rows: See the module's docstring.

  Returns:
    The outputs of all steps, a tree of packed arrays [N, ...].
  """
  if len(rows) > MAX_UNROLL:
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
