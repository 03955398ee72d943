"""Compares the speed of seqsum, Keras 3 and PyTorch on the same network.

    pip install -e '.[bench]'
    python -m benchmarks.peers --mnist_dir=FOLDER

Takes about twelve minutes on two cores; run nothing else meanwhile. Each peer
has its own process. In each round every peer runs one short block while all
others are stopped by a signal, so load by other programs affects all. Ratios
are taken within a round.

    python -m benchmarks.peers --check   # compare outputs only
    python -m benchmarks.peers --quick   # a short run of a few minutes
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchmarks import chart, machine, network, table
from benchmarks.check import check
from benchmarks.process import (
  ROOT,
  Failed,
  Process,
  missing,
  shown,
  time_command,
)
from benchmarks.worker import PEERS
from seqsum.data import digits

BATCHES = 4  # different batches, which peers cycle through
SIDE = 2048  # of the matrices whose product measures the machine's rate
MULTIPLIERS = ("seqsum", "torch-eager")  # peers that compute it
CACHING = ("seqsum", "flax", "torch-compiled", "torch-packed-compiled")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  names = lambda text: text.split(",")
  numbers = lambda text: [int(x) for x in text.split(",") if x]
  add = parser.add_argument
  add("--peers", type=names, default=list(PEERS), help="; ".join(PEERS))
  add(
    "--batches",
    type=numbers,
    default=[128, 32, 512],
    help="batch sizes on all cores",
  )
  add("--one_core", type=numbers, default=[128], help="batch sizes on one core")
  add("--threads", type=int, default=os.cpu_count(), help="number of all cores")
  add("--rounds", type=int, default=5)
  add("--seconds", type=float, default=1.0, help="length of a training block")
  add(
    "--malloc",
    choices=("tuned", "default"),
    default="tuned",
    help="tuned: set GLIBC_TUNABLES for all peers as seqsum does for itself",
  )
  add("--mnist_dir", default="", help="'': the bundled digits")
  add("--out", default=str(ROOT / "benchmarks/results/peers"))
  add("--quick", action="store_true", help="batch 32, two short rounds")
  add("--check", action="store_true", help="compare outputs, time nothing")
  flags = parser.parse_args(argv)
  if unknown := set(flags.peers) - set(PEERS):
    parser.error(f"unknown peers: {', '.join(sorted(unknown))}")
  if flags.quick:
    flags.batches, flags.one_core = [32], []
    flags.rounds, flags.seconds = 2, 0.2
  return flags


def main() -> None:
  flags, begin = parse(), time.perf_counter()

  def log(text: str) -> None:
    print(f"{time.perf_counter() - begin:5.0f} s  {text}", flush=True)

  names = []
  for name in flags.peers:
    if lacking := missing(name):
      log(f"{name} is skipped: {', '.join(lacking)} is not installed")
    else:
      names.append(name)
  if not names:
    sys.exit("no peer of --peers is installed: run pip install -e '.[bench]'")
  with tempfile.TemporaryDirectory(prefix="peers-") as folder:
    folder = pathlib.Path(folder)
    data = prepare(folder, flags)
    if flags.check:
      check(names, folder, flags.threads, log)
      return
    results = {
      "date": time.strftime("%Y-%m-%d %H:%M %Z"),
      "machine": machine.describe(),
      "data": data,
      "malloc": flags.malloc,
      "versions": {},
      "starts": {},
      "settings": [],
    }
    if (busy := results["machine"]["busy_percent"]) > 5:
      log(f"WARNING: other programs use {busy:.0f}% of this machine")
    settings = [(batch, flags.threads) for batch in flags.batches]
    settings += [(batch, 1) for batch in flags.one_core]
    for batch, threads in settings:
      log(f"batch {batch}, {threads} thread(s)")
      measure(names, folder, batch, threads, flags, results, log)
    if "seqsum" in names:
      results["command"] = time_command(folder, *settings[0])
      log("python -m seqsum.main: " + json.dumps(results["command"]))
  results["minutes"] = (time.perf_counter() - begin) / 60

  out = pathlib.Path(flags.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
  text = table.write(results)
  out.with_suffix(".md").write_text(text)
  chart.draw(results, out.with_suffix(".png"))
  print(text)
  log(f"{out}.json, .md, .png")


def prepare(folder: pathlib.Path, flags: argparse.Namespace) -> str:
  """Writes images and batches for the workers; returns the data's name."""
  name = "mnist" if flags.mnist_dir else "digits"
  (folder / "name").write_text(name)
  data = digits.load(
    name, data_dir=folder, manual_dir=flags.mnist_dir, fallback=""
  )
  for size in {*flags.batches, *flags.one_core, 32}:
    batches = network.draw(*data.train, size, BATCHES)
    arrays = map(np.stack, zip(*batches, strict=True))
    fields = dict(zip(network.Batch._fields, arrays, strict=True))
    np.savez(folder / f"{size}.npz", **fields)
  return data.name


