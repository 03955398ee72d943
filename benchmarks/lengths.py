"""Time, memory and compilation time of a step against sequence length.

    python -m benchmarks.lengths

Measures the post's network on sequences of 1..T digits, with and without
rematerialization of the encoder. If the cost is linear in T, the microseconds
per frame are constant. The compiled programs take turns with a product of two
1,024 x 1,024 matrices, which measures the machine's current speed.
"""

import argparse
import json
import statistics
import time

from seqsum.runtime import malloc

if __name__ == "__main__":
  malloc.restart_with_tunables()

import jax

from benchmarks import machine
from benchmarks.process import ROOT
from benchmarks.profile import SIDE, interleaved, normal, whole_step
from configs import sum as post
from seqsum.training.experiment import build_experiment


def program(max_len: int, frames: int, remat: int) -> dict:
  """Compiles a step on about `frames` frames, in sequences of 1..max_len."""
  config = post.get_config()
  config.sequence.max_len = max_len
  config.batch_size = max(4, round(2 * frames / (max_len + 1)))
  config.model.remat = remat
  begin = time.perf_counter()
  run, compiled = whole_step(config)
  run()
  memory = compiled.memory_analysis()
  return {
    "T": max_len,
    "batch": config.batch_size,
    "frames": sum(build_experiment(config).sampler.rows()),
    "remat": remat,
    "compile_seconds": time.perf_counter() - begin,
    "temporary_mb": memory.temp_size_in_bytes / 1e6,
    "run": run,
  }


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  numbers = lambda text: [int(x) for x in text.split(",")]
  add = parser.add_argument
  add("--lengths", type=numbers, default=[4, 16, 64, 256, 1024], help="T")
  add(
    "--frames",
    type=int,
    default=320,
    help="per step; at least 4 sequences",
  )
  add("--remat", type=numbers, default=[0, 64], help="config.model.remat")
  add("--rounds", type=int, default=5)
  add("--out", default=str(ROOT / "benchmarks/results/lengths"))
  return parser.parse_args(argv)


def main() -> None:
  flags = parse()
  programs = []
  for max_len in flags.lengths:
    for remat in flags.remat:
      programs.append(program(max_len, flags.frames, remat))
      last = programs[-1]
      print(
        f"T {max_len}, remat {remat}: compiled in "
        f"{last['compile_seconds']:.0f} s",
        flush=True,
      )
  side = normal(SIDE, SIDE)
  product = jax.jit(lambda a: a @ a)
  runs = [lambda: product(side), *(x.pop("run") for x in programs)]
  unit, *ms = (
    1e3 * statistics.median(seconds)
    for seconds in interleaved(runs, flags.rounds)
  )
  for each, median in zip(programs, ms, strict=True):
    each["ms"] = median
  results = {
    "machine": machine.describe(),
    "product_of_1024_ms": unit,
    "programs": programs,
  }
  lines = [
    f"Product of two 1,024 x 1,024 matrices: {unit:.1f} ms.",
    "",
    "| T | sequences | frames | `remat` | ms/step | us/frame | temporary MB | "
    "KB/frame | compilation, s |",
    "|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
  ]
  for x in programs:
    lines.append(
      f"| {x['T']:,} | {x['batch']} | {x['frames']:,} | {x['remat']} | "
      f"{x['ms']:.0f} | {1e3 * x['ms'] / x['frames']:.0f} | "
      f"{x['temporary_mb']:.0f} | {1e3 * x['temporary_mb'] / x['frames']:.0f} "
      f"| {x['compile_seconds']:.0f} |"
    )
  text = "\n".join(lines) + "\n"
  out = ROOT / flags.out
  out.parent.mkdir(parents=True, exist_ok=True)
  out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
  out.with_suffix(".md").write_text(text)
  print("\n" + text)


if __name__ == "__main__":
  main()
