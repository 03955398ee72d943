"""SumMe and TVSum in their usual HDF5 files, `eccv16_dataset_*_pool5.h5`.

The layout is that of Zhang et al. 2016 ("Video summarization with long
short-term memory"), published by Zhou et al. 2018 ("Deep reinforcement learning
for unsupervised video summarization"): one group for each video, with

    features         [n_steps, D] float, of the frames in picks; D is 1024
    gtscore          [n_steps] float, importance, the users' mean
    user_summary     [n_users, n_frames], above 0 where a user keeps the frame
    change_points    [n_shots, 2] int, first and last frame of each shot
    n_frame_per_seg  [n_shots] int
    n_frames         int, number of frames of the video
    picks            [n_steps] int, ascending, the frames that were subsampled
    user_scores      [n_users, n_frames] float, optional
    video_name       text, optional

Needs h5py: pip install 'seqsum[video]'. The files are untrusted: links to other
files are refused, and sizes are checked before data is read.
"""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqsum.data import natural_order
from seqsum.data.targets import check_precision
from seqsum.runtime.errors import InputError, one_line
from seqsum.sequences.pixel_rule import PixelRule

MAX_BYTES = 1 << 30  # of a data set, and of one of its chunks
MAX_TITLE = 200  # characters
LINK = "is a link, maybe to another file; links are not followed"

Shape = tuple[int | None, ...]  # None is any size


