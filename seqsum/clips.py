"""Video files and folders of pictures -> frames.

Needs PyAV: pip install 'seqsum[video]'. Files are strangers': FFmpeg would
follow a playlist to other files and to the network, so only containers that
hold the video themselves are opened, and sizes are bounded before decoding.
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from seqsum import images
from seqsum.errors import InputError, brief

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg,flv,gif"
MOST_PIXELS = 8192 * 4320  # of one picture of a video
MOST_BYTES = 1 << 30  # of all frames that are returned
NO_FRAME = "there is no frame in it"


def read(
  path: str | os.PathLike, shape: tuple[int, int, int] | None = None
) -> np.ndarray:
  """The frames of a video, or of a folder of pictures of one size.

  Args:
    path: A video, of which sound is left out, or a folder, whose pictures are
      taken in natural order, 2.png before 10.png; or one picture.
    shape: H, W, C to bring the frames to, C 1 (luminance) or 3 (red, green,
      blue): each pixel is the mean of what it covers, and what has other
      proportions is stretched. By default the size that they have, in colour.

  Returns:
    [T, H, W, C] uint8, T at least 1. Of a video that is cut off, what is there
    where the container does not tell (MKV, AVI).

  Raises:
    InputError: It cannot be read, or is too large; one line names the file.
  """
  if shape is not None and (
    len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3)
  ):
    raise ValueError(f"shape {shape}, expected (H, W, C) with C of 1 or 3")
  channels = 3 if shape is None else shape[2]
  return _collect(path, _frames(path, channels), shape)


class Survey(NamedTuple):
  """What is known of frames that are not kept.

  Attributes:
    count: How many there are.
    size: (H, W) of the first.
    coloured: Whether a frame is more than grey. Of a folder only the first
      picture is looked at, of a video all that is decoded to count.
  """

  count: int
  size: tuple[int, int]
  coloured: bool


def survey(path: str | os.PathLike) -> Survey:
  """Counts the frames that `read` would return, one in memory at a time.

  Raises:
    InputError: As `read` does, but for the sizes.
  """
  frames = (frame for _, frame in _frames(path, 3))
  first = next(frames, None)
  if first is None:
    raise InputError(f"{path}: {NO_FRAME}")
  count, coloured = 1, _is_coloured(first)
  if is_pictures(path):
    count = len(images.find([path]))
  else:
    for frame in frames:
      count, coloured = count + 1, coloured or _is_coloured(frame)
  return Survey(count, first.shape[:2], coloured)


def _is_coloured(frame: np.ndarray) -> bool:
  return bool((frame != frame[..., :1]).any())


def names(path: str | os.PathLike, count: int) -> list[str]:
  """What to call each of the `count` frames that `read` returned."""
  if is_pictures(path):
    return images.find([path])
  return [f"{path}:{i + 1}" for i in range(count)]


def is_pictures(path: str | os.PathLike) -> bool:
  """Whether it is a folder or a picture, by its name; else it is a video."""
  name = str(path).lower()
  is_picture = images.is_named_so(path) or name.endswith(images.HEIF_ENDINGS)
  # A GIF may be animated.
  return os.path.isdir(path) or (is_picture and not name.endswith(".gif"))


def _frames(
  path: str | os.PathLike, channels: int
) -> Iterator[tuple[str, np.ndarray]]:
  """Names and [h, w, channels] uint8; raises `InputError` as `read` does."""
  if is_pictures(path):
    yield from _pictures(path, channels)
    return
  if not os.path.isfile(path):  # of a pipe there is no end
    raise InputError(f"{path}: there is no such file")
  if not os.path.getsize(path):
    raise InputError(f"{path}: empty, zero bytes")
  av = require_av(path)
  try:
    yield from _decode(av, path, channels)
  except InputError:
    raise
  except Exception as error:  # PyAV has a class for each error of FFmpeg's
    raise InputError(
      f"{path}: not a video that can be read, damaged or cut off "
      f"({reason(error)}); give MP4, MOV, MKV, WebM, AVI, MPEG, OGG or GIF"
    ) from error


def require_av(path: str | os.PathLike) -> Any:
  """PyAV, or an `InputError` that says how to get it."""
  try:
    import av
  except ImportError as error:
    raise InputError(
      f"{path}: video needs PyAV: pip install 'seqsum[video]'"
    ) from error
  return av


def reason(error: Exception) -> str:
  """What the system or FFmpeg says, in few words."""
  return getattr(error, "strerror", None) or brief(error)


def _collect(
  path: str | os.PathLike,
  frames: Iterable[tuple[str, np.ndarray]],
  shape: tuple[int, int, int] | None,
) -> np.ndarray:
  """Names and [h, w, C] uint8 -> [T, H, W, C] uint8."""
  found, size = [], 0
  for name, frame in frames:
    frame = frame if shape is None else _resize(frame, *shape[:2])
    if found and frame.shape != found[0].shape:
      (h, w, _), (height, width, _) = frame.shape, found[0].shape
      raise InputError(
        f"{name}: {w}x{h} pixels, the first was {width}x{height}; give a shape "
        "for all"
      )
    size += frame.nbytes
    if size > MOST_BYTES:
      raise InputError(
        f"{path}: {len(found)} frames already fill {MOST_BYTES:,} bytes; give "
        "a smaller shape, or cut it"
      )
    found.append(frame)
  if not found:
    raise InputError(f"{path}: {NO_FRAME}")
  return np.stack(found)


def _pictures(
  path: str | os.PathLike, channels: int
) -> Iterator[tuple[str, np.ndarray]]:
  for name in images.find([path]):
    if channels == 1:
      picture = images.read_picture(name)[..., None]
    else:
      picture = images.read_colours(name)
    yield name, np.round(255 * picture).astype(np.uint8)


def _decode(
  av: Any, path: str | os.PathLike, channels: int
) -> Iterator[tuple[str, np.ndarray]]:
  options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
  limit = {"max_pixels": str(MOST_PIXELS)}
  # A file that is open already: no name is taken for a protocol.
  with (
    open(path, "rb") as file,
    av.open(file, options=options | limit, metadata_errors="replace") as box,
  ):
    if not box.streams.video:
      raise InputError(f"{path}: there is no video in it")
    stream = box.streams.video[0]
    codec = stream.codec_context
    if codec is None:
      raise InputError(f"{path}: a kind of video that FFmpeg cannot decode")
    if codec.width * codec.height > MOST_PIXELS:
      raise InputError(
        f"{path}: {codec.width}x{codec.height} pixels, and not read; make it "
        "smaller"
      )
    codec.options = limit  # the size may change on the way
    for i, frame in enumerate(box.decode(stream)):
      picture = frame.to_ndarray(format="gray" if channels == 1 else "rgb24")
      picture = picture.reshape(*picture.shape[:2], channels)
      # As the camera was held; degrees, counterclockwise.
      turned = np.rot90(picture, round(frame.rotation / 90))
      yield f"{path}: frame {i}", np.ascontiguousarray(turned)


def _resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
  """[h, w, C] -> [H, W, C] uint8."""
  if frame.shape[:2] == (height, width):
    return frame
  image = Image.fromarray(frame if frame.shape[2] == 3 else frame[..., 0])
  image = image.resize((width, height), Image.Resampling.BOX)
  return np.asarray(image).reshape(height, width, -1)
