"""Your own sequences from files, in place of `tasks` and `sampler`.

A `SequenceSpec` has the facts that must be known before anything compiles.
Batches are read on the host, one for each step; a `RecordedSampler` gives each
device its rows of them.
"""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.runtime.errors import require
from seqsum.sequences.augment import NO_AUGMENTATION, Augmentation
from seqsum.sequences.batch import SequenceBatch, take_shard
from seqsum.sequences.pixel_rule import PixelRule
from seqsum.sequences.shapes import (
  Frames,
  Key,
  Lengths,
  Rows,
  Scalar,
  Values,
)
from seqsum.sequences.tasks import ROUNDING

MAX_CLASSES = 1_000  # distinct targets for cross entropy


@dataclasses.dataclass(frozen=True)
class SequenceSpec:
  """Facts about a data set of sequences; used in place of a `tasks.Task`.

  All but `longest` and `shortest` are facts about the training split.

  Attributes:
    shape: (H, W, C) of a frame.
    floats: Whether frames are floats of any range; otherwise they are uint8.
    longest, shortest: Frames in a sequence.
    size: D, parts of a target that is a vector; 0 for a number.
    tolerance: A prediction nearer than this to its target is exact: 0.5 if all
      targets are whole numbers below 2**24, otherwise a tenth of the standard
      deviation.
    least: The smallest target.
    mean, deviation: Mean and standard deviation of the targets of real frames;
      one number for each part of a vector.
    values: The distinct targets, ascending; () for vectors, or if there are
      more than `MAX_CLASSES`.
    pictures: The conversion of pictures and videos to frames, which also
      applies to new pictures; None if no file is a picture or a video.
    sizes: The smallest and the largest (H, W) of the pictures and videos, which
      were resized to `shape`; () if all have the same size.
  """

  name: ClassVar[str] = "value"  # in messages and on axes, as "sum" is
  shape: tuple[int, int, int]
  floats: bool
  longest: int
  shortest: int
  size: int
  tolerance: float
  least: float
  mean: tuple[float, ...]
  deviation: tuple[float, ...]
  values: tuple[float, ...]
  pictures: PixelRule | None = None
  sizes: tuple[tuple[int, int], ...] = ()

  @classmethod
  def of_json(cls, record: dict[str, Any]) -> "SequenceSpec":
    """Inverse of `as_json`."""
    names = [field.name for field in dataclasses.fields(cls)]
    fields: dict[str, Any] = {name: record[name] for name in names}
    if fields["pictures"] is not None:
      fields["pictures"] = PixelRule(**fields["pictures"])
    fields["sizes"] = tuple(map(tuple, fields["sizes"]))
    for name, value in fields.items():
      fields[name] = tuple(value) if isinstance(value, list) else value
    return cls(**fields)

  def as_json(self) -> dict[str, Any]:
    """The record in config.json."""
    return dataclasses.asdict(self)

  def describe_frames(self) -> str:
    """One line with the size, the type and the conversion of frames."""
    height, width, channels = self.shape
    kind = "float32" if self.floats else "uint8"
    plural = "" if channels == 1 else "s"
    words = [f"{height}x{width}, {channels} channel{plural}, {kind}"]
    if self.sizes:
      least, most = (f"{h}x{w}" for h, w in self.sizes)
      words.append(f"resized from {least}..{most}")
    if self.pictures is not None:
      words.append(self.pictures.describe())
    return "; ".join(filter(None, words))

  def moments(self, **_: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, [] or [D] float64; see `Task.moments`."""
    shape = (self.size,) if self.size else ()
    mean, deviation = (
      np.reshape(x, shape) for x in (self.mean, self.deviation)
    )
    return mean, np.where(deviation > 0, deviation, 1.0)

  def reachable(self, max_len: int, min_len: int = 1) -> np.ndarray:
    """[V] float64, ascending: the classes for cross entropy.

    Raises:
      InputError: Targets are vectors or have too many distinct values.
    """
    require(
      len(self.values) > 0,
      "config.loss",
      "cross_entropy",
      "needs targets that are plain numbers with at most "
      f"{MAX_CLASSES:,} different values; use 'mse'",
    )
    return np.array(self.values)


def describe(
  shape: tuple[int, int, int],
  floats: bool,
  lengths: np.ndarray,
  targets: np.ndarray,
  train: np.ndarray,
  pictures: PixelRule | None = None,
  sizes: tuple[tuple[int, int], ...] = (),
) -> SequenceSpec:
  """Computes the facts about N sequences.

  Args:
    shape, floats, pictures, sizes: See `SequenceSpec`.
    lengths: [N] int32.
    targets: [N, T] or [N, T, D] float32.
    train: [M] int, indices of the training sequences.
  """
  real = np.arange(targets.shape[1]) < lengths[train][:, None]  # [M, T]
  of_train = targets[train][real].astype(np.float64)  # [steps] or [steps, D]
  deviation = np.atleast_1d(of_train.std(axis=0))
  # From 2**24 on, float32 rounds every number to a whole one.
  whole = (of_train == np.rint(of_train)) & (np.abs(of_train) < 2**24)
  scalar = targets.ndim == 2
  values = np.unique(of_train) if scalar else np.zeros(0)
  return SequenceSpec(
    shape=shape,
    floats=floats,
    longest=int(lengths.max()),
    shortest=int(lengths.min()),
    size=0 if scalar else targets.shape[-1],
    tolerance=ROUNDING if whole.all() else float(deviation.mean()) / 10,
    least=float(of_train.min()),
    mean=tuple(np.atleast_1d(of_train.mean(axis=0)).tolist()),
    deviation=tuple(deviation.tolist()),
    values=tuple(values.tolist()) if len(values) <= MAX_CLASSES else (),
    pictures=pictures,
    sizes=sizes,
  )


@dataclasses.dataclass(frozen=True)
class RecordedSampler:
  """Selects a device's rows of a batch from files; see `AnySampler`.

  Attributes:
    task: Facts about the sequences; T is its `longest`.
    batch_size: B, over all devices.
    augmentation: Random moves of each frame.
  """

  kind: ClassVar[str] = "files"
  packed: ClassVar[bool] = False
  task: SequenceSpec
  batch_size: int
  augmentation: Augmentation = NO_AUGMENTATION

  @property
  def shape(self) -> tuple[int, int, int]:
    """(H, W, C) of a frame."""
    return self.task.shape

  @property
  def min_len(self) -> int:
    return self.task.shortest

  @property
  def max_len(self) -> int:
    return self.task.longest

  def held_out(self, batch_size: int) -> "RecordedSampler":
    return dataclasses.replace(
      self, batch_size=batch_size, augmentation=NO_AUGMENTATION
    )

  def rows(self, shards: int = 1) -> Rows:
    return (math.ceil(self.batch_size / shards),) * self.max_len

  def lengths(
    self, key: Key, step: Scalar | None, frames: Frames, lengths: Lengths, _
  ) -> Lengths:
    return lengths

  def __call__(
    self,
    key: Key,
    frames: Frames,
    lengths: Lengths,
    targets: Values,
    *,
    step: Scalar | int | None = None,
    run_key: Key | None = None,
    shard: int | jax.Array = 0,
    shards: int = 1,
  ) -> SequenceBatch:
    """Augments a batch, or one device's shard of it; see `Sampler.__call__`.

    Args:
      key: Determines the augmentation.
      frames: [B, T, H, W, C], blank in the padding.
      lengths: [B] int32.
      targets: [B, T] or [B, T, D] float32.
      step, run_key: Not used.
      shard, shards: See `Sampler`.
    """
    moves = self.augmentation.draw(key, frames.shape[:2])
    frames, lengths, targets, moves = take_shard(
      (jnp.asarray(frames), lengths, targets, moves), shard, shards
    )
    return SequenceBatch(
      frames=self.augmentation(frames, moves),
      lengths=lengths,
      labels=None,
      targets=targets,
    )