def measure(names, folder, batch, threads, flags, results, log) -> None:
  """Measures all rounds of one batch size on one number of threads.

  Appends a setting to the results: for each peer its fastest `ways`, and
  `rounds`, a list of `{peer: {"train": sequences/s, "predict": ...}}` with the
  rate of matrix products under "gflops". Also records the start-up times of the
  first setting.
  """
  first = not results["settings"]
  live: dict[str, Process] = {}
  setting = {"batch": batch, "threads": threads, "ways": {}, "rounds": []}
  results["settings"].append(setting)
  try:
    # Start one after the other if start-up is timed, otherwise in parallel.
    with ThreadPoolExecutor(1 if first else threads) as pool:
      started = pool.map(
        lambda name: start(live, name, folder, batch, threads, flags), names
      )
      for name, (answer, seconds) in zip(names, started, strict=True):
        if isinstance(answer, Failed):
          live.pop(name).kill()
          log(f"  {name} is skipped: {str(answer).partition(': ')[2]}")
        elif first:
          count = answer["parameters"]
          log(
            f"  {name}: first step after {seconds:.1f} s, {count:,} parameters"
          )
          results["versions"] |= answer.pop("versions")
          results["starts"][name] = answer | {"cold": seconds}
    for name, process in live.items():
      ways = {"train": tune(process, "train", batch, flags.seconds)}
      if first:  # before prediction allocates memory
        results["starts"][name]["memory"] = process.ask("memory")[0]
      ways["predict"] = tune(process, "predict", batch, flags.seconds / 2)
      setting["ways"][name] = ways
      log(f"  {name}: {ways['train']['way']}, {ways['predict']['way']}")
    for n in range(flags.rounds):
      order = list(live)[:: 1 if n % 2 else -1]  # alternate the order
      rates = {}
      for name in order:
        rates[name] = {
          kind: batch * way["steps"] / live[name].ask(kind, way["steps"])[1]
          for kind, way in setting["ways"][name].items()
        }
      seconds = [
        live[name].ask("multiply", SIDE)[0]
        for name in MULTIPLIERS
        if name in live
      ]
      rates["gflops"] = 2e-9 * SIDE**3 / min(seconds) if seconds else None
      setting["rounds"].append(rates)
      best = [f"{name} {rates[name]['train']:.0f}" for name in live]
      log(f"  round {n + 1}, training: {', '.join(best)}")
  finally:
    for process in live.values():
      process.kill()
  for name in CACHING if first else ():  # with a compilation cache
    if name in live:
      again = {}
      results["starts"][name]["warm"] = start(
        again, name, folder, batch, threads, flags
      )[1]
      again[name].kill()


def start(
  live, name, folder, batch, threads, flags
) -> tuple[dict | Failed, float]:
  """Starts a process, adds it to `live` and runs its first step.

  Returns:
    The process's answer, or its failure; and the seconds of this call.
  """
  begin = time.perf_counter()
  tuned = name == "seqsum" or flags.malloc == "tuned"
  live[name] = Process(name, folder, batch, threads, tuned)
  try:
    answer = live[name].ask("start")[0]
  except Failed as error:
    answer = error
  return answer, time.perf_counter() - begin


def tune(process: Process, kind: str, batch: int, seconds: float) -> dict:
  """Finds a worker's fastest function and the number of steps per block."""
  steps = 1 if batch > 256 else 2
  found = process.ask("tune", kind, steps, 2)[0]
  steps = max(1, round(seconds / found["seconds_a_step"]))
  if steps > BATCHES:  # Keras's fit takes whole cycles of the batches
    steps -= steps % BATCHES
  return found | {"steps": steps}


if __name__ == "__main__":
  with shown():
    main()
