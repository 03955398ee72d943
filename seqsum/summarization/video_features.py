"""A video file -> features of frames, shots, and the usual HDF5 layout.

The file is the one that `data/tvsum.py` reads, without annotations. Attributes
of the file, "network" and "network_sha256", name what computed the features.
"""

import contextlib
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from seqsum.data import tvsum, video_files
from seqsum.inference.frame_features import BATCH, FeatureNetwork
from seqsum.runtime import files
from seqsum.runtime.errors import InputError
from seqsum.runtime.object_storage import is_remote
from seqsum.runtime.progress import ProgressBar
from seqsum.summarization import shots

RATE = 2.0  # sampled frames a second
MAX_BYTES = 1 << 30  # of the features of a video
HDF5 = "HDF5 needs h5py: pip install 'seqsum[video]'"


class VideoFeatures(NamedTuple):
  """Sampled frames of a video.

  Attributes:
    features: [n_steps, ...], one for each sampled frame.
    picks: [n_steps] int64, ascending, numbers of the sampled frames.
    seconds: [n_steps] float64, their times.
    n_frames: Number of frames of the video.
    duration: Time of the last frame, in seconds.
  """

  features: np.ndarray
  picks: np.ndarray
  seconds: np.ndarray
  n_frames: int
  duration: float


def check_rate(rate: float) -> None:
  """Raises `InputError` unless a rate can be used."""
  if not 0.001 <= rate <= 240:  # also refuses nan
    raise InputError(f"--rate={rate}: must be in 0.001..240 frames a second")


def sample(
  path: str | os.PathLike,
  rate: float,
  channels: int,
  prepare: Callable[[np.ndarray], np.ndarray],
  compute: Callable[[Sequence[np.ndarray]], np.ndarray],
) -> VideoFeatures:
  """Decodes a video once and computes features of `rate` frames a second.

  The first frame at or after each multiple of 1 / rate is sampled. At most
  `BATCH` frames are in memory.

  Args:
    path: A video file.
    rate: Sampled frames a second.
    channels: Of the frames that `prepare` gets, 1 or 3.
    prepare: [h, w, channels] uint8 -> input of `compute` for one frame.
    compute: At most `BATCH` inputs -> [N, ...].

  Raises:
    InputError: The video cannot be read or has no frame, or its features need
      more than 1 GiB.
  """
  waiting: list[np.ndarray] = []
  found: list[np.ndarray] = []
  picks: list[int] = []
  seconds: list[float] = []
  size = 0

  def flush():
    nonlocal size
    found.append(compute(waiting))
    waiting.clear()
    size += found[-1].nbytes
    if size > MAX_BYTES:
      raise InputError(
        f"{path}: the features of {len(picks):,} frames exceed {MAX_BYTES:,} "
        "bytes; lower --rate, or cut the video"
      )

  count, last, due = 0, 0.0, 0.0
  for frame in watch(path):
    count, last = frame.number + 1, frame.seconds
    if last < due:
      continue
    due = (math.floor(last * rate + 1e-6) + 1) / rate - 1e-6
    with video_files.errors(path):
      picture = frame.pixels(channels)
    waiting.append(prepare(picture))
    picks.append(frame.number)
    seconds.append(last)
    if len(waiting) == BATCH:
      flush()
  if not count:
    raise InputError(f"{path}: {video_files.NO_FRAME}")
  if waiting:
    flush()
  return VideoFeatures(
    np.concatenate(found), np.array(picks), np.array(seconds), count, last
  )


def watch(path: str | os.PathLike) -> Iterator[video_files.VideoFrame]:
  """`video_files.frames_of`, with a progress bar on a terminal."""
  name = os.path.basename(path)
  with ProgressBar(video_files.estimate_length(path), "frames") as bar:
    bar.describe(left=name if name.isprintable() else ascii(name))
    for frame in video_files.frames_of(path):
      yield frame
      bar.advance(1)


def find_shots(video: VideoFeatures, penalty: float = 1.0) -> np.ndarray:
  """[n_shots, 2] int64: first and last frame of each shot.

  They are those of `shots.find`; each begins with a sampled frame, the first
  with frame 0.
  """
  flat = video.features.reshape(len(video.picks), -1)
  starts = video.picks[shots.find(flat, penalty)]
  starts[0] = 0
  ends = np.append(starts[1:], video.n_frames) - 1
  return np.stack([starts, ends], axis=1)


