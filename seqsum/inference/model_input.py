"""Pictures, videos or arrays -> frames of a trained model's shape and dtype."""

import os
from collections.abc import Iterable

import numpy as np

from seqsum.data import image_files, video_files
from seqsum.runtime.errors import InputError
from seqsum.sequences.pixel_rule import PixelRule


def read_pictures(
  paths: Iterable[str | os.PathLike],
  shape: tuple[int, int, int],
  rule: PixelRule | None,
) -> tuple[list[str], np.ndarray]:
  """Reads images, folders, globs and videos as one sequence.

  Args:
    paths: Together one sequence.
    shape: (H, W, C) of a frame; images are resized to it.
    rule: How the training data's pixels were read; None for .npz files.

  Returns:
    A name for each frame; [T, H, W, C] uint8.

  Raises:
    InputError: A file cannot be read, or there are no frames.
  """
  names, frames = [], []
  for path in paths:
    # `video_files` reads a folder as one video; a glob matches many files.
    for file in [path] if os.path.isdir(path) else image_files.find([path]):
      frames.append(video_files.read(file, shape, rule or PixelRule()))
      names += video_files.names(file, len(frames[-1]))
  if not frames:
    raise InputError("no frames: name images, a folder or a video")
  return names, np.concatenate(frames)


def check(
  frames: np.ndarray, shape: tuple[int, int, int], takes_floats: bool
) -> np.ndarray:
  """Checks frames, and adds a missing channel axis.

  Args:
    frames: [..., T, H, W, C] or, with one channel, [..., T, H, W].
    shape: (H, W, C).
    takes_floats: Whether frames are floats of any range; else uint8, or floats
      in 0..1.

  Returns:
    [..., T, H, W, C] uint8 or float32.

  Raises:
    InputError: Another shape or dtype, or values out of range.
  """
  if shape[-1] == 1 and frames.shape[-2:] == shape[:2]:
    frames = frames[..., None]
  if frames.ndim < 4 or frames.shape[-3:] != shape or 0 in frames.shape:
    remedy = ""
    if frames.shape == shape:
      remedy = "; frames[None] is a sequence of one"
    elif frames.shape[-3:] == (shape[2], *shape[:2]):
      remedy = "; move channels last: np.moveaxis(frames, -3, -1)"
    raise InputError(
      f"frames have shape {frames.shape}, expected [..., T, "
      f"{', '.join(map(str, shape))}] with T of at least 1{remedy}"
    )
  is_float = np.issubdtype(frames.dtype, np.floating)
  if takes_floats:
    if not is_float:
      raise InputError(
        f"frames are {frames.dtype}, the model was trained on floats; give "
        "floats in the units of the training data"
      )
    with np.errstate(over="ignore"):
      frames = frames.astype(np.float32)
    if not np.isfinite(frames).all():
      raise InputError("frames contain inf or nan; remove or replace them")
    return frames
  if frames.dtype == np.uint8:
    return frames
  if not is_float:
    raise InputError(
      f"frames are {frames.dtype}: give uint8 in 0..255 or floats in 0..1"
    )
  if not (frames.min() >= 0 and frames.max() <= 1):  # also refuses nan
    raise InputError(
      f"frames range from {frames.min():g} to {frames.max():g}: floats must be "
      "in 0..1; divide by 255, or give uint8"
    )
  return frames.astype(np.float32)
