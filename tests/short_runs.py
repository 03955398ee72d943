"""Short runs, and functions that read and compare them."""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

ROOT = pathlib.Path(__file__).parent.parent
# Flags of a run of 40 steps that validates twice and saves every 5 steps.
QUICK = (
  "--config=configs/sum_tiny.py",
  "--config.epochs=2",
  "--config.sequences_per_epoch=160",
  "--config.batch_size=8",
  "--config.log_every=4",
  "--config.eval_sequences=48",
  "--config.eval_batch_size=32",
  "--config.checkpoint.every_steps=5",
)
QUICK_VIDEOS = (  # digit videos
  "--config=configs/importance.py",
  *QUICK[1:],
  "--config.data.name=digits",
  "--config.model.core=gru",
  "--config.model.conv.features=(4,4,4)",
  "--config.model.conv.kernels=(4,3,3)",
  "--config.model.conv.strides=(2,2,2)",
  "--config.model.conv.pool=(1,1,1)",
  "--config.model.hidden_sizes=(8,)",
  "--config.loss=mse",
  "--config.task.target=standard",
  "--config.sequence.max_len=6",
  "--config.sequence.min_len=6",
  "--config.video.windows=2",
  "--config.video.side=32",
)
WHEN = ("seconds", "sequences_per_second")  # differ between equal runs


def first(cases, fast=1):
  """Parameters of a test: the first few cases are fast, the others slow."""
  cases = [case if type(case) is tuple else (case,) for case in cases]
  return [
    pytest.param(*case, marks=() if n < fast else pytest.mark.slow)
    for n, case in enumerate(cases)
  ]


def init(model, frames, seed=0):
  """A model's parameters."""
  one = jax.ShapeDtypeStruct((1, 1, *frames.shape[2:]), frames.dtype)
  return jax.jit(lambda key: model.lazy_init(key, one))(jax.random.key(seed))


def start(environment, workdir, *flags):
  return subprocess.Popen(
    [sys.executable, "-m", "seqsum.main", *QUICK, f"--workdir={workdir}"]
    + list(flags),
    cwd=ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def line(step, split="train", **values):
  """A complete line of metrics.jsonl."""
  return {
    "step": step,
    "epoch": 1,
    "split": split,
    "loss": 1.0,
    "mse": 1.0,
    "mae": 1.0,
    "exact_accuracy": 0.5,
    "sequences_per_second": 100.0,
    "seconds": float(step),
  } | values


def lines(workdir):
  text = (workdir / "metrics.jsonl").read_text()
  return [
    {k: v for k, v in json.loads(line).items() if k not in WHEN}
    for line in text.splitlines()
  ]


def summary(workdir):
  return json.loads((workdir / "summary.json").read_text())


def state(workdir):
  """The arrays of the newest checkpoint, read by Orbax alone."""
  step = max(int(p.name) for p in (workdir / "checkpoints").iterdir())
  here = jax.sharding.SingleDeviceSharding(jax.devices()[0])
  with ocp.Checkpointer(ocp.StandardCheckpointHandler()) as checkpointer:
    tree = checkpointer.restore(
      workdir / "checkpoints" / str(step) / "state",
      args=ocp.args.StandardRestore(fallback_sharding=here),
    )
  return step, [np.asarray(x) for x in jax.tree.leaves(tree)]


def assert_same_run(one, other):
  assert lines(one) == lines(other)
  (step, arrays), (other_step, other_arrays) = state(one), state(other)
  assert step == other_step
  for a, b in zip(arrays, other_arrays, strict=True):
    np.testing.assert_array_equal(a, b)


def assert_same_summary(one, other):
  ours, theirs = summary(one), summary(other)
  for key in ("test", "validation"):
    for clock in WHEN:
      ours[key].pop(clock), theirs[key].pop(clock)
  for clock in ("train_seconds", "wall_seconds", *WHEN):
    ours.pop(clock, None), theirs.pop(clock, None)
  assert ours == theirs
