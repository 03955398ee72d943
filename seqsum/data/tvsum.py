"""Videos of SumMe, TVSum and MR.HiSum: features of their frames, annotations.

The layout is that of Zhang et al. 2016 ("Video summarization with long
short-term memory"), published by Zhou et al. 2018 (pytorch-vsumm-reinforce) as
`eccv16_dataset_*_pool5.h5`: one group for each video, with

    features         [n_steps, D] float, of the frames in picks; D is 1024
    n_frames         int, number of frames of the video
    picks            [n_steps] int, ascending, the frames that were subsampled

and optionally

    gtscore          [n_steps] float, importance, the users' mean
    user_summary     [n_users, n_frames], above 0 where a user keeps the frame
    change_points    [n_shots, 2] int, first and last frame of each shot
    n_frame_per_seg  [n_shots] int
    user_scores      [n_users, n_frames] float
    video_name       text

Without picks, all frames have features, as in MR.HiSum (Sul et al. 2023). Its
shots end before the first frame of the next, `gt_summary` [n_steps] stands for
user_summary, and the longer of gtscore and features is cut.

Needs h5py: pip install 'seqsum[video]'. The files are untrusted: links to other
files are refused, and sizes are checked before data is read.
"""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from seqsum.data.targets import check_precision, check_shots
from seqsum.runtime import natural_order
from seqsum.runtime.errors import InputError, one_line

MAX_BYTES = 1 << 30  # of a data set, and of one of its chunks
MAX_TITLE = 200  # characters
LINK = "is a link, maybe to another file; links are not followed"

Shape = tuple[int | None, ...]  # None is any size


class Video(NamedTuple):
  """One video; the fields are described at the top of this file.

  Attributes:
    name: Name of its group, such as "video_1".
    title: `video_name`.
    picks: [n_steps] int64.
    features: [n_steps, D] float32; None if they were not asked for.
    width: D.
    gtscore: [n_steps] float32.
    shots: [n_shots, 2] int64, every frame in one of them.
    user_summary: [n_users, n_frames] bool.
    user_scores: [n_users, n_frames] float32.
  """

  name: str
  title: str | None
  n_frames: int
  picks: np.ndarray
  features: np.ndarray | None
  width: int
  gtscore: np.ndarray | None = None
  shots: np.ndarray | None = None
  user_summary: np.ndarray | None = None
  user_scores: np.ndarray | None = None


def read(
  path: str | os.PathLike,
  names: Sequence[str] | None = None,
  with_features: bool = True,
) -> Iterator[Video]:
  """Reads videos of a file one by one.

  Args:
    path: The file.
    names: Names of the videos; None: all, in natural order.
    with_features: Whether to read the features, nearly all of a file's bytes.

  Raises:
    InputError: The file cannot be used, or h5py is not installed. The message
      names the file, the video and the data set.
  """
  with contextlib.ExitStack() as stack:
    with _prefix_errors(f"{path}"):
      file = stack.enter_context(_open_file(path))
      if names is None:
        names = natural_order.sort(file)
      if not names:
        raise InputError("contains no video")
    for name in names:
      with _prefix_errors(f"{path}: {name!r}"):
        group = _open(file, name, "Group")
        video = _read_video(group, name, with_features)
      yield video


def names(path: str | os.PathLike) -> list[str]:
  """Names of the videos of a file, in natural order; see `read`."""
  with _prefix_errors(f"{path}"), _open_file(path) as file:
    return natural_order.sort(file)


def titles(path: str | os.PathLike) -> dict[str, str]:
  """`Video.title` of each video of a file by name, "" for none; see `read`."""
  found = {}
  with _prefix_errors(f"{path}"), _open_file(path) as file:
    for name in natural_order.sort(file):
      group = _open(file, name, "Group")
      has_title = "video_name" in group
      found[name] = _text(group, "video_name") if has_title else ""
  return found


def _open_file(path: str | os.PathLike) -> Any:
  try:
    import h5py
  except ImportError as error:
    raise InputError("HDF5 needs h5py: pip install 'seqsum[video]'") from error
  if not os.path.isfile(path):  # a pipe has no end
    raise InputError("there is no such file")
  # Not every file system has locks, and nothing is written.
  return h5py.File(path, "r", locking=False)


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


def _open(group: Any, name: str, kind: str) -> Any:
  """A member of an h5py group that is in the same file, such as a "Dataset"."""
  import h5py

  link = group.get(name, getlink=True)
  if link is None:
    raise InputError("missing")
  if not isinstance(link, h5py.HardLink):
    raise InputError(LINK)
  found = group[name]
  if not isinstance(found, getattr(h5py, kind)):
    raise InputError(f"a {type(found).__name__}, expected a {kind}")
  return found


def _open_dataset(group: Any, name: str) -> Any:
  """A data set that is in the same file and fits into memory."""
  found = _open(group, name, "Dataset")
  if found.is_virtual or found.external:
    raise InputError(LINK)
  if found.shape is None:
    raise InputError("empty")
  for shape in (found.shape, found.chunks or ()):  # h5py unpacks whole chunks
    if math.prod(shape) * found.dtype.itemsize > MAX_BYTES:
      raise InputError(f"{list(shape)} values are more than a GiB")
  return found


