"""The content of videos of digits, frame by frame, and its target values."""

import jax
import jax.numpy as jnp
from flax import struct

from seqsum.sequences.digit import CLASSES, SHAPE
from seqsum.sequences.shapes import Images, Key, Labels, Values

PRESENT = 0.8  # probability that a digit appears in a window
SHORTEST = 2  # frames of an appearance, at least
FASTEST = 3  # pixels per frame, in each direction
NOTHING = -1  # the label of a frame without a digit


class Scenes(struct.PyTreeNode):
  """The content of B videos: at most one digit in each of W windows.

  Attributes:
    present: [B, W] bool, whether a digit appears.
    start, frames: [B, W] int32, its first frame in the window, and its frames.
    index: [B, W] int32, its image.
    place, speed: [B, W, 2] int32, its position at the window's first frame and
      its change per frame, in pixels down and to the right.
    noise: [B, W, 2] bool, whether the frames before and after it are noise
      rather than blank.
    noise_key: [B] keys of the noise.
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
    """[1, T] int32, the index of each frame in its window."""
    windows = self.present.shape[1]
    return jnp.tile(jnp.arange(self.window), windows)[None, :]

  @property
  def visible(self) -> jax.Array:
    """[B, T] bool, whether a frame shows a digit."""
    start, frames, present = map(
      self._over_time, (self.start, self.frames, self.present)
    )
    since = self._clock - start
    return present & (since >= 0) & (since < frames)

  def digits(self, labels: Labels) -> jax.Array:
    """[B, T] int32, the digit on each frame, or `NOTHING`."""
    shown = self._over_time(jnp.asarray(labels)[self.index])
    return jnp.where(self.visible, shown, NOTHING)

  def draw(self, images: Images, side: int) -> Images:
    """[B, T, side, side, 1] uint8."""
    time = self.visible.shape[1]
    room = side - SHAPE[0]
    place = self._over_time(self.place) + self._over_time(
      self.speed
    ) * jnp.expand_dims(self._clock, -1)
    # Reflected at the borders: a triangle wave.
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
    noise_before, noise_after = (
      self._over_time(self.noise[..., i]) for i in (0, 1)
    )
    noisy = jnp.where(after, noise_after, noise_before)
    noise = jax.vmap(
      lambda key: jax.random.bits(key, moved.shape[1:], jnp.uint8)
    )(self.noise_key)
    filler = jnp.where(noisy[..., None, None, None], noise, 0)
    return jnp.where(self.visible[..., None, None, None], moved, filler)


def draw_scenes(
  key: Key, batch: int, windows: int, window: int, images: int
) -> Scenes:
  """Draws the content of `batch` videos of `windows` x `window` frames."""
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
    digits: [B, T] int, or `NOTHING`.

  Returns:
    [B, T] float32.
  """
  shown = jax.nn.one_hot(digits, CLASSES, dtype=jnp.float32)
  seen = jax.lax.cummax(shown, axis=1)
  return seen @ jnp.arange(CLASSES, dtype=jnp.float32)


def importance(digits: jax.Array) -> Values:
  """The Shapley value of each frame; those of a video add up to its label.

  Args:
    digits: [B, T] int, or `NOTHING`.

  Returns:
    [B, T] float32.
  """
  shown = jax.nn.one_hot(digits, CLASSES, dtype=jnp.float32)
  count = shown.sum(axis=1)  # [B, 10]
  value = jnp.arange(CLASSES)[None, :] / jnp.maximum(count, 1)
  return jnp.einsum("btd,bd->bt", shown, value)
