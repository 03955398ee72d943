"""Which frames of a video matter: what a run says of it, beside the truth.

The orders that are judged: what the network says at each frame, if it was
taught to; those in which its answer is attributed to frames, which nobody
taught it; and what the middle of a video and mere chance come to.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from seqsum.data import tvsum
from seqsum.inference import trained
from seqsum.runs.session import Session
from seqsum.runs.splits import load_data
from seqsum.runtime.errors import InputError
from seqsum.summarization import benchmark
from seqsum.summarization import rank_correlation as rank
from seqsum.summarization.attribution import integrated_gradients, shapley
from seqsum.training import evaluate
from seqsum.training.state import TEST, batch_key

DRAWN = 20  # videos at a time


class Example(NamedTuple):
  """A video and the truth about it.

  Attributes:
    frames: [T, H, W, C].
    truth: [T] float, how important each frame is.
    video: As the field's files have it, with what people chose; or None.
  """

  frames: np.ndarray
  truth: np.ndarray
  video: tvsum.Video | None = None


Score = Callable[[np.ndarray, int], np.ndarray]  # frames, number -> [T]


def examples(session: Session, most: int) -> Iterator[Example]:
  """Videos of the test split, as evaluation draws them.

  Raises:
    InputError: The run's sequences have no value for every frame.
  """
  sampler, data = session.experiment.sampler, load_data(session.config)
  if session.config.data.kind == "videos":
    draw = jax.jit(
      dataclasses.replace(sampler.held_out(DRAWN), with_importance=True)
    )
    for n in range(-(-most // DRAWN)):
      batch = draw(batch_key(evaluate.SEED, TEST, n), *data.test)
      truth = np.asarray(batch.targets[..., -1])
      yield from map(Example, np.asarray(batch.frames), truth)
    return
  if session.config.data.kind == "digits":
    raise InputError(
      f"--workdir={session.workdir}: every frame of a sequence of digits "
      "matters as much as its digit; train configs/importance.py"
    )
  source = data.source
  for n in data.test:
    length = source.lengths[n]
    truth = source.targets[n, :length]
    truth = truth if truth.ndim == 1 else truth[:, -1]
    videos = getattr(source, "videos", None)
    yield Example(source.read(n), truth, videos and videos[n])


def ways(model: trained.Trained) -> dict[str, Score]:
  """How to score the frames of a video, by name."""
  sampler = model.experiment.sampler
  told = lambda frames, n: _last_part(model.predict(frames))
  if sampler.kind != "videos":
    return {"said at each frame": told}
  attribute = jax.jit(_attributions(model))

  @functools.lru_cache(maxsize=1)
  def attributed(n: int, key: bytes) -> dict[str, np.ndarray]:
    frames = np.frombuffer(key, np.uint8).reshape(-1, *model.shape)
    return jax.device_get(attribute(model.params, frames, jax.random.key(n)))

  scores = {"said at each frame": told} if sampler.with_importance else {}
  for name in ("Shapley values", "integrated gradients"):
    scores[name] = lambda frames, n, name=name: attributed(n, frames.tobytes())[
      name
    ]
  return scores


def _last_part(values: np.ndarray) -> np.ndarray:
  return values if values.ndim == 1 else values[:, -1]


def _attributions(model: trained.Trained):
  network, objective = model.experiment.model, model.experiment.objective

  def attribute(params, frames, key):
    def answer(frames):  # [N, T, H, W, C] -> [N]
      last = objective.predict(network.apply(params, frames))[:, -1]
      return last if last.ndim == 1 else last[:, 0]

    frames = frames.astype(jnp.float32) / 255
    return {
      "Shapley values": shapley(answer, frames, key),
      "integrated gradients": integrated_gradients(answer, frames),
    }

  return attribute


def judge(
  found: list[Example], scores: dict[str, Score]
) -> dict[str, dict[str, float]]:
  """Kendall's tau and Spearman's rho of each way, means over videos.

  A video whose frames all matter the same has no order, and does not count.

  Returns:
    Name -> {"kendall", "spearman", ...}, with their standard deviations over
    videos as "kendall_deviation", ...; for the field's files also F-scores.
  """
  scores = scores | {
    "the middle frames": lambda frames, n: rank.middle(len(frames)),
    "chance": lambda frames, n: np.random.default_rng(n).random(len(frames)),
  }
  judged = {name: [] for name in scores}
  for n, example in enumerate(tqdm(found, unit=" videos", disable=None)):
    for name, score in scores.items():
      said = score(example.frames, n)
      if example.video is not None:
        judged[name].append(benchmark.score(example.video, said))
      else:
        judged[name].append(
          {
            "kendall": rank.kendall(said, example.truth),
            "spearman": rank.spearman(said, example.truth),
          }
        )
  results = {}
  for name, videos in judged.items():
    means = {}
    for key in videos[0]:
      values = np.array([video[key] for video in videos])
      values = values[np.isfinite(values)]
      if values.size:
        means |= {
          key: float(values.mean()),
          f"{key}_deviation": float(values.std()),
        }
    results[name] = means
  return results


def table(results: dict[str, dict[str, float]]) -> str:
  """The results as they are printed."""
  columns = [k for k in next(iter(results.values())) if "deviation" not in k]
  wide = max(map(len, results))
  lines = [" " * wide + "".join(f"  {column:>16}" for column in columns)]
  for name, means in results.items():
    cells = "".join(
      f"  {means[c]:9.3f} ± {means[f'{c}_deviation']:.2f}"
      if c in means
      else f"  {'-':>16}"
      for c in columns
    )
    lines.append(f"{name:{wide}}{cells}")
  return "\n".join(lines)
