"""Checks a long run for memory leaks, open files and slowdown.

    pip install -e '.[test]'
    python -m benchmarks.soak --steps=200000

Trains the tiny config for the given number of steps, with validation and
checkpoints, and samples the process twice a second: resident memory, open
files, threads. Step times are from metrics.jsonl. Writes <out>.json and
<out>.png. The exit code is 1 if memory grew by more than 5% after warm-up, or
if the number of open files grew.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import psutil

from benchmarks import machine

LIMIT = 0.05  # allowed growth of memory
MEMORY, FILES, PACE = "#0072B2", "#D55E00", "#009E73"
Samples = list[dict[str, float]]


def flags(steps: int, workdir: pathlib.Path) -> list[str]:
  """Flags of `seqsum.main`: an epoch about every 5,000 steps."""
  epochs = max(1, steps // 5_000)
  return [
    "--config=configs/sum_tiny.py",
    f"--workdir={workdir}",
    f"--config.epochs={epochs}",
    f"--config.sequences_per_epoch={16 * steps // epochs}",
    "--config.batch_size=16",
    "--config.log_every=100",
    "--config.checkpoint.every_steps=1000",
  ]


def watch(process: subprocess.Popen, workdir: pathlib.Path) -> Samples:
  """Samples the process from the first logged step until the report."""
  begin, samples = time.monotonic(), []
  seen = psutil.Process(process.pid)
  path = workdir / "metrics.jsonl"
  while process.poll() is None:
    step = last_step(path)
    try:
      if step and not (workdir / "report").exists():
        samples.append(
          {
            "seconds": time.monotonic() - begin,
            "step": step,
            "resident_mb": seen.memory_info().rss / 1e6,
            "files": seen.num_fds(),
            "threads": seen.num_threads(),
          }
        )
    except psutil.NoSuchProcess:
      break
    time.sleep(0.5)
  return samples


def last_step(path: pathlib.Path) -> int:
  """Step of the last complete line; 0 without one, or for the test's."""
  if not path.exists():
    return 0
  with path.open("rb") as file:
    file.seek(max(0, path.stat().st_size - 4096))
    lines = file.read().split(b"\n")[:-1]
  for line in reversed(lines):
    try:
      found = json.loads(line)
    except ValueError:  # a line longer than the block read
      return 0
    return found["step"] if found["split"] != "test" else 0
  return 0


def paces(path: pathlib.Path) -> list[list[float]]:
  """[step, ms per step] of every training line."""
  lines = [json.loads(line) for line in path.read_text().splitlines()]
  batch = 16
  return [
    [x["step"], 1e3 * batch / x["sequences_per_second"]]
    for x in lines
    if x["split"] == "train"
  ]


def judge(samples: Samples, paces: list[list[float]]) -> dict[str, Any]:
  """Compares the last fifth of the run with the second, after warm-up."""
  fifth = samples[-1]["step"] / 5
  warm = [x for x in samples if fifth <= x["step"] < 2 * fifth]
  late = [x for x in samples if x["step"] >= 4 * fifth]
  middle = lambda some, key: statistics.median(x[key] for x in some)
  memory = middle(late, "resident_mb") / middle(warm, "resident_mb") - 1
  files = middle(late, "files") - middle(warm, "files")
  early = [ms for step, ms in paces if fifth <= step < 2 * fifth]
  last = [ms for step, ms in paces if step >= 4 * fifth]
  return {
    "steps": samples[-1]["step"],
    "samples": len(samples),
    "resident_mb": middle(late, "resident_mb"),
    "peak_resident_mb": max(x["resident_mb"] for x in samples),
    "memory_growth": memory,
    "files_growth": files,
    "threads_growth": middle(late, "threads") - middle(warm, "threads"),
    "step_ms": statistics.median(last),
    "step_time_growth": statistics.median(last) / statistics.median(early) - 1,
    "is_flat": memory <= LIMIT and files <= 0,
  }


def draw(
  samples: Samples, paces: list[list[float]], path: pathlib.Path
) -> None:
  """Draws memory, open files and step time over steps."""
  steps = [x["step"] for x in samples]
  figure, axes = plt.subplots(
    3, 1, figsize=(8, 7), sharex=True, layout="constrained"
  )
  rows = (
    ("resident memory, MB", steps, [x["resident_mb"] for x in samples], MEMORY),
    ("open files", steps, [x["files"] for x in samples], FILES),
    ("ms a step", *zip(*paces, strict=True), PACE),
  )
  for ax, (label, x, y, color) in zip(axes, rows, strict=True):
    is_pace = color == PACE
    look = {"marker": ".", "ls": "", "ms": 2} if is_pace else {"lw": 1}
    ax.plot(x, y, color=color, **look)
    top = sorted(y)[int(0.99 * (len(y) - 1))] if is_pace else max(y)
    ax.set_ylim(0, 1.25 * top)
    ax.set_ylabel(label)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e5e5e5")
  axes[-1].set_xlabel("training steps")
  axes[-1].xaxis.set_major_formatter("{x:,.0f}")
  figure.savefig(path, dpi=130)
  plt.close(figure)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--steps", type=int, default=200_000)
  parser.add_argument("--out", default="benchmarks/results/soak")
  return parser.parse_args(argv)


def main() -> int:
  options = parse()
  out = pathlib.Path(options.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory() as home:
    workdir = pathlib.Path(home) / "run"
    process = subprocess.Popen(
      [sys.executable, "-m", "seqsum.main", *flags(options.steps, workdir)],
      env=os.environ,
      stdout=subprocess.DEVNULL,
    )
    samples = watch(process, workdir)
    if process.returncode not in (0, 130, 143):  # finished, or stopped
      sys.exit(f"seqsum.main: exit code {process.returncode}, see above")
    pace = paces(workdir / "metrics.jsonl")
  try:
    verdict = judge(samples, pace)
  except (IndexError, statistics.StatisticsError):
    sys.exit(
      f"--steps={options.steps} is too short to compare: use ten times as many"
    )
  result = verdict | {
    "machine": machine.describe(),
    "sampled": samples,
    "step_ms_by_step": pace,
  }
  out.with_suffix(".json").write_text(json.dumps(result) + "\n")
  draw(samples, pace, out.with_suffix(".png"))
  for name, value in verdict.items():
    print(
      f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}"
    )
  return 0 if verdict["is_flat"] else 1


if __name__ == "__main__":
  sys.exit(main())
