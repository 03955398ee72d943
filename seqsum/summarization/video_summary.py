"""A run's scores of a video file, and its summary as a picture and a video."""

import dataclasses
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging
from etils import epath
from PIL import Image

from seqsum.data import video_files
from seqsum.inference.frame_features import EncoderNetwork
from seqsum.inference.trained import TrainedModel
from seqsum.runs.session import Run
from seqsum.runtime import files
from seqsum.runtime.errors import InputError
from seqsum.summarization import (
  benchmark,
  chart,
  judge,
  keyshots,
  video_features,
  video_writer,
)
from seqsum.summarization.video_features import VideoFeatures

THUMBNAIL = 192  # pixels, longest side of a frame in the picture
ENCODED = 64  # frames that the network's encoder takes at once


def write(
  run: Run,
  model: TrainedModel,
  path: str,
  features: str | None,
  folder: epath.Path,
  share: float = keyshots.SHARE,
  rate: float = video_features.RATE,
) -> list[str]:
  """Writes scores.json, summary.png and summary.mp4 of a video.

  The video is decoded frame by frame, once for its scores if the run takes
  pictures, and once for its summary. Shots are kept as for SumMe and TVSum; if
  none is short enough, the best parts between two sampled frames are.

  Args:
    run: The run, trained on the importance of each frame.
    model: Its model.
    path: The video file.
    features: An HDF5 file of `seqsum.features` with this video, for a run on
      features; None for a run on pictures.
    folder: Of the three files.
    share: Of the video's frames in the summary.
    rate: Sampled frames a second, for a run on pictures.

  Returns:
    The names of the files.

  Raises:
    InputError: The video or the features cannot be used with this run, or a
      file cannot be written.
  """
  _check_run(run)
  if model.takes_floats:
    video, shots = _read_features(run, model, path, features)
    inputs = video.features[:, None, None, :]
  else:
    video, shots = _read_pictures(model, path, features, rate)
    inputs = video.features
  scores = _predict(model, inputs)
  kept = choose(scores, video, shots, share)
  folder.mkdir(parents=True, exist_ok=True)
  second = _SecondPass(
    path, video, kept, chart.shown(scores, kept[video.picks])
  )
  video_writer.write_timed(folder / "summary.mp4", second.kept(), second.rate)
  png = chart.draw(
    second.thumbnails, scores, kept[video.picks], seconds=second.seconds
  )
  files.write_atomically(folder / "summary.png", png)
  content = {
    "video": os.path.basename(path),
    "run": model.name,
    "step": model.step,
    "n_frames": video.n_frames,
    "kept_frames": int(kept.sum()),
    "kept": _runs(kept),
    "picks": video.picks.tolist(),
    "seconds": np.round(second.seconds, 6).tolist(),
    "scores": scores.tolist(),
    "shots": shots.tolist(),
  }
  files.write_json(folder / "scores.json", content)
  return ["scores.json", "summary.png", "summary.mp4"]


def _check_run(run: Run) -> None:
  """Raises `InputError` unless the run predicts importance at each frame."""
  sampler: Any = run.experiment.sampler
  where = f"--workdir={run.workdir}: "
  if sampler.kind == "digits":
    raise InputError(
      f"{where}a run on digits has no importance of video frames; train "
      "configs/importance.py or configs/summarize.py"
    )
  if not run.config.task.per_step or (
    sampler.kind == "videos" and not sampler.with_importance
  ):
    raise InputError(
      f"{where}the run predicts one value of a whole video; train with "
      "--config.task.per_step=True and the importance of each frame"
    )


def _read_features(
  run: Run, model: TrainedModel, path: str, features: str | None
) -> tuple[VideoFeatures, np.ndarray]:
  width = model.shape[-1]
  trained = f"{model.name} was trained on features of {width:,} numbers"
  data = os.path.expanduser(run.config.data.name.partition(":")[2])
  data = os.path.join(os.path.expanduser(run.config.data.data_dir or ""), data)
  network = video_features.read_network(data)
  if network:
    trained += f" by {network[0]}"
  if features is None:
    raise InputError(
      f"--features is missing: {trained}; write those of this video with "
      "python -m seqsum.features and the same network, and name the file"
    )
  video, shots = video_features.read(features, path)
  found = video_features.read_network(features)
  theirs = f"--features={features}: {video.features.shape[1]:,} numbers a frame"
  theirs += f" by {found[0]}" if found else ""
  if model.shape != (1, 1, video.features.shape[1]):
    raise InputError(
      f"{theirs}, but {trained}; write the features with the same network"
    )
  if network and found and network[1] != found[1]:
    logging.warning(
      "%s (SHA-256 %.8s), but %s (%.8s): another network",
      theirs,
      found[1],
      trained,
      network[1],
    )
  return video, shots


