"""Writes results as a Markdown page."""

import statistics
from typing import Any

from benchmarks import network

LABELS = {
  "seqsum": "seqsum",
  "flax": "Flax, plain",
  "keras-jax": "Keras on JAX",
  "keras-torch": "Keras on PyTorch",
  "keras-tensorflow": "Keras on TensorFlow",
  "torch-eager": "PyTorch, eager",
  "torch-compiled": "PyTorch, compiled",
  "torch-shared": "PyTorch, shared padding",
  "torch-packed": "PyTorch, packed",
  "torch-packed-compiled": "PyTorch, packed, compiled",
}
MALLOC = {
  "tuned": "GLIBC_TUNABLES is set for all peers to the value that seqsum sets "
  "for itself.",
  "default": "GLIBC_TUNABLES is set only for seqsum, which sets it itself.",
}
PADDED, REAL = network.TIME, (network.TIME + 1) / 2  # frames per sequence


def rates(setting: dict[str, Any], name: str, kind: str) -> list[float]:
  """Sequences/s of a peer in each round."""
  return [rates[name][kind] for rates in setting["rounds"]]


def limit(setting: dict[str, Any], frames: float, kind: str) -> float | None:
  """Roofline: sequences/s if only matrix products took time."""
  measured = [r["gflops"] for r in setting["rounds"] if r["gflops"]]
  if not measured:
    return None
  cost = network.flops(frames, train=kind == "train")
  return 1e9 * max(measured) / cost


def write(results: dict[str, Any]) -> str:
  machine = results["machine"]
  versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items())
  lines = [
    f"{results['date']}; {machine['cpu']}, {machine['cores']} cores, "
    f"{machine['memory_gb']} GB; {machine['system']}, Python "
    f"{machine['python']}; {versions}. Images: {results['data']}. Load by "
    f"other programs before the run: {machine['busy_percent']:.0f}%.",
    "",
    "Sequences per second: median, minimum and maximum over the rounds. "
    "*times*: seqsum's rate divided by the peer's, median over the rounds. "
    + MALLOC[results["malloc"]],
    "",
  ]
  for setting in results["settings"]:
    lines += [*_setting(setting), ""]
  lines += _starts(results)
  return "\n".join(lines) + "\n"


def _setting(setting: dict[str, Any]) -> list[str]:
  cores = "one core" if setting["threads"] == 1 else "all cores"
  lines = [
    f"| batch {setting['batch']}, {cores} | train | | times | predict | | "
    "times |",
    "|---|--:|--:|--:|--:|--:|--:|",
  ]
  for name in setting["ways"]:
    row = [LABELS[name]]
    for kind in ("train", "predict"):
      mine = rates(setting, name, kind)
      row += [
        f"{statistics.median(mine):,.0f}",
        f"{min(mine):,.0f} to {max(mine):,.0f}",
      ]
      if "seqsum" in setting["ways"]:
        pairs = zip(rates(setting, "seqsum", kind), mine, strict=True)
        row.append(f"{statistics.median(a / b for a, b in pairs):.2f}")
      else:
        row.append("")
    lines.append(f"| {' | '.join(row)} |")
  if limit(setting, PADDED, "train"):
    top = max(r["gflops"] for r in setting["rounds"])
    for label, frames in (("padded", PADDED), ("no padding", REAL)):
      train = network.flops(frames, train=True) / 1e6
      predict = network.flops(frames, train=False) / 1e6
      lines.append(
        f"| roofline, {label}: {train:.0f} and {predict:.0f} MFLOP/sequence at "
        f"{top:.0f} GFLOP/s | {limit(setting, frames, 'train'):,.0f} | | | "
        f"{limit(setting, frames, 'predict'):,.0f} | | |"
      )
  return lines


def _starts(results: dict[str, Any]) -> list[str]:
  first = results["settings"][0]
  lines = [
    f"| start-up, batch {first['batch']} | first step, s | first step with a "
    "compilation cache, s | peak memory of training, MB | parameters |",
    "|---|--:|--:|--:|--:|",
  ]
  for name, start in results["starts"].items():
    warm = f"{start['warm']:.1f}" if "warm" in start else ""
    lines.append(
      f"| {LABELS[name]} | {start['cold']:.1f} | {warm} | "
      f"{start['memory']:,.0f} | {start['parameters']:,} |"
    )
  if command := results.get("command"):
    lines.append(
      f"| `python -m seqsum.main`, whole run | {command['cold']:.1f} | "
      f"{command['warm']:.1f} | {command['memory']:,.0f} | |"
    )
  return lines
