"""Compares training on one GPU: seqsum, plain Flax and PyTorch.

    pip install -e '.[cuda,bench]'
    python -m benchmarks.gpu --mnist_dir=FOLDER
    KERAS_BACKEND=torch python -m benchmarks.gpu --mnist_dir=FOLDER
    python -m benchmarks.gpu --check   # a tiny version, on any device

Takes some minutes. The network of network.py on sequences of 1 to 4 digits that
every peer draws on the device from images that are there; Keras repeats four
batches that are there. All peers are in one process and take turns of `--steps`
steps; the order reverses from round to round. A process has one backend of
Keras, `$KERAS_BACKEND`: jax, unless it is set. A peer whose package is not
installed is skipped.
"""

import argparse
import functools
import json
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from benchmarks import gpu_keras, gpu_torch, network
from benchmarks.process import ROOT
from configs import sum as post
from seqsum.data import digits
from seqsum.runtime.devices import make_mesh, numerics, set_numerics
from seqsum.training.experiment import build_experiment
from seqsum.training.metrics import Totals
from seqsum.training.parallel import compile_init, compile_step
from seqsum.training.step import train_steps

PRECISIONS = {"fp32": "highest", "tf32": "default", "bf16": "default"}
OURS = ("seqsum", "flax")
KERAS = ("keras-jax", "keras-torch")
LABELS = {
  "seqsum": "seqsum",
  "flax": "Flax, plain",
  "torch-eager": "PyTorch, eager",
  "torch-graph": "PyTorch, CUDA graph",
  "torch-packed-graph": "PyTorch, packed, CUDA graph",
  "keras-jax": "Keras 3 on JAX",
  "keras-torch": "Keras 3 on PyTorch",
}
PEERS = [
  name
  for name in LABELS
  if name not in KERAS or name == f"keras-{gpu_keras.BACKEND}"
]
Block = Callable[[int], Any]  # takes n steps and waits for the last one


