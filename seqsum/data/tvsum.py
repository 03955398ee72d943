"""SumMe and TVSum as the field hands them on: `eccv16_dataset_*_pool5.h5`.

The layout is that of Zhang et al. 2016 ("Video summarization with long
short-term memory"), as Zhou et al. 2018 ("Deep reinforcement learning for
unsupervised video summarization") published it: a group a video, and in it

    features         [n_steps, D] float, of the frames in picks; D is 1024
    gtscore          [n_steps] float, importance, the users' mean
    user_summary     [n_users, n_frames], above 0 where a user keeps the frame
    change_points    [n_shots, 2] int, the first and the last frame of each shot
    n_frame_per_seg  [n_shots] int
    n_frames         int, of the video
    picks            [n_steps] int, ascending: which frames were looked at
    user_scores      [n_users, n_frames] float; some files have it
    video_name       text; some files have it
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from seqsum.data import hdf5, natural_order
from seqsum.data.npz import check_precision
from seqsum.runtime.errors import InputError, require


class Video(NamedTuple):
  """One video; see the top of this file.

  Attributes:
    name: Of its group, "video_1".
    title: `video_name`, or None.
    features: [n_steps, D] float32.
    gtscore: [n_steps] float32.
    picks: [n_steps] int64.
    shots: [n_shots, 2] int64, every frame in one of them.
    user_summary: [n_users, n_frames] bool.
    user_scores: [n_users, n_frames] float32, or None.
  """

  name: str
  title: str | None
  features: np.ndarray
  gtscore: np.ndarray
  picks: np.ndarray
  shots: np.ndarray
  user_summary: np.ndarray
  user_scores: np.ndarray | None

  @property
  def n_frames(self) -> int:
    return self.user_summary.shape[1]


def read(path: str | os.PathLike) -> Iterator[Video]:
  """Every video of a file, in the order of their numbers, one at a time.

  Raises:
    InputError: The file cannot be used, or h5py is missing. One line names the
      file, the video and the data set.
  """
  with hdf5.open_file(path) as file:
    with hdf5.named(f"{path}"):
      names = natural_order.sort(file)
      if not names:
        raise InputError("there is no video in it")
    for name in names:
      with hdf5.named(f"{path}: {name!r}"):
        video = _read_video(hdf5.open_group(file, name), name)
      yield video


class Features:
  """A `recordings.Source` of a file: features as frames, gtscore as targets.

  Args:
    path: The file.
    size: Must be ().

  Attributes:
    videos: In the order of their numbers.
  """

  floats, splits = True, None
  pictures, sizes = None, ()  # no file is a picture

  def __init__(self, path: str | os.PathLike, size: tuple[int, ...] = ()):
    require(not size, "data.size", size, "features are no pictures")
    self.videos = list(read(path))
    widths = {video.features.shape[1] for video in self.videos}
    if len(widths) > 1:
      raise InputError(
        f"{path}: features of {min(widths)} to {max(widths)} numbers a frame, "
        "expected the same everywhere"
      )
    self.shape = (1, 1, *widths)
    self.lengths = np.array([len(v.picks) for v in self.videos], np.int32)
    self.targets = np.zeros((len(self.videos), self.lengths.max()), np.float32)
    for row, video in zip(self.targets, self.videos, strict=True):
      row[: len(video.picks)] = video.gtscore
      row[len(video.picks) :] = video.gtscore[-1]
    self.fingerprint = b"".join(
      x.tobytes() for v in self.videos for x in (v.features, v.gtscore)
    )

  def read(self, n: int) -> np.ndarray:
    return self.videos[n].features[:, None, None, :]


def _read_video(group, name: str) -> Video:
  frames = int(hdf5.whole(group, "n_frames", ()))
  if frames < 1:
    raise InputError(f"n_frames: {frames}, must be at least 1")
  features = hdf5.numbers(group, "features", (None, None))
  steps = len(features)
  if not steps:
    raise InputError("features: of no frame at all")
  gtscore = hdf5.numbers(group, "gtscore", (steps,))
  check_precision("gtscore: its values", gtscore[None])
  picks = hdf5.whole(group, "picks", (steps,))
  if (np.diff(picks) <= 0).any() or picks[0] < 0:
    raise InputError("picks: must ascend, from 0 or more")
  if picks[-1] >= frames:
    raise InputError(
      f"picks: frame {picks[-1]} is beyond the last one, {frames - 1}; "
      f"n_frames is {frames}"
    )
  users = hdf5.numbers(group, "user_summary", (None, frames))
  if not len(users):
    raise InputError("user_summary: of no user at all")
  scores = None
  if "user_scores" in group:
    scores = hdf5.numbers(group, "user_scores", (None, frames))
    if not len(scores):
      raise InputError("user_scores: of no user at all")
  title = None
  if "video_name" in group:
    title = hdf5.text(group, "video_name")
  return Video(
    name=name,
    title=title,
    features=features.astype(np.float32),
    gtscore=gtscore.astype(np.float32),
    picks=picks,
    shots=_read_shots(group, frames),
    user_summary=users > 0,
    user_scores=None if scores is None else scores.astype(np.float32),
  )


def _read_shots(group, frames: int) -> np.ndarray:
  """[n_shots, 2] int64."""
  shots = hdf5.whole(group, "change_points", (None, 2))
  with hdf5.named("change_points"):
    check_shots(shots, frames)
  lengths = hdf5.whole(group, "n_frame_per_seg", (len(shots),))
  wrong = np.flatnonzero(lengths != shots[:, 1] - shots[:, 0] + 1)
  if wrong.size:
    i = wrong[0]
    raise InputError(
      f"n_frame_per_seg: {lengths[i]} for shot {i}, which change_points has as "
      f"{shots[i, 0]}..{shots[i, 1]}"
    )
  return shots


def check_shots(shots: np.ndarray, frames: int) -> None:
  """Whether shots cover a video, each frame once.

  Raises:
    InputError: They do not; one line says where.
  """
  if shots.ndim != 2 or shots.shape[1] != 2 or not len(shots):
    raise InputError(
      f"shots of shape {list(shots.shape)}, expected [n_shots, 2]"
    )
  first, last = shots.T.astype(np.int64)
  wanted = np.append(0, last[:-1] + 1)  # where each shot has to start
  for i in np.flatnonzero((first != wanted) | (last < first))[:1]:
    if last[i] < first[i]:
      what = "ends before it starts"
    elif i == 0:
      what = "must start at 0"
    else:
      odd = "overlaps" if first[i] < wanted[i] else "leaves a gap after"
      what = f"{odd} the one before, which ends at {last[i - 1]}"
    raise InputError(f"shot {i} is {first[i]}..{last[i]}: it {what}")
  if last[-1] != frames - 1:
    raise InputError(
      f"the last shot ends at frame {last[-1]}, the last frame is {frames - 1}"
    )
