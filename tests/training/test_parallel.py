"""Cost of the compiled default step by XLA's cost analysis."""

import backend
import jax
import pytest

from configs import sum as post
from seqsum.runtime.devices import make_mesh
from seqsum.training.experiment import build_experiment
from seqsum.training.metrics import Totals
from seqsum.training.parallel import (
  compile_init,
  compile_step,
  compiler_options,
)
from seqsum.training.step import train_steps

BATCH = 128
on_a_cpu = pytest.mark.skipif(
  not backend.IS_CPU, reason="the numbers are of XLA's CPU backend"
)


@pytest.fixture(scope="module")
def cost(bundled):
  config = post.get_config()
  config.batch_size = BATCH
  experiment, mesh = build_experiment(config), make_mesh(jax.devices()[:1])
  state = jax.eval_shape(compile_init(experiment, mesh, (28, 28, 1)), 0)
  step = compile_step(train_steps, mesh, experiment=experiment, donate=True)
  lowered = step.lower(state, Totals.zero(), None, 0, *bundled.train)
  return lowered.compile()


@on_a_cpu
def test_flops_of_a_sequence_include_no_padding(cost):
  """2.5 frames on average of 35.7 MFLOP each: no padding is computed."""
  flops = cost.cost_analysis()["flops"] / BATCH
  assert 87e6 < flops < 92e6


@on_a_cpu
def test_bytes_of_a_sequence_include_no_copy_of_kernels(cost):
  """4.9 MB; a copy of the large kernels, or a second pass, exceeds it."""
  size = cost.cost_analysis()["bytes accessed"] / BATCH
  assert size < 5.0e6


@on_a_cpu
def test_the_state_is_updated_in_place(cost):
  memory = cost.memory_analysis()
  assert memory.alias_size_in_bytes > 0.99 * 2 * 4 * 5_291_005
  assert memory.temp_size_in_bytes < 90e6


def test_xla_accepts_the_options():
  assert compiler_options()
