"""Checks of user data: one float32 target for every frame, and shots."""

import numpy as np

from seqsum.runtime.errors import InputError

LARGEST = 1e15  # float32 holds its square, and sums of such squares


def per_frame(
  what: str, targets: np.ndarray, lengths: np.ndarray, time: int
) -> np.ndarray:
  """Checks targets and repeats them so that every frame has one.

  Args:
    what: Name of the targets in error messages.
    targets: [N], [N, T] or [N, T, D] numbers.
    lengths: [N] int, number of real frames of each sequence.
    time: T.

  Returns:
    [N, T] or [N, T, D] float32. A target of a whole sequence is repeated for
    every frame; padding frames have the target of the last real frame.

  Raises:
    InputError: The shape is another, a value is inf or nan, or float32 is too
      coarse (see `check_precision`).
  """
  count = len(lengths)
  if not (
    np.issubdtype(targets.dtype, np.number) or targets.dtype == np.bool_
  ) or np.iscomplexobj(targets):
    raise InputError(f"{what} are {targets.dtype}, expected numbers")
  shapes = (count,), (count, time)
  if targets.shape[:2] not in shapes or targets.ndim > 3 or not targets.size:
    raise InputError(
      f"{what} have the shape {targets.shape}, expected ({count},), "
      f"({count}, {time}) or ({count}, {time}, D)"
    )
  if targets.ndim == 1:
    targets = np.repeat(targets[:, None], time, axis=1)
  last = np.minimum(np.arange(time), lengths[:, None] - 1)  # [N, T]
  targets = targets[np.arange(count)[:, None], last]
  finite = np.isfinite(targets.reshape(count, -1)).all(axis=1)
  if not finite.all():
    raise InputError(
      f"{what} of sequence {np.flatnonzero(~finite)[0]} contain inf or nan: "
      "remove the sequence, or replace them"
    )
  check_precision(what, targets)
  return targets.astype(np.float32)


def check_precision(what: str, targets: np.ndarray) -> None:
  """Checks that float32 represents targets and their squares.

  Whole numbers must be exact. Other numbers may be rounded by a thousandth of
  their standard deviation, a hundredth of the tolerance of exact accuracy.

  Args:
    what: Name of the targets in error messages.
    targets: [N, T], or [N, T, D] of which each component is checked; finite.

  Raises:
    InputError: Rounding would change the task; the message has a remedy.
  """
  parts = targets[..., None] if targets.ndim == 2 else targets
  for d in range(parts.shape[-1]):
    where = what if targets.ndim == 2 else f"{what}, component {d},"
    with np.errstate(over="ignore"):
      part = parts[..., d].astype(np.float64)
    low, high = part.min(), part.max()
    largest, differ = max(-low, high), low < high
    if largest > LARGEST or (differ and part.std() < 1 / LARGEST):
      remedy = "subtract an offset, or divide" if largest > 1 else "multiply"
      raise InputError(
        f"{where} are in {low:.12g}..{high:.12g}, whose squared errors do not "
        f"fit into float32: {remedy} them, so that they are about 1"
      )
    whole = (part == np.rint(part)).all()
    error = np.abs(part - part.astype(np.float32)).max()
    if (whole or differ) and error > (0 if whole else part.std() / 1000):
      raise InputError(
        f"{where} are {'whole numbers ' if whole else ''}in {low:.12g}.."
        f"{high:.12g}, which float32 rounds by up to {error:.3g}: subtract an "
        f"offset (the minimum is {low:.12g}), or divide by a larger unit"
      )


def check_shots(shots: np.ndarray, frames: int) -> None:
  """Raises `InputError` unless shots cover every frame of a video once.

  Args:
    shots: [n_shots, 2] int, first and last frame of each shot.
    frames: Number of frames of the video.
  """
  if shots.ndim != 2 or shots.shape[1] != 2 or not len(shots):
    raise InputError(f"shots of shape {[*shots.shape]}, expected [n_shots, 2]")
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
