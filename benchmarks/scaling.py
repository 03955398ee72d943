"""Scaling of a training step over devices: measurements and a model.

    python -m benchmarks.scaling

Measures the post's network on 1, 2, 4 and 8 devices, with strong scaling (one
batch, divided) and weak scaling (a fixed batch per device). The bytes that a
step reduces are read from the compiled program, the time in all-reduces from
the profiler. On a CPU, eight virtual devices share its cores, which checks the
program but not its speed. The last table is a model, computed from the flags
--chip_rate, --link and --latency.
"""

import argparse
import json
import math
import os
import pathlib
import re
import statistics
import tempfile
import time
from collections.abc import Callable

from seqsum.runtime import malloc

if __name__ == "__main__":
  malloc.restart_with_tunables()

import jax

from benchmarks import machine
from benchmarks.process import ROOT
from benchmarks.profile import interleaved, whole_step
from configs import sum as post

VIRTUAL = 8  # devices on a CPU
CHIPS = (1, 8, 32, 64, 128, 256)
BYTES = {"f32": 4, "f16": 2, "bf16": 2, "s32": 4, "u32": 4, "pred": 1}


def reduced_bytes(program: str) -> int:
  """Bytes that the all-reduces of a program read on one device.

  Args:
    program: The compiled program, `jax.stages.Compiled.as_text()`.
  """
  total = 0
  for line in program.splitlines():
    found = re.search(r"= (.*?) all-reduce(?:-start)?\(", line)
    if not found:
      continue
    for kind, shape in re.findall(r"(\w+)\[([\d,]*)\]", found[1]):
      sides = [int(n) for n in shape.split(",") if n]
      total += BYTES[kind] * math.prod(sides)
  return total


def ring_seconds(
  size: float, devices: int, rate: float, latency: float = 0.0
) -> float:
  """Seconds of a ring all-reduce (Patarasuk & Yuan 2009).

  Every device sends 2 (n - 1) / n of the bytes, in 2 (n - 1) messages.

  Args:
    size: Bytes to reduce.
    devices: n.
    rate: Bytes per second that each device sends.
    latency: Seconds per message.
  """
  messages = 2 * (devices - 1)
  return messages / devices * size / rate + messages * latency


def efficiency(
  per_device: int,
  devices: int,
  *,
  sequences_per_second: float,
  size: float,
  rate: float,
  latency: float,
) -> float:
  """Fraction of a step spent computing, without overlap of the all-reduce.

  Args:
    per_device: Sequences per step and device.
    devices: Number of devices.
    sequences_per_second: Rate of one device.
    size, rate, latency: See `ring_seconds`.
  """
  compute = per_device / sequences_per_second
  return compute / (compute + ring_seconds(size, devices, rate, latency))


def batch_for(share: float, devices: int, **link: float) -> int:
  """Smallest number of sequences per device with an efficiency of `share`."""
  seconds = ring_seconds(
    link["size"], devices, link["rate"], link.get("latency", 0.0)
  )
  needed = share / (1 - share) * seconds
  return math.ceil(needed * link["sequences_per_second"])


