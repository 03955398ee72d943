"""Sequences that somebody recorded: frames, and targets that no fold makes.

The counterpart of `tasks` and `sampler` for data of one's own. What must be
known of it before anything compiles is a `SequenceSpec`; batches come from
outside, one a step, and a `RecordedSampler` gives each device its rows of them.
"""

import dataclasses
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.runtime.errors import require
from seqsum.sequences.augment import NO_AUGMENTATION, Augmentation
from seqsum.sequences.batch import SequenceBatch
from seqsum.sequences.pixel_rule import PixelRule
from seqsum.sequences.shapes import Frames, Key, Lengths, Scalar, Values
from seqsum.sequences.tasks import ROUNDING

MOST_CLASSES = 1_000  # distinct targets that a cross entropy may have


@dataclasses.dataclass(frozen=True)
class SequenceSpec:
  """What is known of recorded sequences; takes the place of a `tasks.Task`.

  All but `longest` and `shortest` is of the training split.

  Attributes:
    shape: (H, W, C) of a frame.
    floats: Whether frames are floats, of any range, and not uint8.
    longest, shortest: Frames in a sequence.
    size: D, parts of a target that is a vector; 0 of plain numbers.
    tolerance: A prediction that is nearer to its target counts as exact: 0.5
      where all targets are whole numbers of less than 2**24, else a tenth of
      their deviation.
    least: The smallest target.
    mean, deviation: Of all targets of real frames; of vectors, part by part.
    values: The distinct targets, ascending; () of vectors, or if there are more
      than `MOST_CLASSES`.
    pictures: How all pictures became frames; None if no file is a picture or a
      video. New pictures are converted by the same rule.
    sizes: The smallest and the largest (H, W) of pictures and videos, which
      were brought to `shape`; () if all have one size.
  """

  name: ClassVar[str] = "value"  # in words and on axes, as "sum" is
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
  def of_json(cls, said: dict[str, Any]) -> "SequenceSpec":
    """From what config.json has of it."""
    fields = {field.name: said[field.name] for field in dataclasses.fields(cls)}
    if fields["pictures"] is not None:
      fields["pictures"] = PixelRule(**fields["pictures"])
    fields["sizes"] = tuple(map(tuple, fields["sizes"]))
    return cls(
      **{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    )

  def as_json(self) -> dict[str, Any]:
    return dataclasses.asdict(self)

  def describe_frames(self) -> str:
    """One line about frames: their size, type, and how files became frames."""
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
    """[K] float64, the classes of a cross entropy; see `Task.reachable`.

    Raises:
      InputError: There are none.
    """
    require(
      len(self.values) > 0,
      "config.loss",
      "cross_entropy",
      "needs targets that are plain numbers, of at most "
      f"{MOST_CLASSES:,} different values; take 'mse'",
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
  """What is known of sequences.

  Args:
    shape: (H, W, C) of a frame.
    floats: Whether frames are no uint8.
    lengths: [N] int32.
    targets: [N, T] or [N, T, D] float32.
    train: [M] int, which of the sequences are trained on.
    pictures, sizes: See `SequenceSpec`.
  """
  real = np.arange(targets.shape[1]) < lengths[train][:, None]  # [M, T]
  of_train = targets[train][real].astype(np.float64)  # [steps] or [steps, D]
  deviation = np.atleast_1d(of_train.std(axis=0))
  # All float32 numbers from 2**24 on are whole, whatever they were before.
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
    values=tuple(values.tolist()) if len(values) <= MOST_CLASSES else (),
    pictures=pictures,
    sizes=sizes,
  )


@dataclasses.dataclass(frozen=True)
class RecordedSampler:
  """Gives devices their rows of batches that were read from outside.

  It stands where a `Sampler` does (`batch.AnySampler`).

  Attributes:
    task: What is known of the sequences; T is its `longest`.
    batch_size: B, over all devices.
    moves: How far each frame of a training batch is moved at most.
  """

  packed: ClassVar[bool] = False
  task: SequenceSpec
  batch_size: int
  augmentation: Augmentation = NO_AUGMENTATION

  def __post_init__(self):
    require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
    self.augmentation.check(min(self.task.shape[:2]))

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

  def rows(self, shards: int = 1) -> tuple[int, ...]:
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
    """One device's share of a batch.

    Args:
      key: Of its moves.
      frames: [B, T, H, W, C], blank in the padding.
      lengths: [B] int32.
      targets: [B, T] or [B, T, D] float32.
      step, run_key: Nothing depends on them.
      shard, shards: As for `Sampler`.
    """
    augmentation = self.augmentation.draw(key, frames.shape[:2])
    frames, lengths, targets, augmentation = (  # [B, ...] -> [B / shards, ...]
      x.reshape(-1, shards, *x.shape[1:])[:, shard]
      for x in (jnp.asarray(frames), lengths, targets, augmentation)
    )
    flat, augmentation = (
      jax.lax.collapse(x, 0, 2) for x in (frames, augmentation)
    )
    return SequenceBatch(
      frames=self.augmentation(flat, augmentation).reshape(frames.shape),
      lengths=lengths,
      labels=None,
      targets=targets,
    )
