"""Worker process that holds one peer and executes commands from stdin.

    python -m benchmarks.worker torch-eager batches.npz

Each peer has its own process because frameworks compete for threads. `peers.py`
writes one JSON list per line: a method's name and its arguments. The worker
answers with one JSON object per line: the result and its seconds.
"""

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from benchmarks.network import Batch

PEERS = {  # name: module, variant
  "seqsum": ("peer_seqsum", "default"),
  "flax": ("peer_seqsum", "flax"),
  "keras-jax": ("peer_keras", "jax"),
  "keras-torch": ("peer_keras", "torch"),
  "keras-tensorflow": ("peer_keras", "tensorflow"),
  "torch-eager": ("peer_torch", "eager"),
  "torch-compiled": ("peer_torch", "compiled"),
  "torch-shared": ("peer_torch", "shared"),
  "torch-packed": ("peer_torch", "packed"),
  "torch-packed-compiled": ("peer_torch", "packed-compiled"),
}


class Peer(Protocol):
  """The network in one framework; constructed from batches and a variant.

  Attributes:
    parameters: Number of parameters.
    train_ways: Functions that take n training steps and return the loss after
      the last step has finished, by name.
    predict_ways: Functions that predict n batches and fetch the predictions to
      the host, by name.
  """

  parameters: int
  train_ways: dict[str, Callable[[int], float]]
  predict_ways: dict[str, Callable[[int], None]]

  def read(self) -> list[float]:
    """Returns predictions [B] for the first batch."""

  def load(self, path: str) -> None:
    """Loads parameters that `peer_seqsum.Peer.save` wrote."""


class Worker:
  """A peer and its fastest train and predict functions."""

  def __init__(self, name: str, batches: str):
    module, variant = PEERS[name]
    module = importlib.import_module(f"benchmarks.{module}")
    arrays = np.load(batches)
    fields = zip(*(arrays[f] for f in Batch._fields), strict=True)
    self.peer: Peer = module.Peer([Batch(*x) for x in fields], variant)
    self.versions = module.VERSIONS
    self.ways = {
      "train": next(iter(self.peer.train_ways)),
      "predict": next(iter(self.peer.predict_ways)),
    }

  def start(self) -> dict[str, Any]:
    """Takes the first training step."""
    loss = self.train(1)
    return {
      "loss": loss,
      "parameters": self.peer.parameters,
      "versions": self.versions,
    }

  def count(self) -> int:
    return self.peer.parameters

  def train(self, steps: int) -> float:
    return self.peer.train_ways[self.ways["train"]](steps)

  def predict(self, steps: int) -> None:
    self.peer.predict_ways[self.ways["predict"]](steps)

  def tune(self, kind: str, steps: int, rounds: int) -> dict[str, Any]:
    """Selects the fastest function of a kind; each runs once untimed."""
    ways = getattr(self.peer, f"{kind}_ways")
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(rounds + 1):
      for name, way in ways.items():
        begin = time.perf_counter()
        way(steps)
        if turn:
          best[name] = min(best[name], time.perf_counter() - begin)
    self.ways[kind] = min(best, key=best.get)
    return {
      "way": self.ways[kind],
      "seconds_a_step": min(best.values()) / steps,
    }

  def memory(self) -> float:
    """Peak resident memory, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)

  def follow(self, steps: int) -> float:
    """Trains on the batches that all peers share."""
    follow = getattr(self.peer, "follow", None)
    return follow(steps) if follow else self.train(steps)

  def __getattr__(self, name: str):
    return getattr(self.peer, name)  # read, load, save, multiply


def main(name: str, batches: str) -> None:
  # Redirect what frameworks print to stderr; stdout is for the answers only.
  answers = os.fdopen(os.dup(1), "w", buffering=1)
  os.dup2(2, 1)
  worker = Worker(name, batches)
  for line in sys.stdin:
    method, *arguments = json.loads(line)
    begin = time.perf_counter()
    result = getattr(worker, method)(*arguments)
    seconds = time.perf_counter() - begin
    print(json.dumps({"seconds": seconds, "result": result}), file=answers)


if __name__ == "__main__":
  main(*sys.argv[1:])
