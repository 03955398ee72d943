"""seqsum against Keras 3 and PyTorch: one network, one machine, one run.

    pip install -e '.[bench]'
    python -m benchmarks.peers --mnist_dir=FOLDER_WITH_THE_FOUR_FILES

About a quarter of an hour on two cores, on which nothing else should run. Each
peer has a process; they take turns, a short block each, round after round, all
others stopped by a signal: whatever the machine does beside, they share it.
Ratios are taken within a round.

    python -m benchmarks.peers --check   # do all compute the same?
    python -m benchmarks.peers --quick   # does it run? a few minutes
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

BATCHES = 4  # different ones, which a peer goes through again and again
SIDE = 2048  # of the matrices whose product tells the machine's rate
MULTIPLIERS = ("seqsum", "torch-eager")  # who is asked for that product
CACHING = ("seqsum", "flax", "torch-compiled", "torch-packed-compiled")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  names = lambda text: text.split(",")
  numbers = lambda text: [int(x) for x in text.split(",") if x]
  add = parser.add_argument
  add("--peers", type=names, default=list(PEERS), help="; ".join(PEERS))
  add("--batches", type=numbers, default=[128, 32, 512], help="on all cores")
  add("--one_core", type=numbers, default=[128], help="batches on one core")
  add("--threads", type=int, default=os.cpu_count(), help="that are all cores")
  add("--rounds", type=int, default=5)
  add("--seconds", type=float, default=1.0, help="a block of training")
  add(
    "--malloc",
    choices=("tuned", "default"),
    default="tuned",
    help="how the C library serves the peers: as it serves seqsum, or as "
    "it does where nobody sets GLIBC_TUNABLES",
  )
  add("--mnist_dir", default="", help="'': the bundled digits")
  add("--out", default=str(ROOT / "benchmarks/results/peers"))
  add("--quick", action="store_true", help="batch 32, two short rounds")
  add("--check", action="store_true", help="compare outputs, time nothing")
  flags = parser.parse_args(argv)
  if unknown := set(flags.peers) - set(PEERS):
    parser.error(f"no such peers: {', '.join(sorted(unknown))}")
  if flags.quick:
    flags.batches, flags.one_core = [32], []
    flags.rounds, flags.seconds = 2, 0.2
  return flags


def main() -> None:
  flags, begin = parse(), time.perf_counter()

  def say(text: str) -> None:
    print(f"{time.perf_counter() - begin:5.0f} s  {text}", flush=True)

  names = []
  for name in flags.peers:
    if lacking := missing(name):
      say(f"{name} is left out: {', '.join(lacking)} is not installed")
    else:
      names.append(name)
  if not names:
    sys.exit("none of --peers can be measured: pip install -e '.[bench]'")
  with tempfile.TemporaryDirectory(prefix="peers-") as folder:
    folder = pathlib.Path(folder)
    data = prepare(folder, flags)
    if flags.check:
      check(names, folder, flags.threads, say)
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
      say(f"CAUTION: other programs keep this machine {busy:.0f}% busy")
    settings = [(batch, flags.threads) for batch in flags.batches]
    settings += [(batch, 1) for batch in flags.one_core]
    for batch, threads in settings:
      say(f"batch {batch}, {threads} thread(s)")
      measure(names, folder, batch, threads, flags, results, say)
    if "seqsum" in names:
      results["command"] = time_command(folder, *settings[0])
      say("python -m seqsum.main: " + json.dumps(results["command"]))
  results["minutes"] = (time.perf_counter() - begin) / 60

  out = pathlib.Path(flags.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
  text = table.write(results)
  out.with_suffix(".md").write_text(text)
  chart.draw(results, out.with_suffix(".png"))
  print(text)
  say(f"{out}.json, .md, .png")


def prepare(folder: pathlib.Path, flags: argparse.Namespace) -> str:
  """Puts images and batches where workers find them; returns the data's name.

  Peers find their batches drawn, in memory, as floating numbers.
  """
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


def measure(names, folder, batch, threads, flags, results, say) -> None:
  """All rounds of one batch size on one number of threads.

  Adds a setting to the results: for each peer its fastest `ways`, and `rounds`,
  a list of `{peer: {"train": sequences/s, "predict": ...}}` with the rate of
  matrix products under "gflops". The first setting's starts are noted too.
  """
  first = not results["settings"]
  live: dict[str, Process] = {}
  setting = {"batch": batch, "threads": threads, "ways": {}, "rounds": []}
  results["settings"].append(setting)
  try:
    # One after the other if starts are noted, otherwise side by side.
    with ThreadPoolExecutor(1 if first else threads) as pool:
      started = pool.map(
        lambda name: start(live, name, folder, batch, threads, flags), names
      )
      for name, (answer, seconds) in zip(names, started, strict=True):
        if isinstance(answer, Failed):
          live.pop(name).kill()
          say(f"  {name} is left out: {str(answer).partition(': ')[2]}")
        elif first:
          count = answer["parameters"]
          say(f"  {name}: first step after {seconds:.1f} s, {count:,} numbers")
          results["versions"] |= answer.pop("versions")
          results["starts"][name] = answer | {"cold": seconds}
    for name, process in live.items():
      ways = {"train": tune(process, "train", batch, flags.seconds)}
      if first:  # before anything but training took any
        results["starts"][name]["memory"] = process.ask("memory")[0]
      ways["predict"] = tune(process, "predict", batch, flags.seconds / 2)
      setting["ways"][name] = ways
      say(f"  {name}: {ways['train']['way']}, {ways['predict']['way']}")
    for n in range(flags.rounds):
      order = list(live)[:: 1 if n % 2 else -1]  # nobody is always after X
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
      say(f"  round {n + 1}, training: {', '.join(best)}")
  finally:
    for process in live.values():
      process.kill()
  for name in CACHING if first else ():  # again, with what they compiled
    if name in live:
      again = {}
      results["starts"][name]["warm"] = start(
        again, name, folder, batch, threads, flags
      )[1]
      again[name].kill()


def start(
  live, name, folder, batch, threads, flags
) -> tuple[dict | Failed, float]:
  """Adds a process to the living ones and sees it through its first step.

  Returns:
    What it answers, or why it failed; and the seconds since it was called.
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
  """Lets a worker find its fastest way, and how many steps fill a block."""
  steps = 1 if batch > 256 else 2
  found = process.ask("tune", kind, steps, 2)[0]
  steps = max(1, round(seconds / found["seconds_a_step"]))
  if steps > BATCHES:  # whole rounds of the batches: Keras's fit has it so
    steps -= steps % BATCHES
  return found | {"steps": steps}


if __name__ == "__main__":
  with shown():
    main()
