"""Speed of training several seeds by `jax.vmap` against one after the other.

    python -m benchmarks.seeds

A convolution that is vmapped over its kernels becomes a grouped convolution,
and a shared matrix product becomes a batched one. Both ways take turns; the
printed ratio is the median over rounds. On a CPU vmap is slower, so
`seqsum.study` trains seeds one after the other.
"""

import argparse
import functools
import importlib
import statistics
import time

import jax
import jax.numpy as jnp

from seqsum.training.experiment import build_experiment
from seqsum.training.parallel import compiler_options
from seqsum.training.state import init_state
from seqsum.training.step import train_step

CONFIGS = ("sum", "sum_small", "sum_tiny", "fold")


class Turns:
  """Times training steps of several seeds, in a loop and by vmap.

  Args:
    name: Name of the config.
    seeds: Number of seeds.
    steps: Steps per seed in one call.
  """

  def __init__(self, name: str, seeds: int, steps: int):
    config = importlib.import_module(f"configs.{name}").get_config()
    experiment = build_experiment(config)
    shape = experiment.sampler.shape
    step = functools.partial(train_step, experiment=experiment)
    compiled = functools.partial(jax.jit, compiler_options=compiler_options())
    init = compiled(
      functools.partial(init_state, experiment, image_shape=shape)
    )
    self._one = compiled(step, donate_argnums=0)
    self._all = compiled(
      jax.vmap(step, in_axes=(0, 0, None, None)), donate_argnums=0
    )
    self._data = (
      jnp.zeros((1_000, *shape), jnp.uint8),
      jnp.zeros(1_000, jnp.int32),
    )
    self._seeds, self._steps = jnp.arange(seeds), steps
    self._single = [init(seed) for seed in range(seeds)]
    self._stacked = jax.tree.map(lambda *x: jnp.stack(x), *self._single)
    self()  # compiles

  def __call__(self) -> tuple[float, float]:
    """Returns the seconds of the loop and of vmap."""
    start = time.perf_counter()
    for seed in range(len(self._single)):
      state = self._single[seed]
      for _ in range(self._steps):
        state, totals = self._one(state, seed, *self._data)
      jax.block_until_ready(totals)
      self._single[seed] = state
    middle = time.perf_counter()
    for _ in range(self._steps):
      self._stacked, totals = self._all(self._stacked, self._seeds, *self._data)
    jax.block_until_ready(totals)
    return middle - start, time.perf_counter() - middle


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--seeds", type=int, default=3)
  parser.add_argument("--steps", type=int, default=20)
  parser.add_argument("--rounds", type=int, default=5)
  parser.add_argument(
    "--configs", type=lambda text: text.split(","), default=list(CONFIGS)
  )
  return parser.parse_args(argv)


def main() -> None:
  options = parse()
  print(f"{'config':10}        loop       vmap  vmap / loop")
  for name in options.configs:
    turns = Turns(name, options.seeds, options.steps)
    seconds = [turns() for _ in range(options.rounds)]
    unit = 1e3 / options.steps / options.seeds
    one, many = (
      statistics.median(s[i] for s in seconds) * unit for i in (0, 1)
    )
    ratio = statistics.median(b / a for a, b in seconds)
    print(f"{name:10}  {one:7.2f} ms  {many:7.2f} ms  {ratio:.2f} times")


if __name__ == "__main__":
  main()