def share_reduced(run: Callable, devices: int, steps: int = 5) -> float:
  """Fraction of device time in all-reduces, by the profiler."""
  with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    with jax.profiler.trace(folder):
      for _ in range(steps):
        result = run()
      jax.block_until_ready(result)
      wall = time.perf_counter() - start
    (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
    trace = jax.profiler.ProfileData.from_file(os.fspath(path))
  spent = sum(
    event.duration_ns
    for plane in trace.planes
    for line in plane.lines
    for event in line.events
    if re.match(r"all-reduce|nccl.*AllReduce", event.name)
  )
  return spent / 1e9 / (wall * devices)


def measure(counts: list[int], strong: int, weak: int, rounds: int) -> list:
  """Measures each kind of scaling on each number of devices, in turns."""
  lines = []
  for kind in ("strong", "weak"):
    for n in counts:
      config = post.get_config()
      config.batch_size = strong if kind == "strong" else weak * n
      run, program = whole_step(config, n)
      lines.append(
        {
          "scaling": kind,
          "devices": n,
          "batch": config.batch_size,
          "reduced_bytes": reduced_bytes(program.as_text()),
          "run": run,
        }
      )
      print(f"{kind}, {n} device(s): compiled", flush=True)
  times = interleaved([line["run"] for line in lines], rounds)
  for line, seconds in zip(lines, times, strict=True):
    run, n = line.pop("run"), line["devices"]
    line["seconds"] = statistics.median(seconds)
    line["sequences_per_second"] = line["batch"] / line["seconds"]
    line["share_reduced"] = share_reduced(run, n) if n > 1 else 0.0
  return lines


def table(lines: list[dict]) -> str:
  rows = [
    "| scaling | devices | batch | sequences/s | relative to one device | MB "
    "reduced per step | time in all-reduce |",
    "|---|--:|--:|--:|--:|--:|--:|",
  ]
  for x in lines:
    one = next(y for y in lines if y["scaling"] == x["scaling"])
    ratio = x["sequences_per_second"] / one["sequences_per_second"]
    rows.append(
      f"| {x['scaling']} | {x['devices']} | {x['batch']} | "
      f"{x['sequences_per_second']:,.0f} | {ratio:.2f} | "
      f"{x['reduced_bytes'] / 1e6:.1f} | {x['share_reduced']:.0%} |"
    )
  return "\n".join(rows)


def model_table(batches: list[int], **link: float) -> str:
  """Modelled efficiency for batches per chip, and the batch for 90%."""
  rows = [
    "| chips | all-reduce, ms | "
    + " | ".join(f"{n:,} per chip" for n in batches)
    + " | batch per chip for 90% | total batch |",
    "|--:|--:|" + "--:|" * (len(batches) + 2),
  ]
  for chips in CHIPS:
    ms = 1e3 * ring_seconds(link["size"], chips, link["rate"], link["latency"])
    shares = [f"{efficiency(n, chips, **link):.0%}" for n in batches]
    need = batch_for(0.9, chips, **link)
    rows.append(
      f"| {chips} | {ms:.2f} | {' | '.join(shares)} | {need:,} | "
      f"{need * chips:,} |"
    )
  return "\n".join(rows)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  numbers = lambda text: [int(x) for x in text.split(",")]
  add = parser.add_argument
  add("--devices", type=numbers, default=[1, 2, 4, 8])
  add("--strong", type=int, default=128, help="sequences per step")
  add("--weak", type=int, default=32, help="sequences per step and device")
  add("--rounds", type=int, default=5)
  add("--chip_rate", type=float, default=100e3, help="sequences/s of one chip")
  add("--link", type=float, default=100e9, help="bytes/s that a chip sends")
  add("--latency", type=float, default=1e-6, help="seconds per message")
  add("--batches", type=numbers, default=[128, 1024, 8192])
  add("--out", default=str(ROOT / "benchmarks/results/scaling"))
  return parser.parse_args(argv)


def main() -> None:
  flags = parse()
  jax.config.update("jax_num_cpu_devices", VIRTUAL)
  if len(jax.devices()) < max(flags.devices):
    raise SystemExit(
      f"--devices={max(flags.devices)}: only {len(jax.devices())} available"
    )
  lines = measure(flags.devices, flags.strong, flags.weak, flags.rounds)
  text = table(lines)
  if jax.default_backend() == "cpu":
    text += (
      f"\n\nVirtual devices on {os.cpu_count()} threads of a CPU: this checks "
      "the program, not its speed."
    )
  size = max(x["reduced_bytes"] for x in lines)
  text += (
    f"\n\nModel: ring all-reduce of {size:,} bytes, {flags.link / 1e9:g} GB/s "
    f"and {1e6 * flags.latency:g} us per message, {flags.chip_rate:,.0f} "
    "sequences/s per chip, no overlap.\n\n"
  )
  text += model_table(
    flags.batches,
    sequences_per_second=flags.chip_rate,
    size=size,
    rate=flags.link,
    latency=flags.latency,
  )
  out = ROOT / flags.out
  out.parent.mkdir(parents=True, exist_ok=True)
  results = {"machine": machine.describe(), "steps": lines}
  out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
  out.with_suffix(".md").write_text(text + "\n")
  print("\n" + text)


if __name__ == "__main__":
  main()
