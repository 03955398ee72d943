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
from flax import struct

from seqsum.errors import require
from seqsum.idx import CLASSES, SHAPE
from seqsum.sequences import SequenceBatch
from seqsum.shapes import Images, Key, Labels, Lengths, Scalar, Values

PRESENT = 0.8  # share of a video's windows in which a digit appears
SHORTEST = 2  # frames that one is there at least
FASTEST = 3  # pixels a frame, in each direction
NOTHING = -1  # in place of a digit
SAMPLE = 10_000  # videos that the moments of targets are taken over


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
    """[B, T] digits, or `NOTHING` -> [B, T, 2] or [B, T] float32."""
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

  @jax.jit
  def draw(key):
    scenes = draw_scenes(key, SAMPLE, task.windows, task.window, CLASSES)
    return task.targets(scenes.digits(jnp.arange(CLASSES)))

  targets = np.asarray(draw(jax.random.key(0)), np.float64)
  return targets.mean(axis=(0, 1)), targets.std(axis=(0, 1))


class Scenes(struct.PyTreeNode):
  """What happens in videos, one possible appearance in each of W windows.

  Attributes:
    present: [B, W] bool, whether a digit appears.
    start, frames: [B, W] int32, from which frame of the window, for how many.
    index: [B, W] int32, which image.
    place, speed: [B, W, 2] int32, pixels down and to the right, at the window's
      first frame, and from frame to frame.
    noise: [B, W, 2] bool, whether what comes before and after it is noise, and
      not blank.
    noise_key: [B] keys, of what noise there is.
    window: Frames in a window.
  """

  present: jax.Array
  start: jax.Array
  frames: jax.Array
  index: jax.Array
  place: jax.Array
  speed: jax.Array
  noise: jax.Array
  noise_key: jax.Array
  window: int = struct.field(pytree_node=False)

  def _over_time(self, x: jax.Array) -> jax.Array:
    """[B, W, ...] -> [B, T, ...]."""
    return jnp.repeat(x, self.window, axis=1)

  @property
  def _clock(self) -> jax.Array:
    """[1, T] int32, the frame in its window."""
    windows = self.present.shape[1]
    return jnp.tile(jnp.arange(self.window), windows)[None, :]

  @property
  def visible(self) -> jax.Array:
    """[B, T] bool."""
    start, frames, present = map(
      self._over_time, (self.start, self.frames, self.present)
    )
    since = self._clock - start
    return present & (since >= 0) & (since < frames)

  def digits(self, labels: Labels) -> jax.Array:
    """[B, T] int32, what each frame shows, or `NOTHING`."""
    shown = self._over_time(jnp.asarray(labels)[self.index])
    return jnp.where(self.visible, shown, NOTHING)

  def draw(self, images: Images, side: int) -> Images:
    """[B, T, side, side, 1] uint8."""
    time = self.visible.shape[1]
    room = side - SHAPE[0]
    place = self._over_time(self.place) + self._over_time(
      self.speed
    ) * jnp.expand_dims(self._clock, -1)
    # Back and forth between the walls: a triangle wave.
    place = room - jnp.abs(place % max(1, 2 * room) - room)  # [B, T, 2]
    rim = (room, room)
    padded = jnp.pad(
      jnp.asarray(images)[self.index], ((0, 0), (0, 0), rim, rim, (0, 0))
    )

    def crop(image, place):
      corner = (room - place[0], room - place[1], 0)
      return jax.lax.dynamic_slice(image, corner, (side, side, 1))

    window = jnp.arange(time) // self.window
    moved = jax.vmap(jax.vmap(crop))(padded[:, window], place)
    after = self._clock >= self._over_time(self.start)
    noisy = jnp.where(
      after, *(self._over_time(self.noise[..., i]) for i in (1, 0))
    )
    noise = jax.vmap(
      lambda key: jax.random.bits(key, moved.shape[1:], jnp.uint8)
    )(self.noise_key)
    filler = jnp.where(noisy[..., None, None, None], noise, 0)
    return jnp.where(self.visible[..., None, None, None], moved, filler)


def draw_scenes(
  key: Key, batch: int, windows: int, window: int, images: int
) -> Scenes:
  """What happens in `batch` videos of `windows` x `window` frames."""
  keys = iter(jax.random.split(key, 8))
  shape = (batch, windows)
  frames = jax.random.randint(next(keys), shape, SHORTEST, window + 1)
  latest = window - frames
  start = jnp.floor(jax.random.uniform(next(keys), shape) * (latest + 1))
  return Scenes(
    present=jax.random.bernoulli(next(keys), PRESENT, shape),
    start=jnp.minimum(start.astype(jnp.int32), latest),
    frames=frames,
    index=jax.random.randint(next(keys), shape, 0, images),
    place=jax.random.randint(next(keys), (*shape, 2), 0, 1 << 10),
    speed=jax.random.randint(
      next(keys), (*shape, 2), -FASTEST, FASTEST + 1, jnp.int32
    ),
    noise=jax.random.bernoulli(next(keys), 0.5, (*shape, 2)),
    noise_key=jax.random.split(next(keys), batch),
    window=window,
  )


def distinct_sum(digits: jax.Array) -> Values:
  """The sum of the distinct digits up to each frame.

  Args:
    digits: [B, T] int, `NOTHING` where there is none.

  Returns:
    [B, T] float32.
  """
  shown = jax.nn.one_hot(digits, CLASSES, dtype=jnp.float32)
  seen = jax.lax.cummax(shown, axis=1)
  return seen @ jnp.arange(CLASSES, dtype=jnp.float32)


def importance(digits: jax.Array) -> Values:
  """The Shapley value of each frame; all of a video add up to its label.

  Args:
    digits: [B, T] int, `NOTHING` where there is none.

  Returns:
    [B, T] float32.
  """
  shown = jax.nn.one_hot(digits, CLASSES, dtype=jnp.float32)
  often = shown.sum(axis=1)  # [B, 10]
  worth = jnp.arange(CLASSES)[None, :] / jnp.maximum(often, 1)
  return jnp.einsum("btd,bd->bt", shown, worth)


@dataclasses.dataclass(frozen=True)
class VideoSampler:
  """Draws batches of videos; it stands where a `sequences.Sampler` does.

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
