"""What a run prints: an overview, its progress, and the result."""

import contextlib
import math
from typing import Any

import jax
from etils import epath
from ml_collections import ConfigDict

from seqsum.models.known_fold import KNOWN_FOLDS
from seqsum.runs.session import Session
from seqsum.runtime.progress import ProgressBar
from seqsum.training.experiment import Schedule
from seqsum.training.scores import number

POST_SEQUENCES = 20 * 60_000  # training sequences of the original post


class Progress:
  """Prints the validations of a run, and shows its steps in a bar.

  Args:
    schedule: The run's schedule.
    shared: A bar over the sequences of many runs; this run then advances it,
      and prints nothing.
  """

  def __init__(self, schedule: Schedule, shared: ProgressBar | None = None):
    self._schedule, self._shared = schedule, shared
    self._bar: Any = shared  # or made by `start`
    self._stack = contextlib.ExitStack()

  def start(self, step: int) -> None:
    """Shows the bar; `step` steps have been taken before."""
    if self._shared is None:
      bar = ProgressBar(
        self._schedule.total, "steps", initial=step, smoothing=0.05
      )
      self._bar = self._stack.enter_context(bar)
    else:
      self.advance(step)

  def advance(self, steps: int) -> None:
    batch_size = self._schedule.batch_size if self._shared else 1
    self._bar.advance(steps * batch_size)

  def training(self, line: dict[str, Any]) -> None:
    """Shows a training line of metrics.jsonl beside the bar."""
    if self._shared:
      self._bar.describe(right=f"mse {number(line['mse'])}")
      return
    rate = f"{line['sequences_per_second']:,.0f} sequences/s"
    self._bar.describe(self._epoch(line), f"{_metrics_text(line)}, {rate}")
    if skipped := line.get("skipped"):
      self.print(
        f"step {line['step']:,}: skipped {skipped} updates that were inf or nan"
      )

  def validation(self, line: dict[str, Any]) -> None:
    """Prints a validation line of metrics.jsonl."""
    self.print(
      f"{self._epoch(line)}, step {line['step']:,}, "
      f"{line['seconds']:,.0f} s: validation {_metrics_text(line)}"
    )

  def print(self, text: str) -> None:
    """Prints a line above the bar."""
    if self._shared is None:
      ProgressBar.print(text)

  def __enter__(self) -> "Progress":
    return self

  def __exit__(self, *exception) -> None:
    self._stack.close()

  def _epoch(self, line: dict[str, Any]) -> str:
    return f"epoch {line['epoch']}/{self._schedule.epochs}"


def _metrics_text(line: dict[str, Any]) -> str:
  return f"mse {number(line['mse'], 4)}, {line['exact_accuracy']:.1%} exact"


def overview(session: Session, has_checkpoint: bool) -> str:
  """The block of lines that a run prints before anything compiles.

  Args:
    session: The run.
    has_checkpoint: Whether its folder has a checkpoint.
  """
  config, schedule = session.config, session.schedule
  parameters = sum(
    math.prod(x.shape)
    for x in jax.tree.leaves(session.abstract_state()[0].params)
  )
  facts = session.data.facts
  frames = {} if facts is None else {"frames": facts.describe_frames()}
  rows = {
    "data": session.data.describe(),
    **frames,
    "model": f"{describe_model(config)}; {parameters:,} parameters",
    "devices": _devices(session),
    "training": f"{schedule.total:,} steps of {config.batch_size:,} sequences "
    f"(epochs: {config.epochs:,}, of {config.sequences_per_epoch:,} sequences)",
    "folder": f"{session.workdir} "
    + ("(has a checkpoint to resume from)" if has_checkpoint else "(new run)"),
  }
  width = max(map(len, rows)) + 2
  return "\n".join(f"{name:{width}}{text}" for name, text in rows.items())


def describe_model(config: ConfigDict) -> str:
  """The layers, from frame to head."""
  model = config.model
  layer = lambda name, widths: f"{name} {'-'.join(map(str, widths))}"
  layers = [layer("conv", model.conv.features)]
  if model.conv.group_size:
    layers[0] += f" normalized in groups of {model.conv.group_size}"
  if model.dense:
    layers.append(layer("dense", model.dense))
  if model.core in KNOWN_FOLDS:
    layers.append(f"core {model.core}")
  elif model.hidden_sizes:
    layers.append(layer(model.core, model.hidden_sizes))
  return ", ".join(layers)


def _devices(session: Session) -> str:
  facts = session.facts()["devices"]
  text = f"{facts['count']} x {facts['kind']}"
  if facts["platform"] == "cpu":
    text += f", {facts['affinity']} of {facts['cores']} cores"
  if facts["processes"] > 1:
    text += f", {facts['processes']} processes"
  text += f"; {session.config.model.dtype}"
  if facts["platform"] == "cpu":  # which the rest does not affect
    return text
  text += f", matmul precision {facts['matmul_precision']}"
  return text if facts["deterministic"] else f"{text}, not deterministic"


def summary_text(summary: dict[str, Any], workdir: epath.PathLike) -> str:
  """The result of a finished run, beside a constant prediction and the post.

  Args:
    summary: Content of summary.json.
    workdir: The run's folder.
  """
  test = summary["test"]
  lines = [
    f"test mse {number(test['mse'], 4)}, mae {number(test['mae'], 4)}, "
    f"{test['exact_accuracy']:.2%} exact, at the best step "
    f"{summary['best_step']:,} ({summary['dataset']}, "
    f"{summary['sequences']:,} sequences in {summary['wall_seconds']:,.0f} s)",
    f"guess the mean: mse {number(summary['guess_the_mean_mse'], 4)}",
  ]
  for name, mse in summary["references"].items():
    lines.append(
      f"{name}: mse {number(mse, 4)} after {POST_SEQUENCES:,} sequences; "
      + _compare(test["mse"], mse, summary["sequences"])
    )
  page = epath.Path(workdir) / "report" / "index.html"
  return "\n".join(lines + [f"see {page}"] * page.exists())


def _compare(mse: float | None, reference: float, sequences: int) -> str:
  """Compares a run's mse with the post's; None is inf or nan.

  A run that was trained on fewer sequences is not called worse.
  """
  is_better = mse is not None and mse < reference
  fraction = sequences / POST_SEQUENCES
  trained = f"{sequences:,} ({fraction:.1%} of them)"
  if not is_better and fraction < 1:
    return f"this run was trained on {trained}"
  result = "this run is better" if is_better else "this run is not better"
  return result if fraction == 1 else f"{result}, after {trained}"