def parse(argv: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  names = lambda text: text.split(",")
  numbers = lambda text: [int(x) for x in text.split(",")]
  add = parser.add_argument
  add("--peers", type=names, default=PEERS, help="; ".join(LABELS))
  add("--precisions", type=names, default=list(PRECISIONS))
  add("--batches", type=numbers, default=[32, 128, 512, 2048])
  add("--steps", type=int, default=250, help="steps of a turn")
  add("--rounds", type=int, default=4)
  add("--deterministic", action="store_true", help="seqsum and Flax")
  add("--mnist_dir", default="", help="'': the bundled digits")
  add("--profile", type=int, default=0, help="batch size to profile; 0: none")
  add("--out", default=str(ROOT / "benchmarks/results/gpu"))
  add("--check", action="store_true", help="two steps, a tiny network")
  flags = parser.parse_args(argv)
  if unknown := set(flags.peers) - set(LABELS):
    parser.error(f"unknown peers: {', '.join(sorted(unknown))}")
  if unknown := set(flags.precisions) - set(PRECISIONS):
    parser.error(f"unknown precisions: {', '.join(sorted(unknown))}")
  if flags.check:
    flags.batches, flags.steps, flags.rounds = [8], 2, 1
  return flags


def ours(
  recurrence: str,
  precision: str,
  batch: int,
  images,
  labels,
  *,
  tiny: bool,
  options: dict[str, str] | None = None,
) -> Block:
  """The step of configs/sum.py, several in one call, as `train.py` runs it.

  `options` replace XLA's options for it.
  """
  config = post.get_config()
  config.batch_size = batch
  config.model.recurrence = "fused" if recurrence == "seqsum" else "flax"
  config.sequence.packed = recurrence == "seqsum"
  config.sequence.shift = 0
  if tiny:  # XLA's convolutions are slow in a loop on a CPU
    config.model.conv.features, config.model.hidden_sizes = (2, 2), (4, 4)
    config.model.conv.strides = (4, 2)
  if precision == "bf16":
    config.model.dtype = "bfloat16"
  experiment, mesh = build_experiment(config), make_mesh(jax.devices()[:1])
  state = compile_init(experiment, mesh, images.shape[1:])(0)
  step = compile_step(train_steps, mesh, experiment=experiment, donate=True)
  data = jax.device_put((images, labels), jax.devices()[0])
  with jax.default_matmul_precision(PRECISIONS[precision]):
    lowered = step.lower(state, Totals.zero(), 1, 0, *data)
    compiled = lowered.compile(options)
  carry = [state]

  def block(steps: int) -> float:
    carry[0], totals = compiled(
      carry[0], Totals.zero(), np.int32(steps), np.int32(0), *data
    )
    return jax.device_get(totals).means()["loss"]

  return block


def build(
  name: str, precision: str, batch: int, images, labels, *, tiny: bool
) -> Block:
  if name in OURS:
    return ours(name, precision, batch, images, labels, tiny=tiny)
  if name in KERAS:
    return gpu_keras.block(precision, batch, images, labels)
  kind = name.removeprefix("torch-")
  return gpu_torch.block(kind, precision, batch, images, labels)


def is_installed(name: str) -> bool:
  if name in KERAS:
    return gpu_keras.is_installed()
  return name in OURS or gpu_torch.is_installed()


def measure(flags: argparse.Namespace, batch: int, data) -> dict[str, Any]:
  """Rates of all peers at one batch size.

  Returns:
    "peer precision" -> "first", seconds until the first step is done, compiled
    or captured; "loss" after the last turn; "rates", sequences a second, one a
    round.
  """
  blocks: dict[str, Block] = {}
  found: dict[str, dict[str, Any]] = {}
  # Keras last: if it has loaded TensorFlow, an import of Triton by PyTorch ends
  # the process by a segmentation fault.
  for name in sorted(flags.peers, key=list(LABELS).index):
    if not is_installed(name):
      print(f"{name} is skipped: its packages are not installed")
      continue
    for precision in flags.precisions:
      start = time.perf_counter()
      block = build(name, precision, batch, *data, tiny=flags.check)
      block(1)
      key = f"{name} {precision}"
      blocks[key] = block
      found[key] = {"first": time.perf_counter() - start, "rates": []}
      print(f"batch {batch}: {key} started", flush=True)
  for n in range(flags.rounds):
    for key in list(blocks)[:: 1 if n % 2 else -1]:
      start = time.perf_counter()
      found[key]["loss"] = blocks[key](flags.steps)
      seconds = time.perf_counter() - start
      found[key]["rates"].append(batch * flags.steps / seconds)
  return found


def rate(measured: dict[str, Any], key: str) -> float:
  """Thousands of sequences a second, the median over the rounds."""
  return statistics.median(measured[key]["rates"]) / 1e3


def kernels(batch: int, images, labels, steps: int = 20) -> dict[str, Any]:
  """Time of the step's kernels, by JAX's profiler.

  They are launched one by one here, since the profiler does not see into the
  loop of a CUDA graph. In the graph some run at once.

  Returns:
    "batch"; "kernels": [name, microseconds a step, launches a step], longest
    first.
  """
  options = {"xla_gpu_enable_command_buffer": ""}
  data = images, labels
  block = ours("seqsum", "tf32", batch, *data, tiny=False, options=options)
  block(steps)
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      block(steps)
    (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
    trace = jax.profiler.ProfileData.from_file(str(path))
  found: dict[str, list[float]] = {}
  for plane in trace.planes:
    if not plane.name.startswith("/device:GPU"):
      continue
    for line in plane.lines:
      if "Stream" in line.name:
        for event in line.events:
          entry = found.setdefault(event.name, [0.0, 0.0])
          entry[0] += event.duration_ns / 1e3 / steps
          entry[1] += 1 / steps
  rows = sorted(([k, *v] for k, v in found.items()), key=lambda row: -row[1])
  return {"batch": batch, "kernels": rows}


def kernel_table(profile: dict[str, Any], most: int = 15) -> str:
  """The longest kernels, and the rest in one row."""
  rows = profile["kernels"]
  short = [(f"`{name[:60]}`", time, count) for name, time, count in rows[:most]]
  for name, part in (("the rest", rows[most:]), ("all", rows)):
    short.append((name, sum(x[1] for x in part), sum(x[2] for x in part)))
  return "\n".join(
    [
      f"The kernels of seqsum's step at batch {profile['batch']}, tf32:",
      "",
      "| kernel | us a step | launches a step |",
      "|---|--:|--:|",
      *(
        f"| {name} | {time:.1f} | {count:.3g} |" for name, time, count in short
      ),
    ]
  )


def table(results: dict[str, Any]) -> str:
  settings = results["settings"]
  batches = list(settings)
  versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items())
  lines = [
    f"{results['date']}; {results['device']}; {versions}. Images: "
    f"{results['data']}. Deterministic operations of XLA: "
    f"{results['deterministic']}.",
    "",
    "Thousands of training sequences a second, median over the rounds; in "
    "brackets, seqsum's rate of the same precision divided by the peer's.",
    "",
    f"| batch | {' | '.join(batches)} |",
    f"|---|{'--:|' * len(batches)}",
  ]
  for key in next(iter(settings.values())):
    name, precision = key.split()
    cells = []
    for batch in batches:
      mine = rate(settings[batch], key)
      text = f"{mine:.3g}"
      if (best := f"seqsum {precision}") in settings[batch] and best != key:
        text += f" ({rate(settings[batch], best) / mine:.2f})"
      cells.append(text)
    lines.append(f"| {LABELS[name]}, {precision} | {' | '.join(cells)} |")
  if profile := results.get("profile"):
    lines += ["", kernel_table(profile)]
  return "\n".join(lines) + "\n"


def draw(results: dict[str, Any], path: pathlib.Path) -> None:
  """One panel for each precision: rate against batch size."""
  import matplotlib

  matplotlib.use("agg")
  import matplotlib.pyplot as plt

  settings = results["settings"]
  batches = [int(batch) for batch in settings]
  keys = [key.split() for key in next(iter(settings.values()))]
  precisions = list(dict.fromkeys(precision for _, precision in keys))
  fig, axes = plt.subplots(
    1,
    len(precisions),
    figsize=(1.5 + 3.5 * len(precisions), 4),
    sharey=True,
    squeeze=False,
    layout="constrained",
  )
  for ax, precision in zip(axes[0], precisions, strict=True):
    for name, of in keys:
      if of == precision:
        rates = [rate(x, f"{name} {of}") for x in settings.values()]
        width = 2.5 if name == "seqsum" else 1.2
        ax.plot(batches, rates, "o-", lw=width, ms=4, label=LABELS[name])
    ax.set(xscale="log", yscale="log", title=precision, xlabel="batch size")
    ax.set_xticks(batches, [f"{batch:,}" for batch in batches])
    low, high = ax.get_ylim()
    ticks = [n * 10**k for k in range(-3, 5) for n in (1, 2, 5)]
    ticks = [tick for tick in ticks if low <= tick <= high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.grid(axis="y", alpha=0.3)
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
  axes[0][0].set_ylabel("thousands of sequences a second")
  axes[0][0].legend(fontsize=8, frameon=False)
  fig.suptitle(f"Training on {results['device']}", fontsize=11)
  fig.savefig(path, dpi=150)
  plt.close(fig)


def main() -> None:
  flags = parse()
  if other := set(flags.peers) - set(PEERS):
    raise SystemExit(
      f"{', '.join(sorted(other))}: set KERAS_BACKEND, now {gpu_keras.BACKEND}"
    )
  set_numerics(flags.deterministic, "default")
  device = jax.devices()[0]
  if device.platform == "cpu" and not flags.check:
    raise SystemExit("JAX finds no GPU: see benchmarks.peers, or use --check")
  with tempfile.TemporaryDirectory() as folder:
    name = "mnist" if flags.mnist_dir else "digits"
    load = functools.partial(digits.load, name, fallback="")
    data = load(data_dir=folder, manual_dir=flags.mnist_dir)
  results: dict[str, Any] = {
    "date": time.strftime("%Y-%m-%d %H:%M %Z"),
    "device": device.device_kind,
    "deterministic": numerics(device)["deterministic"],
    "data": data.name,
    "versions": {"jax": jax.__version__}
    | gpu_torch.versions()
    | gpu_keras.versions(),
    "network": {"parameters": network.PARAMETERS},
    "settings": {
      str(batch): measure(flags, batch, data.train) for batch in flags.batches
    },
  }
  if flags.profile:
    results["profile"] = kernels(flags.profile, *data.train)
  out = pathlib.Path(flags.out)
  out.parent.mkdir(parents=True, exist_ok=True)
  out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
  out.with_suffix(".md").write_text(table(results))
  draw(results, out.with_suffix(".png"))
  print(table(results))


if __name__ == "__main__":
  main()
