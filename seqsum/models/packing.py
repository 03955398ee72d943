"""Packed batches: the real frames of sorted sequences, step after step.

Let `rows[t]` be the number of leading rows of a batch that may have a real
frame at step t; it never increases with t. The packed batch is one array of N =
sum(rows) rows: the `rows[0]` frames of step 0, then the `rows[1]` frames of
step 1, and so on.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.sequences.shapes import Lengths, Packed, Rows

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


def lengths(rows: Rows) -> np.ndarray:
  """[rows[0]] int, how many frames of each row are in the packed batch."""
  return (np.arange(rows[0])[:, None] < np.array(rows)).sum(axis=1)


def reversal(rows: Rows, real: Lengths | None = None) -> jax.Array:
  """[N], the packed frames with the real ones of each row in reverse.

  Args:
    rows: See the module's docstring.
    real: [B] int, real frames of each row, at most `lengths(rows)`; None: all.
  """
  row, step = places(rows)
  last = jnp.asarray(lengths(rows) if real is None else real)[row] - 1
  index = np.zeros((rows[0], len(rows)), np.int32)
  index[row, step] = np.arange(len(row))
  return jnp.asarray(index)[row, jnp.where(step <= last, last - step, step)]


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


def scan_products(
  step: Callable[..., tuple[Any, Any]],
  kernels: Sequence[jax.Array],
  parameters: Any,
  carry: Any,
  inputs: Any,
  rows: Rows,
) -> Any:
  """`scan` with matrix products; the gradient of a kernel is one product.

  The gradient of `scan` adds a product to a kernel's gradient at every step.
  Here the factors of all steps are kept and multiplied once: of the same
  operations, a GPU does fewer small ones.

  Args:
    step: `(products, parameters, carry, inputs of one step) -> (carry, outputs
      of one step)`, where `products[i](x)` is `x @ kernels[i]` and each is
      called once.
    kernels: Matrices.
    parameters: A tree of arrays that `step` may be differentiated by.
    carry, inputs, rows: As for `scan`; the carry has no gradient.

  Returns:
    The outputs of all steps, a tree of packed arrays [N, ...].
  """
  zeros = [jnp.zeros((sum(rows), k.shape[1]), k.dtype) for k in kernels]

  def run(kernels, parameters, inputs, zeros):
    def step_with_factors(carry, now):
      inputs, zeros = now
      factors: list[Any] = [None] * len(kernels)

      def multiply(i, x):
        factors[i] = x
        return x @ kernels[i] + zeros[i]  # whose gradient is the product's

      products = [functools.partial(multiply, i) for i in range(len(kernels))]
      carry, outputs = step(products, parameters, carry, inputs)
      return carry, (outputs, factors)

    return scan(step_with_factors, carry, (inputs, zeros), rows)

  @jax.custom_vjp
  def call(kernels, parameters, inputs):
    return run(kernels, parameters, inputs, zeros)[0]

  def forward(kernels, parameters, inputs):
    outputs, back, factors = jax.vjp(
      functools.partial(run, kernels), parameters, inputs, zeros, has_aux=True
    )
    return outputs, (back, factors)

  def backward(saved, gradient):
    back, factors = saved
    of_parameters, of_inputs, of_products = back(gradient)
    of_kernels = [x.T @ g for x, g in zip(factors, of_products, strict=True)]
    return of_kernels, of_parameters, of_inputs

  call.defvjp(forward, backward)
  return call(list(kernels), parameters, inputs)
