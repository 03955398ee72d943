"""What a run comes to: summary.json, the last lines and the report."""

import math
from typing import Any

import jax
import numpy as np
import optax

from seqsum import evaluate
from seqsum.evaluate import Evaluation, Evaluator
from seqsum.session import Session
from seqsum.writer import read_lines

POST_MSE = 0.61  # of the blog post of 2016, after 20 epochs


def summarize(
  session: Session,
  best: int,
  params: optax.Params,
  reading: Evaluation,
) -> dict[str, Any]:
  """What stands in summary.json."""
  history = read_lines(session.workdir / "metrics.jsonl")
  train = [line for line in history if line["split"] == "train"]
  validation = [line for line in history if line["split"] == "validation"]
  steps = np.diff([0] + [line["step"] for line in train])
  rates = np.array([line["sequences_per_second"] for line in train])
  sequences = steps.sum() * session.config.batch_size
  train_seconds = float((steps * session.config.batch_size / rates).sum())
  soon = [x for x in validation if (x["mse"] or math.inf) <= POST_MSE]
  return {
    "test": history[-1],
    "validation": next(x for x in validation if x["step"] == best),
    "best_step": best,
    "parameters": sum(x.size for x in jax.tree.leaves(params)),
    "dataset": session.data.name,
    "sequences": int(sequences),
    "train_seconds": train_seconds,
    "wall_seconds": history[-1]["seconds"],
    "sequences_per_second": float(sequences / train_seconds),
    f"time_to_mse_{POST_MSE}_seconds": soon[0]["seconds"] if soon else None,
    "guess_the_mean_mse": evaluate.guess_the_mean(reading),
    "references": references(session),
  }


def references(session: Session) -> dict[str, float]:
  """Test mse of others on the same task, to set beside one's own."""
  sequence = session.config.sequence
  lengths = sequence.min_len, sequence.max_len
  posts = session.config.task.name == "sum" and lengths == (1, 4)
  return {"the post, 2016": POST_MSE} if posts else {}


def last_words(summary: dict[str, Any], workdir: str) -> str:
  """What a finished run prints, beside others and beside a guess."""
  test = summary["test"]
  lines = [
    f"test mse {test['mse']:.4g}, mae {test['mae']:.4g}, "
    f"{test['exact_accuracy']:.2%} exact, at the best step "
    f"{summary['best_step']:,} ({summary['dataset']}, "
    f"{summary['sequences']:,} sequences in {summary['wall_seconds']:,.0f} s)",
    f"guess the mean: mse {summary['guess_the_mean_mse']:.4g}",
  ]
  for name, mse in summary["references"].items():
    better = "better" if test["mse"] < mse else "not better"
    lines.append(f"{name}: mse {mse:.4g}; this run is {better}")
  return "\n".join([*lines, f"see {workdir}/report/index.html"])


def draw(
  session: Session,
  params: optax.Params,
  evaluator: Evaluator,
  evaluation: Evaluation,
  summary: dict[str, Any],
) -> None:
  """Writes the folder `report/`."""
