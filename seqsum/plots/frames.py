"""Sequences of frames, with a prediction under every frame -> PNG."""

import functools
import math
from typing import Any

import numpy as np

from seqsum.plots.figures import (
  BLUE,
  GREY,
  INK,
  MOST_FRAMES,
  VERMILION,
  WIDTH,
  Chart,
  frame_gid,
  ink_on_paper,
)
from seqsum.sequences.tasks import ROUNDING
from seqsum.training.metrics import is_exact


@Chart
def sequences(
  figure: Any,
  frames: np.ndarray,
  lengths: np.ndarray,
  targets: np.ndarray,
  predictions: np.ndarray,
  tolerance: float = ROUNDING,
) -> None:
  """Frames side by side; under each, the prediction there and the target.

  Args:
    frames: [M, T, H, W, C] uint8, or float, whose largest value becomes white
      (or full ink). One channel is drawn as ink on paper, three as colours, the
      mean of any other number as ink.
    lengths: [M] int, 1..T.
    targets, predictions: [M, T] float; of vectors [M, T, D] the first part.
  """
  if not len(frames):
    return
  if frames.dtype != np.uint8:
    frames = _to_uint8(frames)
  if targets.ndim == 3:
    targets, predictions = targets[..., 0], predictions[..., 0]
  rounds = tolerance == ROUNDING
  height, width = frames.shape[2:4]
  longest = min(lengths.max(), MOST_FRAMES)
  columns = max(1, 8 // longest)
  gap = 0.7 * width
  across = max(8 * width, columns * (longest * width + gap) - gap)
  inch = across / (WIDTH - 0.2)  # in frame pixels
  pitch = height + 0.52 * inch  # from row to row
  tall = math.ceil(len(frames) / columns) * pitch + 0.35 * inch
  figure.set(size_inches=(WIDTH, tall / inch + 0.2), layout_engine="none")
  axes = figure.add_axes((0.1 / WIDTH, 0, 1 - 0.2 / WIDTH, 1))
  axes.axis("off")
  write = functools.partial(axes.text, ha="center", va="baseline", fontsize=9)
  # A target that is the same at all frames is written once, at the last.
  is_constant = longest > 1 and all(
    (row[:length] == row[0]).all()
    for row, length in zip(targets, lengths, strict=True)
  )
  so_far = "" if is_constant else " so far"
  write(0, 0.15 * inch, "prediction so far", ha="left")
  write(0, 0.3 * inch, f"true value{so_far}", ha="left", color=GREY)
  near = "rounds to" if rounds else f"within {tolerance:.2g} of"
  far = "does not" if rounds else "is not"
  write(across, 0.15 * inch, f"✓ {near} the true value", ha="right", color=BLUE)
  write(across, 0.3 * inch, f"✗ {far}", ha="right", color=VERMILION)
  for i, (sequence, length) in enumerate(zip(frames, lengths, strict=True)):
    left = (i % columns) * (longest * width + gap)
    top = (i // columns) * pitch + 0.45 * inch
    first = max(0, length - MOST_FRAMES)
    right = left + (length - first) * width
    axes.imshow(
      ink_on_paper(np.concatenate(sequence[first:length], axis=1)),
      extent=(left, right, top + height, top),
      interpolation="nearest",
      gid=frame_gid(sequence),
    )
    if frames.shape[-1] == 3:  # colour frames have no margin of their own
      edges = left + width * np.arange(1, length - first)
      axes.vlines(edges, top, top + height, color="white", lw=2)
    if first:
      write(left, top + height / 2, "…", ha="right", fontsize=7)
    for t in range(first, length):
      middle = left + (t - first + 0.5) * width
      text = _short(predictions[i, t], places=1 if rounds else 2)
      look = {"color": INK}
      if t == length - 1:
        exact = is_exact(predictions[i, t], targets[i, t], tolerance)
        text += "✓" if exact else "✗"
        look = {"color": BLUE if exact else VERMILION, "weight": "bold"}
      write(middle, top + height + 0.17 * inch, text, **look)
      if is_constant and t < length - 1:
        continue
      text = _short(targets[i, t], places=0 if rounds else 2)
      write(middle, top + height + 0.32 * inch, text, color=GREY)
  axes.set(xlim=(0, across), ylim=(tall, 0))


def _to_uint8(frames: np.ndarray) -> np.ndarray:
  finite = frames[np.isfinite(frames)]
  low, high = finite.min(initial=0), finite.max(initial=0)
  scaled = (frames - low) / max(high - low, 1e-9)
  return (255 * np.clip(np.nan_to_num(scaled), 0, 1)).astype(np.uint8)


def _short(value: float, places: int) -> str:
  """A number in at most six characters."""
  if abs(value) < 1e5:
    return f"{value:.{places if abs(value) < 100 else 0}f}"
  return f"{value:.0e}".replace("e+", "e")  # or inf, or nan
