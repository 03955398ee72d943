"""Packed batches: the real frames of sorted sequences, step after step.

Let `rows[t]` be the number of leading rows of a batch that may be alive at step
t, never rising with t. Packed, the batch is one array of `N = sum(rows)` rows:
the `rows[0]` frames of step 0, then the `rows[1]` frames of step 1, and so on.
Steps with the same number of rows stand next to each other and form a run.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from seqsum.shapes import Packed

Rows = tuple[int, ...]
UNROLL = 8  # a run of at most so many steps is no loop but laid out


def runs(rows: Rows) -> Iterator[tuple[slice, slice, int]]:
  """Stretches of steps with the same number of rows.

  Yields:
    Which steps they are, where they stand in the packed array, and the number
    of rows. Runs of no rows are left out.
  """
  if any(a < b for a, b in itertools.pairwise(rows)):
    raise ValueError(f"rows must not rise from step to step, got {rows}")
  start, place = 0, 0
  for stop in range(1, len(rows) + 1):
    if stop < len(rows) and rows[stop] == rows[start]:
      continue
    size = rows[start] * (stop - start)
    if size:
      yield slice(start, stop), slice(place, place + size), rows[start]
    start, place = stop, place + size


def pack(padded: jax.Array, rows: Rows) -> Packed:
  """[B, T, ...] -> [N, ...], leaving out what stands beyond `rows`."""
  return jnp.concatenate(
    [
      padded[:n, steps].swapaxes(0, 1).reshape(-1, *padded.shape[2:])
      for steps, _, n in runs(rows)
    ]
  )


def unpack(packed: Packed, rows: Rows, batch: int) -> jax.Array:
  """[N, ...] -> [B, T, ...], zero beyond `rows`."""
  blocks, rest = [], packed.shape[1:]
  for steps, place, n in runs(rows):
    block = packed[place].reshape(steps.stop - steps.start, n, *rest)
    widths = [(0, 0), (0, batch - n)] + [(0, 0)] * len(rest)
    blocks.append(jnp.pad(block, widths))
  padded = jnp.concatenate(blocks)  # [T, B, ...], T without steps of no rows
  late = [(0, len(rows) - padded.shape[0])] + [(0, 0)] * (padded.ndim - 1)
  return jnp.pad(padded, late).swapaxes(0, 1)


def scan(
  step: Callable[[Any, Any], tuple[Any, Any]],
  carry: Any,
  inputs: Any,
  rows: Rows,
) -> Any:
  """A recurrence over a packed batch: only rows that may be alive are stepped.

  Args:
    step: `(carry, inputs of one step) -> (carry, outputs of one step)`, row by
      row; as for `jax.lax.scan`.
    carry: A tree of arrays [B, ...] to start from.
    inputs: A tree of packed arrays [N, ...].
    rows: See the module's docstring.

  Returns:
    The outputs of all steps, a tree of packed arrays [N, ...].
  """
  outputs = []
  for steps, place, n in runs(rows):
    length = steps.stop - steps.start
    block = jax.tree.map(
      lambda x, place=place, n=n: x[place].reshape(-1, n, *x.shape[1:]), inputs
    )
    carry = jax.tree.map(lambda c, n=n: c[:n], carry)
    unroll = length if length <= UNROLL else 1
    carry, out = jax.lax.scan(step, carry, block, unroll=unroll)
    outputs.append(jax.tree.map(lambda y: y.reshape(-1, *y.shape[2:]), out))
  return jax.tree.map(lambda *ys: jnp.concatenate(ys), *outputs)
