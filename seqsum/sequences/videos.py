"""Videos of digits, drawn on the device: what is said, and which frames say it.

In a video some digits move through the picture, each for a while; between them
are blank frames and frames of noise. Its label is the sum of the distinct
digits in it. How important a frame is for that is known: by its Shapley value,
the one fair way to share a game's worth among its players (Shapley 1953). Let
the worth of some frames be the sum of the distinct digits on them; then each of
n frames that show the digit d has d / n, and all others have 0.
"""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from seqsum.runtime.errors import require
from seqsum.sequences.batch import SequenceBatch
from seqsum.sequences.digit import CLASSES, SHAPE
from seqsum.sequences.sampler import LONGEST
from seqsum.sequences.scenes import (
  SHORTEST,
  distinct_sum,
  draw_scenes,
  importance,
)
from seqsum.sequences.shapes import Images, Key, Labels, Lengths, Scalar, Values

SAMPLE = 10_000  # videos that the moments of targets are taken over
SAMPLED_FRAMES = 2_400_000  # of all of them, at most


@dataclasses.dataclass(frozen=True)
class DistinctSum:
  """What a video is worth, frame by frame; takes the place of a `tasks.Task`.

  Attributes:
    windows, window: As the sampler has them.
    with_importance: Whether a value is the sum so far and the importance of
      the frame, or the sum so far alone.
  """

  name: ClassVar[str] = "sum of distinct digits"
  tolerance: ClassVar[float] = 0.5
  least: ClassVar[float] = 0.0
  windows: int
  window: int
  with_importance: bool = True

  @property
  def size(self) -> int:
    return 2 if self.with_importance else 0

  def targets(self, digits: jax.Array) -> Values:
    """[B, T] digits, or `scenes.NOTHING` -> [B, T, 2] or [B, T] float32."""
    values = distinct_sum(digits)
    if not self.with_importance:
      return values
    return jnp.stack([values, importance(digits)], axis=-1)

  def moments(self, **_) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation [2] or [] of all frames' targets."""
    return _moments(self)

  def reachable(self, max_len: int, min_len: int = 1) -> np.ndarray:
    require(
      False,
      "config.loss",
      "cross_entropy",
      "of a video two numbers are asked for; take 'mse'",
    )


@functools.lru_cache(maxsize=4)
def _moments(task: DistinctSum) -> tuple[np.ndarray, np.ndarray]:
  """Of videos that are drawn from as many images of each digit."""
  targets = _sample(task, np.arange(CLASSES))
  return targets.mean(axis=(0, 1)), targets.std(axis=(0, 1))


def _sample(task: DistinctSum, labels: np.ndarray) -> np.ndarray:
  """[N, T] or [N, T, 2] float64, targets of videos of images with labels."""
  # Long videos have as many frames to average over as many short ones.
  videos = min(SAMPLE, max(1, SAMPLED_FRAMES // (task.windows * task.window)))

  @jax.jit
  def draw(key, labels):
    scenes = draw_scenes(key, videos, task.windows, task.window, len(labels))
    return task.targets(scenes.digits(labels))

  return np.asarray(draw(jax.random.key(0), labels), np.float64)


@dataclasses.dataclass(frozen=True)
class VideoSampler:
  """Draws batches of videos; it stands where a `sampler.Sampler` does.

  Attributes:
    batch_size: B, over all devices.
    time: T, frames of every video.
    windows: Into how many parts T is cut, in each of which a digit may appear.
    side: Pixels; the digits have 28.
    with_importance: Whether the targets say how important each frame is.
  """

  packed: ClassVar[bool] = False
  batch_size: int
  time: int = 24
  windows: int = 4
  side: int = 40
  with_importance: bool = True

  def __post_init__(self):
    positive = "must be at least 1"
    require(self.batch_size >= 1, "batch_size", self.batch_size, positive)
    windows = self.windows
    require(windows >= 1, "video.windows", windows, positive)
    require(
      self.time % windows == 0 and self.time >= SHORTEST * windows,
      "sequence.max_len",
      self.time,
      f"must be {windows} windows (config.video.windows) of at least "
      f"{SHORTEST} frames, such as {6 * windows}",
    )
    require(
      self.time <= LONGEST,
      "sequence.max_len",
      self.time,
      f"must be at most {LONGEST:,}",
    )
    require(
      SHAPE[0] <= self.side <= 1024,
      "video.side",
      self.side,
      f"must be in {SHAPE[0]}..1024 pixels",
    )

  @property
  def task(self) -> DistinctSum:
    window = self.time // self.windows
    return DistinctSum(self.windows, window, self.with_importance)

  @property
  def shape(self) -> tuple[int, int, int]:
    """Of a frame."""
    return self.side, self.side, 1

  @property
  def min_len(self) -> int:
    return self.time

  @property
  def max_len(self) -> int:
    return self.time

  def mean_target(self, labels: np.ndarray, per_step: bool) -> np.ndarray:
    """[] or [2], the mean of the training targets that the loss asks for."""
    targets = _sample(self.task, labels.astype(np.int32))
    return (targets if per_step else targets[:, -1:]).mean(axis=(0, 1))

  def held_out(self, batch_size: int) -> "VideoSampler":
    return dataclasses.replace(self, batch_size=batch_size)

  def rows(self, shards: int = 1) -> tuple[int, ...]:
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
    """Draws a batch, or a share of it; arguments as for `Sampler`."""
    scenes = draw_scenes(
      key,
      self.batch_size,
      self.windows,
      self.time // self.windows,
      images.shape[0],
    )
    scenes = jax.tree.map(
      lambda x: x.reshape(-1, shards, *x.shape[1:])[:, shard], scenes
    )
    digits = scenes.digits(labels)
    return SequenceBatch(
      frames=scenes.draw(images, self.side),
      lengths=jnp.full(len(digits), self.time, jnp.int32),
      labels=None,
      targets=self.task.targets(digits),
    )
