"""Print what a run is about to do: data, model, devices, steps and folder."""

import math

import jax
from ml_collections import ConfigDict

from seqsum.runs.session import Session


def overview(session: Session, found: bool) -> str:
  """The block of lines that a run prints before anything compiles.

  Args:
    session: The run's.
    found: Whether its folder holds a checkpoint.
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
    + ("(has a checkpoint to resume from)" if found else "(new run)"),
  }
  wide = max(map(len, rows)) + 2
  return "\n".join(f"{name:{wide}}{text}" for name, text in rows.items())


def describe_model(config: ConfigDict) -> str:
  """The layers, from a frame to the head."""
  model = config.model
  widths = lambda name, numbers: f"{name} {'-'.join(map(str, numbers))}"
  layers = [widths("conv", model.conv.features)]
  if model.dense:
    layers.append(widths("dense", model.dense))
  if model.core in ("fold", "additive"):
    layers.append(f"core {model.core}")
  elif model.hidden_sizes:
    layers.append(widths(model.core, model.hidden_sizes))
  return ", ".join(layers)


def _devices(session: Session) -> str:
  facts = session.facts()["devices"]
  text = f"{facts['count']} x {facts['kind']}"
  if facts["platform"] == "cpu":
    text += f", {facts['affinity']} of {facts['cores']} cores"
  if facts["processes"] > 1:
    text += f", {facts['processes']} processes"
  return f"{text}; {session.config.model.dtype}"
