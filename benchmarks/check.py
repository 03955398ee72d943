"""Checks that all peers compute the same function."""

import pathlib
from collections.abc import Callable

import numpy as np

from benchmarks import network
from benchmarks.process import Process

BATCH, STEPS, MORE = 32, 3, 40


def check(
  names: list[str],
  folder: pathlib.Path,
  threads: int,
  log: Callable[[str], None],
) -> None:
  """Loads seqsum's parameters into every peer and compares:

  - the number of parameters, apart from the spare biases;
  - predictions for one batch, within 1e-4;
  - predictions after three training steps on the same batches, within 0.1, or
    0.5 for PyTorch, whose RMSProp adds epsilon to the root. The steps move the
    predictions by about ten;
  - that the loss falls during more steps.

  Raises:
    AssertionError: A peer differs.
  """
  reference = Process("seqsum", folder, BATCH, threads)
  path = str(folder / "parameters.npz")
  reference.ask("save", path)
  expected = np.array(reference.ask("read")[0])
  targets = np.load(folder / f"{BATCH}.npz")["targets"][0]
  loss = np.square(expected - targets).mean()
  log(f"seqsum: loss {loss:.5f} on one batch with initial parameters")
  reference.ask("follow", STEPS)
  followed = np.array(reference.ask("read")[0])
  moved = np.abs(followed - expected).max()
  reference.kill()
  for name in names:
    process = Process(name, folder, BATCH, threads)
    process.ask("load", path)
    outputs = np.array(process.ask("read")[0])
    worst = np.abs(outputs - expected).max()
    process.ask("follow", STEPS)
    later = np.abs(np.array(process.ask("read")[0]) - followed).max()
    before = process.ask("train", 1)[0]
    process.ask("train", MORE)
    after = process.ask("train", 4)[0]
    count = process.ask("count")[0]
    process.kill()
    log(
      f"{name}: {count:,} parameters; outputs differ by {worst:.1e}, after "
      f"{STEPS} steps, which moved them by {moved:.2f}, by {later:.1e}; loss "
      f"{before:.2f}, {MORE} steps later {after:.2f}"
    )
    spare = 0 if name in ("seqsum", "flax") else network.SPARE_BIASES
    assert count == network.PARAMETERS + spare, name
    assert worst < 1e-4, name
    assert later < (0.5 if name.startswith("torch") else 0.1), name
    assert after < before, name
  log("all compute the same")
