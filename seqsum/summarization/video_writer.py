"""Frames -> a video file. Needs PyAV: pip install 'seqsum[video]'."""

import fractions
import io

import numpy as np
from etils import epath

from seqsum.data import video_files
from seqsum.runtime import files
from seqsum.runtime.errors import InputError

RATE = 2.0  # frames a second
MIN_SIDE = 280  # pixels; smaller frames are magnified


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
  av = video_files.require_av(path)
  file = io.BytesIO()
  try:
    with av.open(file, "w", format="mp4") as box:
      stream = box.add_stream(
        "libx264", rate=fractions.Fraction(rate).limit_denominator(1000)
      )
      stream.height, stream.width = size = _shown(frames[0]).shape[:2]
      stream.pix_fmt = "yuv420p"  # the format that all players decode
      stream.options = {"crf": "16"}  # 0..51, 0 is lossless
      for frame in frames:
        shown = av.VideoFrame.from_ndarray(_shown(frame), format="rgb24")
        box.mux(stream.encode(shown))
      box.mux(stream.encode(None))
  except (av.FFmpegError, ValueError) as error:
    raise InputError(
      f"{path}: FFmpeg cannot write it ({video_files.reason(error)})"
    ) from error
  try:
    files.write_atomically(epath.Path(path), file.getvalue())
  except OSError as error:
    raise InputError(
      f"{path}: cannot be written ({video_files.reason(error)})"
    ) from error
  return size


def _shown(frame: np.ndarray) -> np.ndarray:
  """[h, w, C] uint8 -> [H, W, 3] uint8, magnified, with even sides."""
  if frame.shape[-1] != 3:
    grey = np.round(frame.mean(axis=-1, keepdims=True)).astype(np.uint8)
    frame = np.repeat(grey, 3, axis=-1)
  times = max(1, MIN_SIDE // max(frame.shape[:2]))
  frame = frame.repeat(times, axis=0).repeat(times, axis=1)
  odd = [(0, side % 2) for side in frame.shape[:2]]
  return np.ascontiguousarray(np.pad(frame, [*odd, (0, 0)], mode="edge"))