class Video(NamedTuple):
  """One video; the fields are described at the top of this file.

  Attributes:
    name: Name of its group, such as "video_1".
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
  """Reads the videos of a file one by one, in natural order of their names.

  Raises:
    InputError: The file cannot be used, or h5py is not installed. The message
      names the file, the video and the data set.
  """
  try:
    import h5py
  except ImportError as error:
    raise InputError(
      f"{path}: HDF5 needs h5py: pip install 'seqsum[video]'"
    ) from error
  with contextlib.ExitStack() as stack:
    with _prefix_errors(f"{path}"):
      if not os.path.isfile(path):  # a pipe has no end
        raise InputError("there is no such file")
      # Not every file system has locks, and nothing is written.
      file = stack.enter_context(h5py.File(path, "r", locking=False))
      names = natural_order.sort(file)
      if not names:
        raise InputError("contains no video")
    for name in names:
      with _prefix_errors(f"{path}: {name!r}"):
        video = _read_video(_open(file, name, h5py.Group), name)
      yield video


class FeatureSource:
  """A `sequence_dataset.Source`: features as frames, gtscore as targets.

  Attributes:
    videos: All videos, in natural order of their names.
  """

  floats = True
  splits: Sequence[str] | None = None
  pictures: PixelRule | None = None
  sizes: tuple[tuple[int, int], ...] = ()

  def __init__(self, path: str | os.PathLike):
    self.videos = list(read(path))
    widths = {video.features.shape[1] for video in self.videos}
    if len(widths) > 1:
      raise InputError(
        f"{path}: features of {min(widths)} to {max(widths)} numbers a "
        "frame, expected the same number in all videos"
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


@contextlib.contextmanager
def _prefix_errors(where: str) -> Iterator[None]:
  """Turns every error of the block into an `InputError`, `where: reason`."""
  try:
    yield
  except InputError as error:
    raise InputError(f"{where}: {error}") from error
  except Exception as error:  # h5py raises many kinds on damage
    reason = f"damaged, or cannot be read ({one_line(error)})"
    if "truncated file" in str(error):
      reason = "truncated; download it again"
    elif "signature not found" in str(error):
      reason = "not an HDF5 file"
    raise InputError(f"{where}: {reason}") from error


def _open(group: Any, name: str, kind: type) -> Any:
  """A member of an h5py group that is in the same file."""
  import h5py

  link = group.get(name, getlink=True)
  if link is None:
    raise InputError("missing")
  if not isinstance(link, h5py.HardLink):
    raise InputError(LINK)
  found = group[name]
  if not isinstance(found, kind):
    raise InputError(f"a {type(found).__name__}, expected a {kind.__name__}")
  return found


def _open_dataset(group: Any, name: str) -> Any:
  """A data set that is in the same file and fits into memory."""
  import h5py

  found = _open(group, name, h5py.Dataset)
  if found.is_virtual or found.external:
    raise InputError(LINK)
  if found.shape is None:
    raise InputError("empty")
  for shape in (found.shape, found.chunks or ()):  # h5py unpacks whole chunks
    if math.prod(shape) * found.dtype.itemsize > MAX_BYTES:
      raise InputError(f"{list(shape)} values are more than a GiB")
  return found


def _numbers(group: Any, name: str, shape: Shape) -> np.ndarray:
  """Reads finite numbers; for the shape () also [1]."""
  with _prefix_errors(name):
    found = _open_dataset(group, name)
    if found.dtype.kind not in "biuf":
      raise InputError(f"of type {found.dtype}, expected numbers")
    theirs = found.shape if shape or found.shape != (1,) else ()
    if len(theirs) != len(shape) or any(
      ours not in (None, size) for ours, size in zip(shape, theirs, strict=True)
    ):
      wanted = ", ".join("any" if x is None else str(x) for x in shape)
      raise InputError(f"shape {list(found.shape)}, expected [{wanted}]")
    values = np.asarray(found[()]).reshape(theirs)
    if shape[:1] == (None,) and not len(values):
      raise InputError("has no rows")
    if not np.isfinite(values).all():
      raise InputError("contains nan or inf")
    return values


def _integers(group: Any, name: str, shape: Shape) -> np.ndarray:
  """Reads whole numbers of any type as int64."""
  values = _numbers(group, name, shape)
  wide = values.astype(np.float64)
  if (np.abs(wide) > 2**53).any() or (wide != np.rint(wide)).any():
    raise InputError(f"{name}: expected whole numbers")
  return values.astype(np.int64)


def _text(group: Any, name: str) -> str:
  """Reads one line of text."""
  with _prefix_errors(name):
    found = _open_dataset(group, name)
    value = found[()] if found.shape == () else None
    if isinstance(value, bytes):
      value = value.decode(errors="replace")
    if not isinstance(value, str):
      raise InputError("expected one text")
    # No escape sequences for the terminal.
    return "".join(x if x.isprintable() else "?" for x in value[:MAX_TITLE])


def _read_video(group: Any, name: str) -> Video:
  frames = int(_integers(group, "n_frames", ()))
  if frames < 1:
    raise InputError(f"n_frames: {frames}, must be at least 1")
  features = _numbers(group, "features", (None, None))
  steps = len(features)
  gtscore = _numbers(group, "gtscore", (steps,))
  check_precision("gtscore: its values", gtscore[None])
  picks = _integers(group, "picks", (steps,))
  if (np.diff(picks) <= 0).any() or picks[0] < 0:
    raise InputError("picks: must ascend, from 0 or more")
  if picks[-1] >= frames:
    raise InputError(
      f"picks: frame {picks[-1]} is beyond the last one, {frames - 1}; "
      f"n_frames is {frames}"
    )
  users = _numbers(group, "user_summary", (None, frames))
  scores = None
  if "user_scores" in group:
    scores = _numbers(group, "user_scores", (None, frames)).astype(np.float32)
  return Video(
    name=name,
    title=_text(group, "video_name") if "video_name" in group else None,
    features=features.astype(np.float32),
    gtscore=gtscore.astype(np.float32),
    picks=picks,
    shots=_read_shots(group, frames),
    user_summary=users > 0,
    user_scores=scores,
  )


def _read_shots(group: Any, frames: int) -> np.ndarray:
  """[n_shots, 2] int64."""
  shots = _integers(group, "change_points", (None, 2))
  with _prefix_errors("change_points"):
    check_shots(shots, frames)
  lengths = _integers(group, "n_frame_per_seg", (len(shots),))
  wrong = np.flatnonzero(lengths != shots[:, 1] - shots[:, 0] + 1)
  if wrong.size:
    i = wrong[0]
    raise InputError(
      f"n_frame_per_seg: {lengths[i]} for shot {i}, whose change_points are "
      f"{shots[i, 0]}..{shots[i, 1]}"
    )
  return shots


def check_shots(shots: np.ndarray, frames: int) -> None:
  """Raises `InputError` unless shots cover every frame of a video once.

  Args:
    shots: [n_shots, 2] int, first and last frame of each shot.
    frames: Number of frames of the video.
  """
  if shots.ndim != 2 or shots.shape[1] != 2 or not len(shots):
    raise InputError(
      f"shots of shape {list(shots.shape)}, expected [n_shots, 2]"
    )
  first, last = shots.T.astype(np.int64)
  wanted = np.append(0, last[:-1] + 1)  # first frame of each shot
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
