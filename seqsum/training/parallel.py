"""The steps, compiled for the devices of a mesh."""

import functools

import jax
from jax.sharding import Mesh

from seqsum.runtime import devices as meshes
from seqsum.training.state import Experiment, init_state


@functools.cache
def compiler_options() -> dict[str, str | bool]:
  """What XLA is told about a step on a CPU (measured: docs/performance.md)."""
  options = {
    # XLA's default hands the kernel gradient of a convolution to YNNPACK, nine
    # times slower than Eigen, which is what is left.
    "xla_cpu_experimental_ynn_fusion_type": "",
    # Else the large parameters, which are updated in place, are copied first,
    # because a gradient also reads them.
    "xla_cpu_copy_insertion_use_region_analysis": True,
  }
  if jax.default_backend() != "cpu":
    return {}
  try:
    jax.jit(lambda x: x, compiler_options=options).lower(0.0).compile()
  except jax.errors.JaxRuntimeError:  # another release does not know it
    return {}
  return options


def compile_init(
  experiment: Experiment, mesh: Mesh, image_shape: tuple[int, int, int]
):
  """`seed -> TrainState`, jitted for the devices of a mesh."""
  return jax.jit(
    functools.partial(init_state, experiment, image_shape=image_shape),
    out_shardings=meshes.replicated(mesh),
    # It runs once: at full optimization LLVM takes 7 s over the random number
    # generator, at this level 1 s.
    compiler_options={"xla_backend_optimization_level": 1},
  )


def compile_step(function, mesh: Mesh, *, experiment: Experiment, donate: bool):
  """`train_steps` or `eval_step`, jitted for the devices of a mesh.

  Everything that goes in and comes out is replicated: a batch is made where it
  is used, so no array has a batch dimension to divide.

  Args:
    function: One of the two.
    mesh: Of one axis.
    experiment: What it shall work on.
    donate: Whether the first argument's buffers may be reused for the result.
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
      # The sums over devices are written out in the step, as pmap needs them;
      # with this check on, shard_map would add its own to the gradients.
      check_vma=False,
    )
  return jax.jit(
    function,
    out_shardings=meshes.replicated(mesh),
    donate_argnums=(0,) if donate else (),
    compiler_options=compiler_options(),
  )