def _open_numbers(group: Any, name: str, shape: Shape) -> Any:
  """A data set of numbers of this shape; [1] is accepted for the shape ()."""
  found = _open_dataset(group, name)
  if found.dtype.kind not in "biuf":
    raise InputError(f"of type {found.dtype}, expected numbers")
  theirs = found.shape if shape or found.shape != (1,) else ()
  fits = [len(theirs) == len(shape)]
  fits += [x in (None, y) for x, y in zip(shape, theirs, strict=False)]
  if not all(fits):
    wanted = ", ".join("any" if x is None else str(x) for x in shape)
    raise InputError(f"shape {list(found.shape)}, expected [{wanted}]")
  if shape[:1] == (None,) and not found.shape[0]:
    raise InputError("has no rows")
  return found


def _numbers(group: Any, name: str, shape: Shape) -> np.ndarray:
  """Reads finite numbers."""
  with _prefix_errors(name):
    found = _open_numbers(group, name, shape)
    values = np.asarray(found[()])
    if not np.isfinite(values).all():
      raise InputError("contains nan or inf")
    return values if shape else values.reshape(())


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
    return printable(value)


def printable(text: str) -> str:
  """A title without escape sequences for the terminal, at most 200 long."""
  return "".join(x if x.isprintable() else "?" for x in text[:MAX_TITLE])


def _read_video(group: Any, name: str, with_features: bool) -> Video:
  with _prefix_errors("features"):
    steps, width = _open_numbers(group, "features", (None, None)).shape
  gtscore = None
  if "gtscore" in group:
    size = steps if "picks" in group else None
    gtscore = _numbers(group, "gtscore", (size,))
    check_precision("gtscore: its values", gtscore[None])
    steps = min(steps, len(gtscore))
    gtscore = gtscore[:steps].astype(np.float32)
  features = None
  if with_features:
    features = _numbers(group, "features", (None, width))[:steps]
    features = features.astype(np.float32)
  frames, picks = _read_picks(group, steps)
  scores = None
  if "user_scores" in group:
    scores = _numbers(group, "user_scores", (None, frames)).astype(np.float32)
  return Video(
    name=name,
    title=_text(group, "video_name") if "video_name" in group else None,
    n_frames=frames,
    picks=picks,
    features=features,
    width=width,
    gtscore=gtscore,
    shots=_read_shots(group, frames),
    user_summary=_read_summaries(group, frames),
    user_scores=scores,
  )


def _read_picks(group: Any, steps: int) -> tuple[int, np.ndarray]:
  """n_frames, and picks, [n_steps] int64."""
  frames = steps
  if "n_frames" in group or "picks" in group:
    frames = int(_integers(group, "n_frames", ()))
  if frames < 1:
    raise InputError(f"n_frames: {frames}, must be at least 1")
  if "picks" not in group and frames != steps:
    raise InputError(f"picks: missing, for {steps} features of {frames} frames")
  if "picks" not in group:
    return frames, np.arange(steps)
  picks = _integers(group, "picks", (steps,))
  if (np.diff(picks) <= 0).any() or picks[0] < 0:
    raise InputError("picks: must ascend, from 0 or more")
  if picks[-1] >= frames:
    raise InputError(
      f"picks: frame {picks[-1]} is beyond the last one, {frames - 1}; "
      f"n_frames is {frames}"
    )
  return frames, picks


def _read_summaries(group: Any, frames: int) -> np.ndarray | None:
  """[n_users, n_frames] bool, or None."""
  if "user_summary" in group:
    return _numbers(group, "user_summary", (None, frames)) > 0
  for name in ("gt_summary", "gtsummary"):
    # With picks, gtsummary has the subsampled frames only.
    if name in group and "picks" not in group:
      kept = _numbers(group, name, (None,))[:frames] > 0
      return np.pad(kept, (0, frames - len(kept)))[None]
  return None


def _read_shots(group: Any, frames: int) -> np.ndarray | None:
  """[n_shots, 2] int64, or None."""
  if "change_points" not in group:
    return None
  shots = _integers(group, "change_points", (None, 2))
  if "n_frame_per_seg" not in group and "picks" not in group:
    # MR.HiSum: a shot ends before its second number; some last ones with it.
    ends = shots[:, 1].copy()
    ends[-1] += ends[-1] == frames - 1
    shots = np.stack([shots[:, 0], np.minimum(ends, frames) - 1], axis=1)
    shots = shots[shots[:, 0] < frames]
  with _prefix_errors("change_points"):
    check_shots(shots, frames)
  if "n_frame_per_seg" not in group:
    return shots
  lengths = _integers(group, "n_frame_per_seg", (len(shots),))
  for i in np.flatnonzero(lengths != shots[:, 1] - shots[:, 0] + 1)[:1]:
    raise InputError(
      f"n_frame_per_seg: {lengths[i]} for shot {i}, whose change_points are "
      f"{shots[i, 0]}..{shots[i, 1]}"
    )
  return shots
