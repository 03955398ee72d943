r"""How well a run knows which frames of a video matter; and a summary of one.

    python -m seqsum.importance --workdir=runs/importance

reads videos of the test split and sets orders of their frames beside the truth:
the order of what the network says at each frame, if it was taught to; those in
which its answer is attributed to frames, which nobody taught it; and what the
middle of a video and mere chance come to. It leaves importance.json, and of the
first video summary.png and summary.mp4, in the run's folder `report/`.

A run on sequences of one's own whose target is the importance of each frame,
such as SumMe's and TVSum's (`eccv16:FILE`), is judged in the same way.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from etils import epath
from tqdm import tqdm

from seqsum import (
  clips,
  command,
  eccv16,
  evaluate,
  folder,
  keyshots,
  summary_chart,
  trained,
)
from seqsum import rank_correlation as rank
from seqsum.attribution import integrated_gradients, shapley
from seqsum.errors import InputError
from seqsum.recipe import TEST, batch_key
from seqsum.session import Session, load_data, open_trained
from seqsum.videos import VideoSampler

flags.adopt_module_key_flags(command)
WORKDIR = flags.DEFINE_string("workdir", None, "The folder of a run.")
OUT = flags.DEFINE_string(
  "out", None, "Where results go; by default the run's report/."
)
VIDEOS = flags.DEFINE_integer("videos", 100, "How many to read, at most.")
SHARE = flags.DEFINE_float(
  "share", keyshots.SHARE, "Of a video's frames that its summary may keep."
)
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
  video: eccv16.Video | None = None


Score = Callable[[np.ndarray, int], np.ndarray]  # frames, number -> [T]


def examples(session: Session, most: int) -> Iterator[Example]:
  """Videos of the test split, as evaluation draws them.

  Raises:
    InputError: The run's sequences have no value for every frame.
  """
  sampler, data = session.recipe.sampler, load_data(session.config)
  if isinstance(sampler, VideoSampler):
    draw = jax.jit(
      dataclasses.replace(sampler.held_out(DRAWN), with_importance=True)
    )
    for n in range(-(-most // DRAWN)):
      batch = draw(batch_key(evaluate.SEED, TEST, n), *data.test)
      truth = np.asarray(batch.targets[..., -1])
      yield from map(Example, np.asarray(batch.frames), truth)
    return
  if not session.config.data.name.startswith(("npz:", "frames:", "eccv16:")):
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
  sampler = model.recipe.sampler
  told = lambda frames, n: _last_part(model.predict(frames))
  if not isinstance(sampler, VideoSampler):
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
  network, objective = model.recipe.model, model.recipe.objective

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
        judged[name].append(eccv16.score(example.video, said))
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


def main() -> int:
  """Judges a run; returns the exit code."""
  if WORKDIR.value is None:
    raise InputError("--workdir is missing: name the folder of a run")
  if VIDEOS.value < 1:
    raise InputError(f"--videos={VIDEOS.value}: must be at least 1")
  keyshots.budget(1, SHARE.value)
  command.keep_programs()
  session = open_trained(WORKDIR.value)
  model = trained.load(WORKDIR.value)
  found = []
  for example in examples(session, VIDEOS.value):
    found.append(example)
    if len(found) == VIDEOS.value:
      break
  scores = ways(model)
  results = judge(found, scores)
  print(f"{len(found)} videos of the test split, {model.name}")
  print(table(results))
  out = epath.Path(OUT.value or session.workdir / "report")
  try:
    out.mkdir(parents=True, exist_ok=True)
    written = _write(out, results, found[0], next(iter(scores.values())))
  except OSError as error:
    raise InputError(f"{out}: cannot be written ({error.strerror})") from error
  print("see " + ", ".join(str(out / name) for name in written))
  return 0


def _write(
  out: epath.Path,
  results: dict[str, dict[str, float]],
  example: Example,
  score: Score,
) -> list[str]:
  """Writes the files; returns their names."""
  folder.write_json(out / "importance.json", results)
  written = ["importance.json"]
  if example.frames.dtype != np.uint8 or min(example.frames.shape[1:3]) < 2:
    return written  # features of frames are nothing to look at
  said = score(example.frames, 0)
  kept = keyshots.keep(said, None, SHARE.value)
  png = summary_chart.draw(example.frames, said, kept, example.truth)
  folder.write_whole(out / "summary.png", png)
  clips.write(out / "summary.mp4", example.frames[kept])
  return [*written, "summary.png", "summary.mp4"]


if __name__ == "__main__":
  command.run(main)