def write(
  out: str,
  paths: Sequence[str],
  network: FeatureNetwork,
  rate: float = RATE,
  penalty: float = 1.0,
) -> int:
  """Writes one HDF5 file for some videos, and prints a line for each.

  Args:
    out: The file, replaced when all videos have been read.
    paths: Video files; they become the groups video_1, video_2, ... One that
      cannot be read is left out, with an error in one line.
    network: Computes the features.
    rate: Sampled frames a second.
    penalty: See `shots.find`.

  Returns:
    The number of videos that were left out.

  Raises:
    InputError: No video can be read, or the file cannot be written.
  """
  try:
    import h5py
  except ImportError as error:
    raise InputError(f"--out={out}: {HDF5}") from error
  if is_remote(out):
    raise InputError(f"--out={out}: HDF5 is written on this machine's disks")
  check_rate(rate)
  if not 0 < penalty < math.inf:
    raise InputError(f"--shot_penalty={penalty}: must be above 0")
  titles = Counter(map(_title, paths))
  for path in paths:
    if titles[_title(path)] > 1:
      raise InputError(
        f"{path}: {titles[_title(path)]} videos have this name, but for their "
        "folders and endings; rename one, or write two files"
      )
  failed = 0
  with files.open_atomically(out) as stream, h5py.File(stream, "w") as file:
    file.attrs["network"] = network.name
    file.attrs["network_sha256"] = network.sha256
    file.attrs["rate"] = rate
    for path in paths:
      try:
        video = sample(
          path, rate, network.channels, network.prepare, network.compute
        )
      except InputError as error:
        if not str(error).startswith(str(path)):
          raise  # the network's, not the video's
        failed += 1
        logging.error("%s", error)
        continue
      found = find_shots(video, penalty)
      _write_group(
        file.create_group(f"video_{len(file) + 1}"), path, video, found
      )
      ProgressBar.print(
        f"{path}: {video.n_frames:,} frames, {len(video.picks):,} sampled, "
        f"{video.features.shape[1]:,} features each, {len(found):,} shots"
      )
    if failed == len(paths):
      raise InputError(f"{out}: not written, no video could be read")
  return failed


def _write_group(
  group: Any, path: str, video: VideoFeatures, found: np.ndarray
) -> None:
  for key, value in {
    "features": video.features,
    "picks": video.picks.astype(np.int32),
    "n_frames": np.int32(video.n_frames),
    "n_steps": np.int32(len(video.picks)),
    "change_points": found.astype(np.int32),
    "n_frame_per_seg": (found[:, 1] - found[:, 0] + 1).astype(np.int32),
    "video_name": _title(path),
  }.items():
    group[key] = value


def read(
  path: str | os.PathLike, video: str | os.PathLike
) -> tuple[VideoFeatures, np.ndarray]:
  """Reads the features and the shots of one video.

  Args:
    path: The HDF5 file.
    video: The video's file. Its group is the one whose `video_name` is the name
      of the file, or the only one.

  Returns:
    The features, without times (nan), and [n_shots, 2] int64.

  Raises:
    InputError: The file is damaged, or does not contain the video.
  """
  titles, title = tvsum.titles(path), _title(video)
  names = [name for name in titles if titles[name] == title]
  if not names and len(titles) == 1:
    names = list(titles)
  if len(names) != 1:
    number = "several videos are" if names else "none of its videos is"
    raise InputError(
      f"{path}: {number} named {title!r}; write the video's own file"
    )
  (found,) = tvsum.read(path, names)
  if found.shots is None or found.features is None:
    raise InputError(f"{path}: {names[0]!r}: change_points: missing")
  seconds = np.full(len(found.picks), np.nan)
  features = VideoFeatures(
    found.features, found.picks, seconds, found.n_frames, np.nan
  )
  return features, found.shots


def _title(path: str | os.PathLike) -> str:
  """The `video_name` of a file."""
  name = os.path.splitext(os.path.basename(path))[0]
  name = name.encode(errors="backslashreplace").decode()
  return tvsum.printable(name)


def read_network(path: str | os.PathLike) -> tuple[str, str] | None:
  """Name and SHA-256 of the network of a file's features, if it has them."""
  with contextlib.suppress(Exception):  # absent, damaged, or of others
    import h5py

    if os.path.isfile(path):
      with h5py.File(path, "r", locking=False) as file:
        found = [file.attrs[x] for x in ("network", "network_sha256")]
      name, digest = (str(x)[:200] for x in found)
      return name if name.isprintable() else ascii(name), digest
  return None
