"""Time of each part of a training step, and cost of the compiled program.

    python -m benchmarks.profile --batch=128

Each part is compiled separately, at its size in the step. Parts take turns with
a product of two 1,024 x 1,024 matrices, which measures the machine's current
speed. Parts that the compiler fuses in the whole step are slower on their own,
so their sum exceeds the time of the step.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from seqsum.runtime import malloc

if __name__ == "__main__":
  malloc.restart_with_tunables()

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from configs import sum as post
from seqsum.models.conv import add_bias, plain, shifted
from seqsum.models.packed_cells import PackedGRU
from seqsum.runtime.devices import make_mesh
from seqsum.training.experiment import build_experiment
from seqsum.training.metrics import Totals
from seqsum.training.parallel import (
  compile_init,
  compile_step,
  compiler_options,
)
from seqsum.training.step import train_steps

SIDE = 1024


def normal(*shape: int) -> jax.Array:
  return jax.random.normal(jax.random.key(len(shape)), shape)


def parts(batch_size: int) -> dict[str, tuple]:
  """Returns the parts of a step on packed frames: (function, arguments)."""
  config = post.get_config()
  config.batch_size = batch_size
  rows = build_experiment(config).sampler.rows()
  frames = sum(rows)
  pixels = jnp.ones((frames, 28, 28, 1), jnp.uint8)
  hidden, filters = normal(frames, 25, 25, 8), normal(frames, 23, 23, 16)
  kernels = normal(4, 4, 1, 8), normal(3, 3, 8, 16)
  features, gates = normal(frames, 8464), [normal(frames, 200)] * 3
  weights = [normal(8464, 200)] * 3
  optimizer = optax.rmsprop(1e-3, decay=0.9, eps=1e-7)
  gru = PackedGRU(200)
  gru_inputs = normal(frames, 200)
  layer = lambda gru, x: gru(gru.project(x), rows)
  gru_params = gru.init(jax.random.key(0), gru_inputs, method=layer)

  def first(kernel, bias, pixels):
    x = pixels.astype(jnp.float32) / 255
    return jnp.tanh(add_bias(shifted(x, kernel), bias))

  def second(x, kernel, bias):
    return jnp.tanh(add_bias(plain(x, kernel), bias))

  def back(function, gradient, *inputs):
    return jax.vjp(function, *inputs)[1](gradient)

  def update(params, state, grads):
    updates, state = optimizer.update(grads, state)
    return optax.apply_updates(params, updates), state

  def recurrence(params, x):
    return jnp.square(gru.apply(params, x, method=layer)).sum()

  side = normal(SIDE, SIDE)
  return {
    "product of 1,024^3": (lambda a: a @ a, (side,)),
    "first convolution, tanh": (first, (kernels[0], jnp.ones(8), pixels)),
    "the first, with gradients": (
      lambda p, g, k, b: back(functools.partial(first, pixels=p), g, k, b),
      (pixels, hidden, kernels[0], jnp.ones(8)),
    ),
    "second convolution, tanh": (second, (hidden, kernels[1], jnp.ones(16))),
    "the second, with gradients": (
      functools.partial(back, second),
      (filters, hidden, kernels[1], jnp.ones(16)),
    ),
    "projection": (lambda x, w: [x @ k for k in w], (features, weights)),
    "projection, gradient of its inputs": (
      lambda g, w: sum(a @ k.T for a, k in zip(g, w, strict=True)),
      (gates, weights),
    ),
    "projection, gradient of its kernels": (
      lambda x, g: [x.T @ a for a in g],
      (features, gates),
    ),
    "a GRU of 200 on 200, both ways": (
      jax.grad(recurrence, argnums=(0, 1)),
      (gru_params, gru_inputs),
    ),
    "RMSProp of the projection": (
      update,
      (weights, optimizer.init(weights), weights),
    ),
  }


def whole_step(config: ConfigDict, devices: int = 1):
  """Returns a function that takes one step, and the compiled program."""
  experiment, mesh = (
    build_experiment(config),
    make_mesh(jax.devices()[:devices]),
  )
  images = jnp.zeros((1_000, 28, 28, 1), jnp.uint8)
  labels = jnp.zeros((1_000,), jnp.int32)
  state = compile_init(experiment, mesh, (28, 28, 1))(0)
  step = compile_step(train_steps, mesh, experiment=experiment, donate=True)
  last = [state]

  def run():
    last[0], totals = step(last[0], Totals.zero(), None, 0, images, labels)
    return totals

  lowered = step.lower(state, Totals.zero(), None, 0, images, labels)
  return run, lowered.compile()


def interleaved(
  runs: Sequence[Callable[[], Any]], rounds: int
) -> list[list[float]]:
  """Times functions in turns, so that changes in load affect all of them.

  Args:
    runs: Functions without arguments that return arrays.
    rounds: Timed calls of each, after one untimed call.

  Returns:
    The seconds of each function, one per round.
  """
  seconds = [[] for _ in runs]
  for turn in range(rounds + 1):
    for run, times in zip(runs, seconds, strict=True):
      start = time.perf_counter()
      jax.block_until_ready(run())
      if turn:
        times.append(time.perf_counter() - start)
  return seconds


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--batch", type=int, default=128)
  parser.add_argument("--rounds", type=int, default=20)
  return parser.parse_args(argv)


def main() -> None:
  flags = parse()
  runs = {}
  for name, (function, inputs) in parts(flags.batch).items():
    options = compiler_options()
    compiled = jax.jit(function, compiler_options=options).lower(*inputs)
    runs[name] = functools.partial(compiled.compile(), *inputs)
  config = post.get_config()
  config.batch_size = flags.batch
  runs["the whole step"], program = whole_step(config)

  times = dict(
    zip(runs, interleaved(list(runs.values()), flags.rounds), strict=True)
  )
  unit = statistics.median(times["product of 1,024^3"])
  print(f"batch {flags.batch}, {flags.rounds} rounds\n")
  print("| part | median, ms | minimum, ms | relative to the product |")
  print("|---|---|---|---|")
  for name, found in times.items():
    middle, low = statistics.median(found), min(found)
    print(
      f"| {name} | {1e3 * middle:.1f} | {1e3 * low:.1f} | {middle / unit:.2f} |"
    )
  cost, memory = program.cost_analysis(), program.memory_analysis()
  print(
    f"\nwhole step, by XLA's cost analysis: {cost['flops'] / 1e9:.2f} GFLOP, "
    f"{cost['bytes accessed'] / 1e6:.0f} MB read and written, "
    f"{memory.temp_size_in_bytes / 1e6:.0f} MB of temporary buffers"
  )


if __name__ == "__main__":
  main()
