"""Results of a run: the content of summary.json, and the report."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax
from absl import logging
from etils import epath
from ml_collections import ConfigDict

from seqsum.plots import figures, report
from seqsum.runs import folder
from seqsum.runs.history import History, read_lines
from seqsum.runs.restore import restore_best
from seqsum.runs.session import Session, open_session
from seqsum.runtime import malloc, processes
from seqsum.training import scores
from seqsum.training.evaluate import Evaluator, Predictions
from seqsum.training.state import TEST

POST_MSE = 0.61  # test mse of the original post (Ben Caine, 2016)


def summarize(
  session: Session,
  best: int,
  params: optax.Params,
  predictions: Predictions,
  history: History,
) -> dict[str, Any]:
  """The content of summary.json.

  Args:
    session: The run.
    best: The step that was tested.
    params: Its parameters.
    predictions: Those of the test split.
    history: Lines of metrics.jsonl, the test line last.
  """
  train = [line for line in history if line["split"] == "train"]
  validation = [line for line in history if line["split"] == "validation"]
  steps = np.diff([0] + [line["step"] for line in train])
  rates = np.array([line["sequences_per_second"] for line in train])
  sequences = steps.sum() * session.config.batch_size
  train_seconds = float((steps * session.config.batch_size / rates).sum())
  reached = [
    x for x in validation if x["mse"] is not None and x["mse"] <= POST_MSE
  ]
  return {
    "test": history[-1],
    # None if no validated checkpoint could be used.
    "validation": next((x for x in validation if x["step"] == best), None),
    "best_step": best,
    "parameters": count_parameters(params),
    "dataset": session.data.name,
    "sequences": int(sequences),
    "train_seconds": train_seconds,
    "wall_seconds": history[-1]["seconds"],
    "sequences_per_second": float(sequences / train_seconds),
    f"time_to_mse_{POST_MSE}_seconds": reached[0]["seconds"]
    if reached
    else None,
    "guess_the_mean_mse": scores.guess_the_mean(
      predictions, mean_target(session)
    ),
    "references": references(session),
  }


def mean_target(session: Session) -> np.ndarray | float:
  """[] or [D], mean of the training targets that the loss uses.

  The final targets, or with `config.task.per_step` those of all real steps.
  """
  experiment = session.experiment
  return session.data.mean_target(experiment.sampler, experiment.per_step)


def references(session: Session) -> dict[str, float]:
  """Published test mse on the same task and data, by name."""
  config = session.config
  is_same_task = (
    session.data.name == "mnist"
    and config.task.name == "sum"
    and (config.sequence.min_len, config.sequence.max_len) == (1, 4)
    and tuple(config.sequence.digits) == tuple(range(10))
    and config.data.kind == "digits"
  )
  return {"the post, 2016": POST_MSE} if is_same_task else {}


def write_report(
  session: Session,
  params: optax.Params,
  evaluator: Evaluator,
  predictions: Predictions,
  summary: dict[str, Any],
) -> dict[str, bytes]:
  """Writes the folder `report/` of a run, finished or interrupted.

  An error is logged, since a run without a report still needs summary.json.
  All processes must call it; the lead writes.

  Args:
    session: The run.
    params: Parameters that made the predictions.
    evaluator: Evaluator of the same split; draws the frames again.
    predictions: What the parameters predict.
    summary: Content of summary.json; {} if the run was interrupted.

  Returns:
    The figures, PNG files by name; {} on other processes or after an error.
  """
  malloc.trim()
  initial = session.init(session.config.seed).params
  if not processes.is_lead():
    return {}
  try:
    return _report(session, initial, params, evaluator, predictions, summary)
  except Exception as error:
    logging.warning(
      "could not write %s: %s: %s",
      *(session.workdir / "report", type(error).__name__, error),
    )
    return {}


def _report(
  session: Session,
  initial: optax.Params,
  params: optax.Params,
  evaluator: Evaluator,
  predictions: Predictions,
  summary: dict[str, Any],
) -> dict[str, bytes]:
  history = read_lines(session.workdir / "metrics.jsonl")
  device = session.facts()["devices"]
  data = session.data
  guess = scores.guess_the_mean(predictions, mean_target(session))
  read_frames: Callable[..., np.ndarray] = functools.partial(
    evaluator.frames, predictions
  )
  frames = {}
  if data.facts is not None:
    frames["frames"] = data.facts.describe_frames()
    read_ink = read_frames
    read_frames = lambda *args: figures.grey_to_rgb(read_ink(*args))
  facts = {
    "data": f"{data.name}, sha256 {data.sha256[:12]}",
    **frames,
    "parameters": f"{count_parameters(params):,}",
    "training": f"{history[-1]['step'] * session.config.batch_size:,} "
    f"sequences in {history[-1]['seconds']:,.0f} s"
    if history
    else "none",
    "devices": f"{device['count']} x {device['kind']}",
    "versions": ", ".join(
      f"{name} {version}" for name, version in folder.versions().items()
    ),
  }
  return report.write_report(
    session.workdir / "report",
    name=session.workdir.name,
    task=session.experiment.sampler.task.name,
    history=history,
    evaluation=predictions,
    read_frames=read_frames,
    kernels={
      "before": first_filters(initial),
      "after": first_filters(params),
    },
    facts=facts,
    references={"guess the mean": guess, **references(session)},
    best_step=summary.get("best_step"),
    fold=_fold(session, params),
  )


def _fold(session: Session, params: optax.Params):
  """The task of a model with a known fold, and its digit classifier.

  Returns:
    The task, and a function from frames [M, T, H, W, C] to probabilities
    [M, T, D]; None for a model that learns the fold.
  """
  model, fold = session.experiment.model, session.experiment.objective.fold
  if fold is None:
    return None
  params = jax.device_get(params)  # the lead computes alone

  @jax.jit
  def log_probabilities(params, frames):
    rows = (len(frames),) * frames.shape[1]
    _, variables = model.apply(params, frames, rows, mutable=["intermediates"])
    return variables["intermediates"]["fold_inputs"][0]

  def probabilities(frames: np.ndarray) -> np.ndarray:
    return np.exp(np.asarray(log_probabilities(params, frames), np.float64))

  return fold.task, probabilities


def first_filters(params: optax.Params) -> np.ndarray:
  """[kh, kw, C, F], the kernel of the first convolution."""
  return np.asarray(params["params"]["encoder"]["conv_0"]["kernel"])


def count_parameters(params: optax.Params) -> int:
  """The number of scalars in a tree of arrays."""
  return sum(x.size for x in jax.tree.leaves(params))


def test_again(config: ConfigDict, workdir: epath.PathLike) -> dict[str, Any]:
  """Tests the best checkpoint of a run; writes nothing.

  Returns:
    The metrics, with the step of the checkpoint.
  """
  with (
    open_session(config, workdir, is_new=False) as session,
    session.checkpoints() as checkpoints,
  ):
    session.warn_of_changes()
    best, state = restore_best(session, checkpoints)
  predictions = session.evaluator(TEST)(state.evaluated)
  metrics = scores.measure(predictions, session.experiment.per_step)
  return {"step": best, **metrics, **scores.break_down(predictions)}
