"""benchmarks/scaling.py: its formulas and its analysis of programs."""

import functools

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from benchmarks.scaling import (
  batch_for,
  efficiency,
  reduced_bytes,
  ring_seconds,
  share_reduced,
)
from seqsum.runtime.devices import make_mesh

pytestmark = pytest.mark.devices(4)


@functools.cache
def reducer():
  mesh = make_mesh(jax.devices()[:4])
  sums = lambda tree: jax.lax.psum(tree, "data")
  every = PartitionSpec()
  return jax.jit(
    jax.shard_map(
      sums, mesh=mesh, in_specs=every, out_specs=every, check_vma=False
    )
  )


ARRAYS = {"a": jnp.ones((300, 7)), "b": jnp.ones(5, jnp.int32), "c": 1.0}


def test_reduced_bytes_of_a_known_program():
  program = reducer().lower(ARRAYS).compile().as_text()
  assert reduced_bytes(program) == 4 * (300 * 7 + 5 + 1)
  alone = jax.jit(lambda x: x + 1).lower(ARRAYS["a"]).compile()
  assert reduced_bytes(alone.as_text()) == 0


def test_profiler_measures_time_in_all_reduce():
  run = lambda: reducer()(ARRAYS)
  run()
  assert 0 < share_reduced(run, 4) < 1


def test_ring_seconds_by_hand():
  # 4 devices: 6 messages, each of a quarter of the bytes.
  assert ring_seconds(1000, 4, 100, 0.5) == pytest.approx(6 * 2.5 + 6 * 0.5)
  assert ring_seconds(1000, 1, 100, 0.5) == 0


def test_smallest_batch_for_an_efficiency():
  link = {"sequences_per_second": 1e5, "size": 2e7, "rate": 1e11}
  link["latency"] = 1e-6
  need = batch_for(0.9, 256, **link)
  assert (
    efficiency(need, 256, **link) >= 0.9 > efficiency(need - 1, 256, **link)
  )
  assert efficiency(8, 1, **link) == 1
