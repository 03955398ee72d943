"""Rank correlations of a run's frame scores with the true importance.

Rankings of frames: by the predicted importance, if the model was trained on it;
by attributions of its final prediction; by distance to the video's middle; and
random. The videos of SumMe and TVSum are judged as `benchmark` describes.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from seqsum.data import tvsum
from seqsum.data.video_benchmark import FeatureSource
from seqsum.inference.trained import TrainedModel
from seqsum.runs.dataset import load_data
from seqsum.runs.session import Run
from seqsum.runtime.errors import InputError
from seqsum.summarization import annotations, benchmark
from seqsum.summarization import rank_correlation as rank
from seqsum.summarization.attribution import integrated_gradients, shapley
from seqsum.training import evaluate
from seqsum.training.state import TEST, batch_key

BATCH = 20  # videos
CHANCE = "chance"
Results = dict[str, dict[str, float]]  # ranking -> metric -> value


class Example(NamedTuple):
  """A video and the true importance of its frames."""

  frames: np.ndarray  # [T, H, W, C]
  truth: np.ndarray  # [T] float, the importance of each frame
  video: tvsum.Video | None = None  # annotations of SumMe or TVSum


Score = Callable[[np.ndarray, int], np.ndarray]  # frames, number -> [T]


def read_examples(run: Run, count: int) -> list[Example]:
  """The first videos of the test split, at most `count`.

  Raises:
    InputError: The run's sequences have no importance of each frame.
  """
  return list(itertools.islice(_examples(run), count))


def _examples(run: Run) -> Iterator[Example]:
  data: Any = load_data(run.config)  # `Digits`, or a `SequenceDataset`
  sampler = run.experiment.sampler
  if sampler.kind == "videos":
    draw = jax.jit(
      dataclasses.replace(sampler.held_out(BATCH), with_importance=True)
    )
    for n in itertools.count():
      batch = draw(batch_key(evaluate.SEED, TEST, n), *data.test)
      truth = np.asarray(batch.targets[..., -1])
      yield from map(Example, np.asarray(batch.frames), truth)
  if sampler.kind == "digits":
    raise InputError(
      f"--workdir={run.workdir}: the importance of a frame is its digit in "
      "this run; train configs/importance.py"
    )
  source = data.source
  videos: Sequence[tvsum.Video | None] = [None] * len(data.test)
  if isinstance(source, FeatureSource):
    videos = chosen = [source.videos[n] for n in data.test]
    if source.benchmark.annotations:
      path = Path(source.benchmark.annotations)
      videos = annotations.add(chosen, path)
  for n, video in zip(data.test, videos, strict=True):
    truth = last_part(source.targets[n, : source.lengths[n]])
    yield Example(source.read(n), truth, video)


def make_scores(model: TrainedModel) -> dict[str, Score]:
  """Functions that score the frames of a video, by name of the ranking."""
  sampler: Any = model.experiment.sampler
  predicted = lambda frames, n: last_part(model.predict(frames))
  if sampler.kind != "videos":
    return {"predicted importance": predicted}
  attribute = jax.jit(_make_attribute(model))

  @functools.lru_cache(maxsize=1)
  def attributions(n: int, key: bytes) -> dict[str, np.ndarray]:
    frames = np.frombuffer(key, np.uint8).reshape(-1, *model.shape)
    return jax.device_get(attribute(model.params, frames, jax.random.key(n)))

  def attributed(name: str, frames: np.ndarray, n: int) -> np.ndarray:
    return attributions(n, frames.tobytes())[name]

  scores: dict[str, Score] = {}
  if sampler.with_importance:
    scores["predicted importance"] = predicted
  for name in ("Shapley values", "integrated gradients"):
    scores[name] = functools.partial(attributed, name)
  return scores


def last_part(values: np.ndarray) -> np.ndarray:
  return values if values.ndim == 1 else values[:, -1]


def _make_attribute(model: TrainedModel):
  apply: Callable[..., Any] = model.experiment.model.apply
  objective = model.experiment.objective

  def attribute(params, frames, key):
    def predict(frames):  # [N, T, H, W, C] -> [N]
      values, probabilities = objective.decode(apply(params, frames))
      if probabilities is not None:  # the mean, which has a gradient
        return probabilities[:, -1] @ objective.support(frames.shape[1])
      return values[:, -1] if values.ndim == 2 else values[:, -1, 0]

    frames = frames.astype(jnp.float32) / 255
    return {
      "Shapley values": shapley(predict, frames, key),
      "integrated gradients": integrated_gradients(predict, frames),
    }

  return attribute


def judge(examples: Iterable[Example], scores: dict[str, Score]) -> Results:
  """Kendall's tau and Spearman's rho of each ranking, means over videos.

  Videos whose frames all have the same importance are left out.

  Returns:
    Name -> {"kendall", "spearman", ...} and their standard deviations over
    videos, "kendall_deviation", ...; for SumMe and TVSum `benchmark.METRICS`,
    "chance" is the mean of several random rankings, and there is "people".
  """
  scores = scores | {
    "the middle of the video": lambda frames, n: rank.middle(len(frames)),
    CHANCE: lambda frames, n: np.random.default_rng(n).random(len(frames)),
  }
  metrics: dict[str, list[dict[str, float]]] = {name: [] for name in scores}
  people = []
  for n, example in enumerate(tqdm(examples, unit=" videos", disable=None)):
    for name, score in scores.items():
      if example.video is None:
        predicted = score(example.frames, n)
        found = dict(
          zip(
            ("kendall", "spearman"),
            rank.correlate(predicted, example.truth),
            strict=True,
          )
        )
      elif name == CHANCE:
        found = benchmark.score_random(example.video, n)
      else:
        found = benchmark.score(example.video, score(example.frames, n))
      metrics[name].append(found)
    if example.video is not None:
      people.append(benchmark.score_people(example.video))
  if any(people):
    metrics["people"] = people
  return {name: _mean(videos) for name, videos in metrics.items()}


def _mean(videos: list[dict[str, float]]) -> dict[str, float]:
  """Means and standard deviations over the videos that have a metric."""
  means: dict[str, float] = {}
  for key in dict.fromkeys(itertools.chain(*videos)):
    values = np.array([video[key] for video in videos if key in video])
    values = values[np.isfinite(values)]
    if values.size:
      means[key] = float(values.mean())
      means[f"{key}_deviation"] = float(values.std())
  return means


def measure(run: Run, params: optax.Params) -> Results:
  """Judges a run's parameters on the videos of the test split.

  At most `config.eval_sequences`. For `Study.measure`; `params` are the run's
  `TrainState.evaluated`.
  """
  experiment = run.experiment
  model = TrainedModel(
    name=run.workdir.name,
    step=0,
    experiment=experiment,
    params=params,
    shape=experiment.sampler.shape,
  )
  examples = itertools.islice(_examples(run), run.config.eval_sequences)
  return judge(examples, make_scores(model))


def table(results: Results) -> str:
  """The results as text."""
  metrics = {metric for means in results.values() for metric in means}
  if metrics & benchmark.METRICS.keys() > {"kendall", "spearman"}:
    return benchmark.table(results)
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
