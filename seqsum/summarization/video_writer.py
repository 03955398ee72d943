"""Frames -> a video file. Needs PyAV: pip install 'seqsum[video]'."""

import fractions
import io
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
from etils import epath

from seqsum.data import video_files
from seqsum.runtime import files
from seqsum.runtime.errors import InputError
from seqsum.runtime.object_storage import is_remote

RATE = 2.0  # frames a second
MIN_SIDE = 280  # pixels; smaller frames are magnified
TICKS = 90_000  # time units in a second, as MPEG has


def write(
  path: epath.PathLike, frames: np.ndarray, rate: float = RATE
) -> tuple[int, int]:
  """Writes an MP4 that every browser plays: H.264, yuv420p.

  Frames smaller than `MIN_SIDE` are magnified by an integer, with sharp pixels.
  The last row or column is repeated if a side would be odd.

  Args:
    path: The file, replaced atomically; or gs://.
    frames: [T, H, W, C] uint8, T at least 1. Three channels are RGB; of any
      other number the mean is shown.
    rate: Frames a second.

  Returns:
    The height and the width of the video, pixels.

  Raises:
    InputError: The file cannot be written, or PyAV is missing.
  """
  frames = np.asarray(frames)
  if frames.ndim != 4 or frames.dtype != np.uint8 or not frames.size:
    raise ValueError(
      f"frames {frames.shape} {frames.dtype}, expected [T, H, W, C] uint8"
    )
  if not 0.01 <= rate <= 240:
    raise InputError(f"rate={rate}: must be in 0.01..240 frames a second")
  timed = ((frame, i / rate) for i, frame in enumerate(frames))
  return write_timed(path, timed, rate)


def write_timed(
  path: epath.PathLike,
  frames: Iterable[tuple[np.ndarray, float]],
  rate: float,
) -> tuple[int, int]:
  """Writes frames that are shown at given times, with one in memory at a time.

  Args:
    path: The file, replaced atomically; or gs://, which needs memory for the
      whole file.
    frames: At least one [H, W, C] uint8, and its time in seconds, which
      increases from 0. Frames are scaled to the size of the first.
    rate: Mean number of frames a second.

  Returns:
    The height and the width of the video, pixels.

  Raises:
    InputError: As for `write`, or raised by `frames`.
  """
  av = video_files.require_av(path)
  path = epath.Path(path)
  try:
    if is_remote(path):
      file = io.BytesIO()
      size = _encode(av, file, frames, rate)
      files.write_atomically(path, file.getvalue())
      return size
    with files.open_atomically(path) as local:
      return _encode(av, local, frames, rate)
  except InputError:
    raise
  except (av.FFmpegError, ValueError) as error:
    raise InputError(
      f"{path}: FFmpeg cannot write it ({video_files.reason(error)})"
    ) from error
  except OSError as error:
    raise InputError(
      f"{path}: cannot be written ({video_files.reason(error)})"
    ) from error


def _encode(
  av: Any, file: IO[bytes], frames: Iterable[tuple[np.ndarray, float]], rate
) -> tuple[int, int]:
  """Encodes into an open file; returns the height and the width."""
  rate = fractions.Fraction(rate).limit_denominator(1000)
  first: np.ndarray | None = None
  last = -1  # ticks
  with av.open(file, "w", format="mp4") as box:
    stream = box.add_stream("libx264", rate=rate)
    stream.pix_fmt = "yuv420p"  # the format that all players decode
    stream.options = {"crf": "16"}  # 0..51, 0 is lossless
    # Of the times below; a rate alone could not show frames at any time.
    stream.codec_context.time_base = fractions.Fraction(1, TICKS)
    for frame, seconds in frames:
      if first is None:
        first = frame
        stream.height, stream.width = _shown(frame).shape[:2]
      elif frame.shape != first.shape:
        frame = video_files.resize(frame, *first.shape[:2])
      shown = av.VideoFrame.from_ndarray(_shown(frame), format="rgb24")
      last = max(last + 1, round(seconds * TICKS))
      shown.pts, shown.time_base = last, fractions.Fraction(1, TICKS)
      box.mux(stream.encode(shown))
    box.mux(stream.encode(None))
    return stream.height, stream.width


def _shown(frame: np.ndarray) -> np.ndarray:
  """[h, w, C] uint8 -> [H, W, 3] uint8, magnified, with even sides."""
  if frame.shape[-1] != 3:
    grey = np.round(frame.mean(axis=-1, keepdims=True)).astype(np.uint8)
    frame = np.repeat(grey, 3, axis=-1)
  times = max(1, MIN_SIDE // max(frame.shape[:2]))
  frame = frame.repeat(times, axis=0).repeat(times, axis=1)
  odd = [(0, side % 2) for side in frame.shape[:2]]
  return np.ascontiguousarray(np.pad(frame, [*odd, (0, 0)], mode="edge"))
