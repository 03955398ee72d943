"""Seconds of training until a validation metric reaches a target.

    python -m benchmarks.targets --mnist_dir=FOLDER
    python -m benchmarks.targets --check   # a tiny version, on any device

- post: mse 0.61 of configs/sum.py, the result of the original post. The
  learning rate falls over `--epochs` epochs, and not over 20.
- sum2: 98.1% of the sums of two digits, the variant `quick` of
  configs/beyond/sum2.py; ABL takes 47 s on an A100.

Each seed starts from new parameters. Training steps and validations count; the
start of the program, the data and compilation do not, and are printed apart.
"""

import argparse
import json
import pathlib
import statistics
import tempfile
import time
from typing import Any

import jax
from ml_collections import ConfigDict

from benchmarks.process import ROOT
from configs import sum as post
from configs.beyond import sum2
from seqsum.runs.session import open_session
from seqsum.training import parallel, scores
from seqsum.training.metrics import Totals
from seqsum.training.state import TRAIN, VALIDATION
from seqsum.training.step import train_steps

GOALS = {"post": ("mse", 0.61), "sum2": ("exact_accuracy", 0.981)}


def build(name: str, epochs: int) -> ConfigDict:
  config = post.get_config()
  if name == "post":
    config.epochs = epochs
  else:
    study = sum2.get_study()
    config = study.base
    config.update_from_flattened_dict(study.variants["quick"])
  return config


def measure(
  name: str, config: ConfigDict, seeds: int, every: int
) -> dict[str, Any]:
  """Trains each seed until its goal.

  Args:
    name: A key of `GOALS`.
    config: The config.
    seeds: Number of seeds.
    every: Steps between validations.

  Returns:
    "compile": seconds; "seconds" and "sequences" of each seed, None for a seed
    that did not reach the goal.
  """
  metric, goal = GOALS[name]
  with (
    tempfile.TemporaryDirectory() as folder,
    open_session(config, pathlib.Path(folder) / "run") as session,
  ):
    step = parallel.compile_step(
      train_steps, session.mesh, experiment=session.experiment, donate=True
    )
    evaluate, feed = session.evaluator(VALIDATION), session.feed(TRAIN)
    is_cpu = jax.default_backend() == "cpu"
    count = None if is_cpu else every
    state, totals = session.abstract_state()
    seconds = parallel.compile_all(
      [
        step.lower(state, totals, count, 0, *feed(0)),
        session.init.lower(0),
        evaluate.lower(state.evaluated),
      ]
    )
    found: dict[str, Any] = {"compile": seconds, "seconds": [], "sequences": []}
    for seed in range(-1, seeds):  # the first is not counted
      state = jax.block_until_ready(session.init(max(seed, 0)))
      start, taken, reached = time.perf_counter(), 0, False
      while not reached and taken < session.schedule.total:
        totals = session.put(Totals.zero())
        for _ in range(every if is_cpu else 1):
          state, totals = step(state, totals, count, seed, *feed(taken))
        taken += every
        metrics = scores.measure(evaluate(state.evaluated), per_step=False)
        value = metrics[metric]
        reached = value <= goal if metric == "mse" else value >= goal
        if seed < 0:
          break
      if seed < 0:
        continue
      seconds = time.perf_counter() - start
      found["seconds"].append(seconds if reached else None)
      found["sequences"].append(taken * config.batch_size if reached else None)
      print(
        f"{name}: seed {seed}, {taken * config.batch_size:,} sequences, "
        f"{seconds:.2f} s, {metric} {value:.4f}",
        flush=True,
      )
  return found


def line(name: str, found: dict[str, Any]) -> str:
  """One row of the table."""
  metric, goal = GOALS[name]
  seconds = [x for x in found["seconds"] if x is not None]
  sequences = [x for x in found["sequences"] if x is not None]
  spread = statistics.stdev(seconds) if len(seconds) > 1 else 0.0
  mean = f"{statistics.mean(seconds):.2f} ± {spread:.2f}" if seconds else "-"
  count = f"{statistics.mean(sequences):,.0f}" if seconds else "-"
  return (
    f"| {name}: {metric} {goal} | {mean} | {count} | {len(seconds)} of "
    f"{len(found['seconds'])} | {found['compile']:.1f} |"
  )


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  names = lambda text: text.split(",")
  parser.add_argument("--goals", type=names, default=list(GOALS))
  parser.add_argument("--seeds", type=int, default=20)
  parser.add_argument("--epochs", type=int, default=8)
  parser.add_argument("--every", type=int, default=100, help="steps")
  parser.add_argument("--mnist_dir", default="", help="'': the bundled digits")
  parser.add_argument("--out", default=str(ROOT / "benchmarks/results/targets"))
  parser.add_argument("--check", action="store_true", help="a few steps")
  flags = parser.parse_args(argv)
  if unknown := set(flags.goals) - set(GOALS):
    parser.error(f"unknown goals: {', '.join(sorted(unknown))}")
  return flags


def main() -> None:
  flags = parse()
  goals = {}
  for name in flags.goals:
    config, every = build(name, flags.epochs), flags.every
    if flags.mnist_dir:
      config.data.manual_dir = flags.mnist_dir
    else:
      config.data.name = "digits"
    if flags.check:
      config.epochs, config.sequences_per_epoch = 1, 2 * config.batch_size
      config.eval_sequences = config.eval_batch_size = 50
      config.model.conv.features = (2,) * len(config.model.conv.features)
      flags.seeds, every = 1, 1
    goals[name] = measure(name, config, flags.seeds, every)
  results = {
    "date": time.strftime("%Y-%m-%d %H:%M %Z"),
    "device": jax.devices()[0].device_kind,
    "jax": jax.__version__,
    "goals": goals,
  }
  rows = [
    f"{results['date']}; {results['device']}; jax {results['jax']}.",
    "",
    "| goal on the validation split | seconds, mean and deviation | "
    "sequences | seeds that reached it | seconds to compile |",
    "|---|--:|--:|--:|--:|",
    *(line(name, found) for name, found in goals.items()),
  ]
  out = pathlib.Path(flags.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
  out.with_suffix(".md").write_text("\n".join(rows) + "\n")
  print("\n".join(rows))


if __name__ == "__main__":
  main()
