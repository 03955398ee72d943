"""Compile steps for the devices of a mesh, and sum over these devices."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from seqsum.runtime import devices as meshes
from seqsum.training.state import Experiment, init_state


@functools.cache
def compiler_options() -> dict[str, str | bool]:
  """XLA's options for a step on a CPU (measured: docs/performance.md)."""
  options: dict[str, str | bool] = {
    # By default YNNPACK computes the kernel gradient of a convolution, nine
    # times slower than Eigen does without this fusion.
    "xla_cpu_experimental_ynn_fusion_type": "",
    # Without it, large parameters that are updated in place are copied first,
    # because a gradient also reads them.
    "xla_cpu_copy_insertion_use_region_analysis": True,
  }
  if jax.default_backend() != "cpu":
    return {}
  try:
    jax.jit(lambda x: x, compiler_options=options).lower(0.0).compile()
  except jax.errors.JaxRuntimeError:  # Another release lacks an option.
    return {}
  return options


def compile_init(
  experiment: Experiment, mesh: Mesh, image_shape: tuple[int, int, int]
):
  """`seed -> TrainState`, jitted for the devices of a mesh."""
  return jax.jit(
    functools.partial(init_state, experiment, image_shape=image_shape),
    out_shardings=meshes.replicated(mesh),
    # It runs once. At full optimization LLVM takes 7 s for the random number
    # generator, at this level 1 s.
    compiler_options={"xla_backend_optimization_level": 1},
  )


def compile_step(function, mesh: Mesh, *, experiment: Experiment, donate: bool):
  """`train_steps` or `eval_step`, jitted for the devices of a mesh.

  All inputs and outputs are replicated: each device draws its own rows of a
  batch (from files: takes them), so no array is sharded by batch.

  Args:
    function: `step.train_steps` or `evaluate.eval_step`.
    mesh: A mesh of one axis.
    experiment: The step's static argument.
    donate: Whether the first argument's buffers may be reused for the result.

  Returns:
    The function without its keyword arguments `experiment` and `axis_name`:
    `(state, totals, num_steps, seed, *data) -> (state, totals)`, or
    `(params, key_data, *data) -> Predictions`.
  """
  if mesh.size == 1:
    function = functools.partial(function, experiment=experiment)
  else:
    function = jax.shard_map(
      functools.partial(
        function, experiment=experiment, axis_name=mesh.axis_names[0]
      ),
      mesh=mesh,
      in_specs=meshes.REPLICATED,
      out_specs=meshes.REPLICATED,
      # The steps sum over devices explicitly, as pmap requires; with this check
      # shard_map would insert a second sum into the gradients.
      check_vma=False,
    )
  return jax.jit(
    function,
    out_shardings=meshes.replicated(mesh),
    donate_argnums=(0,) if donate else (),
    compiler_options=compiler_options(),
  )


@jax.jit
def copy_arrays(tree: Any) -> Any:
  """Copies arrays on their devices, so that a step may reuse the buffers."""
  return jax.tree.map(jnp.copy, tree)


def compile_batches(
  eval_step: Callable[..., Any],
  mesh: Mesh,
  experiment: Experiment,
  in_one_call: bool,
) -> Callable[..., Callable[[], list[Any]] | None]:
  """Compiles `eval_step` to be started on many batches.

  Args:
    eval_step: `evaluate.eval_step`.
    mesh: A mesh of one axis.
    experiment: The step's static argument.
    in_one_call: Whether a loop in one compiled function computes all batches,
      which must then have the same data. An accelerator does not wait for the
      host between batches; on a CPU, XLA's convolutions are slow in loops.

  Returns:
    `(params, keys, feed, should_stop) -> wait`, where `keys` are the data of
    the batches' keys, and `feed` maps the number of a batch to its data.
    `wait()` returns the batches' results on the host. None in place of `wait`
    as soon as `should_stop()`.
  """

  def all_batches(params, keys, *data, **static):
    return jax.lax.map(lambda k: eval_step(params, k, *data, **static), keys)

  step = compile_step(
    all_batches if in_one_call else eval_step,
    mesh,
    experiment=experiment,
    donate=False,
  )

  def start_all(params, keys, feed, should_stop):
    if should_stop():
      return None
    results = step(params, np.stack(keys), *feed(0))

    def wait():
      fetched = jax.device_get(results)
      return [
        jax.tree.map(lambda x, n=n: x[n], fetched) for n in range(len(keys))
      ]

    return wait

  def start_each(params, keys, feed, should_stop):
    results = []
    for n, key in enumerate(keys):
      if should_stop():
        return None
      results.append(step(params, key, *feed(n)))
      if n:  # Fetch one batch while the next is computed.
        results[n - 1] = jax.device_get(results[n - 1])
    return lambda: jax.device_get(results)

  return start_all if in_one_call else start_each


def shard_of_device(axis_name: str | None) -> tuple[jax.Array | int, int]:
  """(index, number) of this device's shard of a batch."""
  if axis_name is None:
    return 0, 1
  return jax.lax.axis_index(axis_name), jax.lax.axis_size(axis_name)


def sum_over_devices(axis_name: str | None, tree: Any) -> Any:
  """Sums a tree of arrays over the mapped axis, if there is one."""
  return tree if axis_name is None else jax.lax.psum(tree, axis_name)


def gather_rows(axis_name: str | None, tree: Any) -> Any:
  """[B / devices, ...] -> [B, ...]; device d has rows d, d + devices, ..."""
  if axis_name is None:
    return tree

  def gather(x):
    x = jax.lax.all_gather(x, axis_name, axis=1)
    return x.reshape(-1, *x.shape[2:])

  return jax.tree.map(gather, tree)
