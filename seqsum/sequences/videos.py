"""Videos of digits with known frame importance, drawn on the device.

In a video some digits move through the picture, each for some frames; between
them are blank frames and frames of noise. The label is the sum of the distinct
digits in the video. The importance of a frame is its Shapley value (Shapley
1953) in the game whose value is the sum of the distinct digits on a set of
frames: each of n frames that show the digit d has d / n, all others have 0.
"""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.sequences.batch import SequenceBatch, take_shard
from seqsum.sequences.digit import CLASSES
from seqsum.sequences.scenes import (
  distinct_sum,
  draw_scenes,
  importance,
)
from seqsum.sequences.shapes import (
  Images,
  Key,
  Labels,
  Lengths,
  Rows,
  Scalar,
  Values,
)
from seqsum.sequences.tasks import TASKS, Task

SAMPLE = 10_000  # videos whose targets `moments` averages, at most
SAMPLED_FRAMES = 2_400_000  # of all of these videos, at most


@dataclasses.dataclass(frozen=True)
class DistinctSum:
  """The running sum of distinct digits; used in place of a `tasks.Task`.

  Attributes:
    windows: Windows in a video, each with at most one digit.
    window: Frames in a window.
    with_importance: Whether targets are the pair of the running sum and the
      importance of the frame, or the running sum alone.
  """

  name: ClassVar[str] = "sum of distinct digits"
  tolerance: ClassVar[float] = 0.5
  least: ClassVar[float] = 0.0
  unit: ClassVar[int] = 1
  windows: int
  window: int
  with_importance: bool = True

  @property
  def size(self) -> int:
    return 2 if self.with_importance else 0

  @property
  def fold(self) -> Task:
    """The same sum as a fold; a frame without a digit is a 0."""
    return TASKS["distinct"]

  def targets(self, digits: jax.Array) -> Values:
    """[B, T] digits or `scenes.NOTHING` -> [B, T, 2] or [B, T] float32."""
    values = distinct_sum(digits)
    if not self.with_importance:
      return values
    return jnp.stack([values, importance(digits)], axis=-1)

  def moments(self, **_) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the targets, [2] or []."""
    return _moments(self)


@functools.lru_cache(maxsize=4)
def _moments(task: DistinctSum) -> tuple[np.ndarray, np.ndarray]:
  """`DistinctSum.moments` for equally likely digits."""
  targets = _sample(task, np.arange(CLASSES))
  return targets.mean(axis=(0, 1)), targets.std(axis=(0, 1))


def _sample(task: DistinctSum, labels: np.ndarray) -> np.ndarray:
  """[N, T] or [N, T, 2] float64, targets of videos of images with labels."""
  videos = min(SAMPLE, max(1, SAMPLED_FRAMES // (task.windows * task.window)))

  @jax.jit
  def draw(key, labels):
    scenes = draw_scenes(key, videos, task.windows, task.window, len(labels))
    return task.targets(scenes.digits(labels))

  return np.asarray(draw(jax.random.key(0), labels), np.float64)


@dataclasses.dataclass(frozen=True)
class VideoSampler:
  """Draws batches of videos; see `AnySampler`.

  Attributes:
    batch_size: B, over all devices.
    time: T, frames of every video.
    windows: Equal parts of a video, each with at most one digit.
    side: Height and width of a frame, in pixels; a digit has 28.
    with_importance: Whether targets include the importance of each frame.
  """

  kind: ClassVar[str] = "videos"
  packed: ClassVar[bool] = False
  batch_size: int
  time: int = 24
  windows: int = 4
  side: int = 40
  with_importance: bool = True

  @property
  def task(self) -> DistinctSum:
    window = self.time // self.windows
    return DistinctSum(self.windows, window, self.with_importance)

  @property
  def shape(self) -> tuple[int, int, int]:
    """(H, W, C) of a frame."""
    return self.side, self.side, 1

  @property
  def min_len(self) -> int:
    return self.time

  @property
  def max_len(self) -> int:
    return self.time

  def mean_target(self, labels: np.ndarray, per_step: bool) -> np.ndarray:
    """[] or [2], the mean training target of images with these labels [M]."""
    targets = _sample(self.task, labels.astype(np.int32))
    return (targets if per_step else targets[:, -1:]).mean(axis=(0, 1))

  def held_out(self, batch_size: int) -> "VideoSampler":
    return dataclasses.replace(self, batch_size=batch_size)

  def rows(self, shards: int = 1) -> Rows:
    return (-(-self.batch_size // shards),) * self.time

  def lengths(
    self, key: Key, step: Scalar | int | None = None, *data: jax.Array
  ) -> Lengths:
    return jnp.full(self.batch_size, self.time, jnp.int32)

  def __call__(
    self,
    key: Key,
    images: Images,
    labels: Labels,
    *,
    step: Scalar | int | None = None,
    run_key: Key | None = None,
    shard: int | jax.Array = 0,
    shards: int = 1,
  ) -> SequenceBatch:
    """Draws one batch, or one device's shard of it; see `Sampler.__call__`."""
    scenes = draw_scenes(
      key,
      self.batch_size,
      self.windows,
      self.time // self.windows,
      images.shape[0],
    )
    scenes = take_shard(scenes, shard, shards)
    digits = scenes.digits(labels)
    return SequenceBatch(
      frames=scenes.draw(images, self.side),
      lengths=jnp.full(len(digits), self.time, jnp.int32),
      labels=None,
      targets=self.task.targets(digits),
    )
