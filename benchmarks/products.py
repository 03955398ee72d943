"""Compares libraries at the largest matrix products of a training step.

    pip install -e '.[bench]'
    python -m benchmarks.products

The *projection* maps features of packed frames to the gates of the first GRU;
it and its two gradients are most of a step's time. XLA multiplies with Eigen,
PyTorch with the library it was built with (MKL in the wheels for Intel and
AMD), NumPy with OpenBLAS. All have one thread and take turns; PyTorch is left
out if it is not installed.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable

if __name__ == "__main__":  # before the libraries start their threads
  for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
  os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

import jax
import jax.numpy as jnp
import numpy as np

FEATURES, GATES = 8464, 3 * 200
SIDE = 1024


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add = parser.add_argument
  add("--frames", type=int, default=320, help="of a packed batch of 128")
  add("--rounds", type=int, default=25)
  return parser.parse_args(argv)


def libraries(
  a: np.ndarray, b: np.ndarray
) -> dict[str, Callable[[], np.ndarray]]:
  """Returns name -> function that multiplies `a` [m, k] and `b` [k, n]."""
  product, x, y = jax.jit(jnp.dot), jax.device_put(a), jax.device_put(b)
  found = {
    "XLA": lambda: np.asarray(product(x, y).block_until_ready()),
    "NumPy": lambda: a @ b,
  }
  try:
    import torch
  except ImportError:
    return found
  torch.set_num_threads(1)
  u, v = torch.from_numpy(a), torch.from_numpy(b)
  return found | {"PyTorch": lambda: torch.mm(u, v).numpy()}


def measure(m: int, k: int, n: int, rounds: int) -> dict[str, tuple]:
  """Returns name -> GFLOP/s of the median and of the fastest of `rounds`."""
  rng = np.random.default_rng(0)
  a, b = (
    rng.normal(size=shape).astype(np.float32) for shape in ((m, k), (k, n))
  )
  multiply = libraries(a, b)
  seconds: dict[str, list[float]] = {name: [] for name in multiply}
  for function in multiply.values():
    np.testing.assert_allclose(function(), a @ b, rtol=1e-3, atol=1e-2)
  for _ in range(rounds):
    for name, function in multiply.items():
      start = time.perf_counter()
      function()
      seconds[name].append(time.perf_counter() - start)
  work = 2 * m * k * n / 1e9
  return {
    name: (work / statistics.median(taken), work / min(taken))
    for name, taken in seconds.items()
  }


def main() -> None:
  flags = parse()
  sizes = {
    "projection": (flags.frames, FEATURES, GATES),
    "gradient of its inputs": (flags.frames, GATES, FEATURES),
    "gradient of its kernels": (FEATURES, flags.frames, GATES),
    f"{SIDE}^3": (SIDE, SIDE, SIDE),
  }
  for row, (name, size) in enumerate(sizes.items()):
    rates = measure(*size, flags.rounds)
    if not row:
      print(f"GFLOP/s of one thread: median, and fastest of {flags.rounds}\n")
      print(f"| product | {' | '.join(rates)} |")
      print(f"|---|{'--:|' * len(rates)}")
    cells = (f"{middle:.0f}, {best:.0f}" for middle, best in rates.values())
    print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
  main()
