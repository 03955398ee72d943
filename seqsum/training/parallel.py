"""Compile steps for the devices of a mesh, and sum over these devices."""

import concurrent.futures
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from seqsum.runtime import devices as meshes
from seqsum.sequences.shapes import Feed
from seqsum.training.state import Experiment, init_state

# Backend -> XLA's options for a step (measured: docs/performance.md).
OPTIONS: dict[str, dict[str, str | bool]] = {
  "cpu": {
    # By default YNNPACK computes the kernel gradient of a convolution, nine
    # times slower than Eigen does without this fusion.
    "xla_cpu_experimental_ynn_fusion_type": "",
    # Without it, large parameters that are updated in place are copied first,
    # because a gradient also reads them.
    "xla_cpu_copy_insertion_use_region_analysis": True,
  },
  "gpu": {
    # A CUDA graph of the loop, too: the GPU decides whether to go on, and does
    # not wait for the host after every step.
    "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,"
    "CUDNN,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE",
    # Kernels that do not depend on each other run at once; most are too small
    # to fill a GPU.
    "xla_gpu_command_buffer_scheduling_mode": "CONCURRENT",
  },
}


@functools.cache
def compiler_options() -> dict[str, str | bool]:
  """The backend's `OPTIONS`, or {} if this release of XLA lacks one."""
  options = OPTIONS.get(jax.default_backend(), {})
  try:
    jax.jit(lambda x: x, compiler_options=options).lower(0.0).compile()
  except jax.errors.JaxRuntimeError:
    return {}
  return options


def compile_init(
  experiment: Experiment, mesh: Mesh, image_shape: tuple[int, int, int]
):
  """`seed -> TrainState`, jitted for the devices of a mesh."""
  # It runs once. At full optimization LLVM takes 7 s for a CPU's random number
  # generator, at this level 1 s.
  quickly = {"xla_backend_optimization_level": 1}
  return jax.jit(
    functools.partial(init_state, experiment, image_shape=image_shape),
    out_shardings=meshes.replicated(mesh),
    compiler_options=quickly if jax.default_backend() == "cpu" else {},
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


def compile_all(programs: Sequence[jax.stages.Lowered]) -> float:
  """Compiles programs for the first calls of the functions that were lowered.

  Returns the seconds that it took.

  For an accelerator all at once, since one uses few cores: XLA waits for the
  kernels that it tries. For a CPU one uses all cores.
  """
  workers = 1 if jax.default_backend() == "cpu" else len(programs)
  start = time.perf_counter()
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    list(pool.map(lambda program: program.compile(), programs))
  return time.perf_counter() - start


class EvalBatches:
  """`evaluate.eval_step` on many batches.

  Args:
    eval_step: The step.
    mesh: A mesh of one axis.
    experiment: The step's static argument.
    in_one_call: Whether a loop in one compiled function computes all batches,
      which must then have the same data. An accelerator does not wait for the
      host between batches; on a CPU, XLA's convolutions are slow in loops.
  """

  def __init__(
    self,
    eval_step: Callable[..., Any],
    mesh: Mesh,
    experiment: Experiment,
    in_one_call: bool,
  ):
    def all_batches(params, keys, *data, **static):
      return jax.lax.map(lambda k: eval_step(params, k, *data, **static), keys)

    self._in_one_call = in_one_call
    self._step = compile_step(
      all_batches if in_one_call else eval_step,
      mesh,
      experiment=experiment,
      donate=False,
    )

  def lower(
    self, params: optax.Params, keys: Sequence[np.ndarray], feed: Feed
  ) -> jax.stages.Lowered:
    """Lowers the program of `start`, for `compile_all`."""
    key = np.stack(keys) if self._in_one_call else keys[0]
    return self._step.lower(params, key, *feed(0))

  def start(
    self,
    params: optax.Params,
    keys: Sequence[np.ndarray],
    feed: Feed,
    should_stop: Callable[[], bool],
  ) -> Callable[[], list[Any]] | None:
    """Starts to compute all batches.

    Args:
      params: The parameters.
      keys: The data of the batches' keys.
      feed: Number of a batch -> its data.
      should_stop: Asked before every call of a compiled program.

    Returns:
      A function that waits, and returns the batches' results on the host; None
      as soon as `should_stop()`.
    """
    results: list[Any] = []
    for n, key in enumerate([np.stack(keys)] if self._in_one_call else keys):
      if should_stop():
        return None
      results.append(self._step(params, key, *feed(n)))
      if n:  # Fetch one batch while the next is computed.
        results[n - 1] = jax.device_get(results[n - 1])
    if not self._in_one_call:
      return lambda: jax.device_get(results)

    def wait():
      fetched = jax.device_get(results[0])
      return [
        jax.tree.map(lambda x, n=n: x[n], fetched) for n in range(len(keys))
      ]

    return wait


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
