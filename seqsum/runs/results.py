"""What a run comes to: summary.json, the last lines and the report."""

import functools
import math
from typing import Any

import jax
import numpy as np
import optax
from etils import epath

from seqsum.data.recordings import SequenceDataset
from seqsum.models.known_fold import FoldCore
from seqsum.plots import figures, report
from seqsum.runs import folder, run_files
from seqsum.runs.session import Session
from seqsum.runs.writer import History
from seqsum.training import evaluate
from seqsum.training.evaluate import Evaluation, Evaluator
from seqsum.training.metrics import number

POST_MSE = 0.61  # of the blog post of 2016
POST_SEQUENCES = 20 * 60_000  # that it was trained on


def summarize(
  session: Session,
  best: int,
  params: optax.Params,
  reading: Evaluation,
  history: History,
) -> dict[str, Any]:
  """What stands in summary.json."""
  train = [line for line in history if line["split"] == "train"]
  validation = [line for line in history if line["split"] == "validation"]
  steps = np.diff([0] + [line["step"] for line in train])
  rates = np.array([line["sequences_per_second"] for line in train])
  sequences = steps.sum() * session.config.batch_size
  train_seconds = float((steps * session.config.batch_size / rates).sum())
  soon = [x for x in validation if _finite(x["mse"]) <= POST_MSE]
  return {
    "test": history[-1],
    # None if neither the best nor another validated checkpoint was to be used.
    "validation": next((x for x in validation if x["step"] == best), None),
    "best_step": best,
    "parameters": count_parameters(params),
    "dataset": session.data.name,
    "sequences": int(sequences),
    "train_seconds": train_seconds,
    "wall_seconds": history[-1]["seconds"],
    "sequences_per_second": float(sequences / train_seconds),
    f"time_to_mse_{POST_MSE}_seconds": soon[0]["seconds"] if soon else None,
    "guess_the_mean_mse": evaluate.guess_the_mean(
      reading, mean_target(session)
    ),
    "references": references(session),
  }


def mean_target(session: Session) -> np.ndarray | float:
  """[] or [D], the mean of the training targets that the loss asks for.

  These are the final ones, or with `config.task.per_step` those at all real
  steps.
  """
  per_step, data = session.experiment.per_step, session.data
  if isinstance(data, SequenceDataset):
    return data.mean_target(per_step)
  return session.experiment.sampler.mean_target(data.train.labels, per_step)


def _finite(mse: float | None) -> float:
  """A metric as JSON has it; inf where it is null."""
  return math.inf if mse is None else mse


def references(session: Session) -> dict[str, float]:
  """Test mse of others on the same task, to set beside one's own."""
  config = session.config
  posts = (
    session.data.name == "mnist"
    and config.task.name == "sum"
    and (config.sequence.min_len, config.sequence.max_len) == (1, 4)
    and tuple(config.sequence.digits) == tuple(range(10))
    and "video" not in config
  )
  return {"the post, 2016": POST_MSE} if posts else {}


def final_message(summary: dict[str, Any], workdir: str) -> str:
  """What a finished run prints, beside others and beside a guess."""
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
      + _compare(_finite(test["mse"]), mse, summary["sequences"])
    )
  page = epath.Path(workdir) / "report" / "index.html"
  return "\n".join(lines + [f"see {page}"] * page.exists())


def _compare(ours: float, mse: float, sequences: int) -> str:
  """A run beside the post; one that was trained less is not called worse."""
  share = sequences / POST_SEQUENCES
  trained = f"{sequences:,} ({share:.1%} of them)"
  if ours >= mse and share < 1:
    return f"this run was trained on {trained}"
  result = "this run is better" if ours < mse else "this run is not better"
  return result if share == 1 else f"{result}, after {trained}"


def draw(
  session: Session,
  initial: optax.Params,
  params: optax.Params,
  evaluator: Evaluator,
  evaluation: Evaluation,
  summary: dict[str, Any],
) -> dict[str, bytes]:
  """Writes the folder `report/` of a run, finished or not.

  Args:
    session: The run's.
    initial: What training began with.
    params: What made the readings.
    evaluator: Of the split that was read; draws the frames again.
    evaluation: The readings.
    summary: Of a finished run; of one that is not, {}.

  Returns:
    The pictures, PNG files by name.
  """
  history = run_files.read_lines(session.workdir / "metrics.jsonl")
  device = session.facts()["devices"]
  data = session.data
  guess = evaluate.guess_the_mean(evaluation, mean_target(session))
  frames, read_frames = {}, functools.partial(evaluator.frames, evaluation)
  if isinstance(data, SequenceDataset):
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
    evaluation=evaluation,
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
  """The fold that is given, and what tells its digits; None if there is none.

  Returns:
    The task, and `[M, T, H, W, C] frames -> [M, T, D]` probabilities.
  """
  model = session.experiment.model
  if not isinstance(model.known_fold, FoldCore):
    return None
  params = jax.device_get(params)  # on one device: others need not take part

  @jax.jit
  def logarithms(params, frames):
    rows = (len(frames),) * frames.shape[1]
    _, aside = model.read(params, frames, rows, True)
    return aside["inputs"]

  def read(frames: np.ndarray) -> np.ndarray:
    return np.exp(np.asarray(logarithms(params, frames), np.float64))

  return model.known_fold.task, read


def first_filters(params: optax.Params) -> np.ndarray:
  """[kh, kw, C, filters], the kernel of the first convolution."""
  return np.asarray(params["params"]["encoder"]["conv_0"]["kernel"])


def count_parameters(params: optax.Params) -> int:
  return sum(x.size for x in jax.tree.leaves(params))