def _read_pictures(
  model: TrainedModel, path: str, features: str | None, rate: float
) -> tuple[VideoFeatures, np.ndarray]:
  if features is not None:
    raise InputError(
      f"--features={features}: {model.name} takes frames of shape "
      f"{model.shape}, not features; omit the flag"
    )
  video_features.check_rate(rate)
  network = EncoderNetwork(model)
  video = video_features.sample(
    path, rate, network.channels, network.prepare, np.stack
  )
  size = video_features.BATCH
  encoded = [
    network.compute(list(video.features[n : n + size]))
    for n in range(0, len(video.features), size)
  ]
  found = video._replace(features=np.concatenate(encoded))
  return video, video_features.find_shots(found)


def _predict(model: TrainedModel, inputs: np.ndarray) -> np.ndarray:
  """Frames [T, H, W, C] -> [T] float32, the importance of each."""
  module: Any = model.experiment.model
  if hasattr(module, "remat"):  # bounds the memory of a long video
    experiment = dataclasses.replace(
      model.experiment, model=module.clone(remat=ENCODED)
    )
    model = dataclasses.replace(model, experiment=experiment)
  scores = judge.last_part(model.predict(inputs))
  if not np.isfinite(scores).all():
    raise InputError(f"{model.name}: a predicted importance is nan or inf")
  return scores


def choose(
  scores: np.ndarray, video: VideoFeatures, shots: np.ndarray, share: float
) -> np.ndarray:
  """Frames of the summary, [n_frames] bool, at least one.

  Args:
    scores: [n_steps] float, finite.
    video: The sampled frames.
    shots: [n_shots, 2] int.
    share: Of the frames in the summary.
  """
  everywhere = benchmark.upsample(scores, video.picks, video.n_frames)
  kept = keyshots.keep(everywhere, shots, share)
  if kept.any():
    return kept
  # No shot is short enough: take the best parts, from one sampled frame to the
  # next.
  room = keyshots.budget(video.n_frames, share)
  starts = np.append(0, video.picks[1:])
  ends = np.append(starts[1:], video.n_frames)
  for step in np.argsort(-scores, kind="stable"):
    length = min(ends[step] - starts[step], room)
    kept[starts[step] : starts[step] + length] = True
    room -= length
  return kept


def _runs(kept: np.ndarray) -> list[list[int]]:
  """First and last frame of each run of kept frames."""
  edges = np.diff(kept.astype(np.int8), prepend=0, append=0)
  starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
  return np.stack([starts, ends], axis=1).tolist()


class _SecondPass:
  """Decodes a video again, for the frames of its summary.

  Attributes:
    rate: Mean number of frames a second of the video.
    seconds: [n_steps], times of the sampled frames.
    thumbnails: [n_steps, h, w, 3] uint8; those that the picture does not show
      are zero, and take no memory.
  """

  def __init__(
    self, path: str, video: VideoFeatures, kept: np.ndarray, shown: np.ndarray
  ):
    self._path, self._video, self._kept = path, video, kept
    self._shown = set(video.picks[shown].tolist())
    self.seconds = np.zeros(len(video.picks))
    self.thumbnails = np.zeros((len(video.picks), 0, 0, 3), np.uint8)
    self.rate = video_files.DEFAULT_RATE
    if video.duration > 0:
      rate = (video.n_frames - 1) / video.duration
      self.rate = min(max(rate, 0.01), 240.0)

  def kept(self) -> Iterator[tuple[np.ndarray, float]]:
    """Yields kept frames and their times in the summary; see `_SecondPass`."""
    steps = {pick: n for n, pick in enumerate(self._video.picks.tolist())}
    count, elapsed = 0, 0.0
    before: float | None = None  # time of the frame before, if it was kept
    for frame in video_features.watch(self._path):
      count = frame.number + 1
      if count > self._video.n_frames:
        break
      if before is not None:
        elapsed += frame.seconds - before
      before = None
      step = steps.get(frame.number)
      if step is not None:
        self.seconds[step] = frame.seconds
      keep = bool(self._kept[frame.number])
      show = frame.number in self._shown
      if keep or show:
        with video_files.errors(self._path):
          picture = frame.pixels()
        if show and step is not None:
          self._add(step, picture)
        if keep:
          before = frame.seconds
          yield picture, elapsed
    if count != self._video.n_frames:
      raise InputError(
        f"{self._path}: its features are of {self._video.n_frames:,} frames, "
        "the video has another number; run seqsum.features on it again"
      )

  def _add(self, step: int, picture: np.ndarray) -> None:
    if not self.thumbnails.size:
      scale = min(1.0, THUMBNAIL / max(picture.shape[:2]))
      size = [max(1, round(side * scale)) for side in picture.shape[:2]]
      self.thumbnails = np.zeros((len(self.seconds), *size, 3), np.uint8)
    height, width = self.thumbnails.shape[1:3]
    image = Image.fromarray(picture).resize((width, height), reducing_gap=2)
    self.thumbnails[step] = np.asarray(image)
