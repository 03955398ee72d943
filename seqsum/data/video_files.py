"""Video files and folders of pictures -> frames.

Needs PyAV: pip install 'seqsum[video]'. Files are untrusted: FFmpeg would
follow a playlist to other files and to the network, so only containers that
hold the video themselves are opened, and sizes are checked before decoding.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from PIL import Image

from seqsum.data import image_files
from seqsum.data.pixels import PictureFacts, PixelSurvey
from seqsum.runtime.errors import InputError, one_line
from seqsum.sequences.pixel_rule import PixelRule

CONTAINERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,ogg,flv,gif"
MAX_PIXELS = 8192 * 4320  # of a frame
MAX_BYTES = 1 << 30  # of all frames of a sequence
DEFAULT_RATE = 25.0  # frames a second, of a file that has no times
NO_FRAME = "contains no frame"


def read(
  path: str | os.PathLike,
  shape: tuple[int, int, int] | None = None,
  rule: PixelRule | None = None,
) -> np.ndarray:
  """Reads the frames of a video, or of a folder of pictures of one size.

  Args:
    path: A video, without its sound; a folder, whose pictures are read in
      natural order, 2.png before 10.png; or one picture.
    shape: (H, W, C) to resize frames to, C 1 (luminance) or 3 (RGB): each pixel
      is the mean of the area that it covers, other proportions are stretched.
      By default the original size, in RGB.
    rule: How pictures become frames; None chooses one rule for all pictures of
      the folder. Values outside its range are clipped, with a warning.

  Returns:
    [T, H, W, C] uint8, T at least 1. A truncated video returns its remaining
    frames if the container does not record its length (MKV, AVI).

  Raises:
    InputError: The file cannot be read or is too large; the message names it.
  """
  channels = 3 if shape is None else shape[2]
  if rule is None and is_pictures(path):
    rule = survey([path]).rule
  return _collect(path, _frames(path, channels, rule), shape)


class Survey(NamedTuple):
  """Properties of a set of sequences, found without keeping their frames.

  Attributes:
    counts: Number of frames of each sequence.
    size: (H, W) of the first frame.
    range: The smallest and the largest (H, W), by area; () if all frames have
      the same size.
    coloured: Whether any pixel is not grey.
    rule: The conversion of all pictures.
  """

  counts: tuple[int, ...]
  size: tuple[int, int]
  range: tuple[tuple[int, int], ...]
  coloured: bool
  rule: PixelRule


def survey(paths: Iterable[str | os.PathLike]) -> Survey:
  """Inspects all frames that `read` would return, one in memory at a time.

  The header of most pictures is enough: pixels are decoded where a picture has
  more than 8 bits, may be transparent, or may be the first with a colour.
  Videos are decoded.

  Raises:
    InputError: As for `read`, except for the sizes; or the pictures have no
      common scale.
  """
  pixels, counts, sizes = PixelSurvey(), [], set()
  first: tuple[int, int] | None = None
  for path in paths:
    if is_pictures(path):
      files = image_files.find([path])
      for file in files:
        if first is None:
          height, width = image_files.read_picture(file).shape
          first = height, width
        facts = image_files.inspect(file, colour=not pixels.coloured)
        pixels.add(file, facts)
        sizes.add(facts.size)
      counts.append(len(files))
      continue
    count = 0
    for name, frame in _frames(path, 3):
      count, (height, width, _) = count + 1, frame.shape
      size = height, width
      first = first or size
      sizes.add(size)
      coloured = not pixels.coloured and bool((frame != frame[..., :1]).any())
      pixels.add(name, PictureFacts(size, "8-bit", coloured=coloured))
    if not count:
      raise InputError(f"{path}: {NO_FRAME}")
    counts.append(count)
  assert first is not None  # `paths` is not empty
  ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
  return Survey(
    counts=tuple(counts),
    size=first,
    range=(ordered[0], ordered[-1]) if len(sizes) > 1 else (),
    coloured=pixels.coloured,
    rule=pixels.rule(),
  )


def names(path: str | os.PathLike, count: int) -> list[str]:
  """Names of the `count` frames that `read` returned."""
  if is_pictures(path):
    return image_files.find([path])
  return [f"{path}:{i + 1}" for i in range(count)]


def is_pictures(path: str | os.PathLike) -> bool:
  """Whether a path is a folder or, by its name, a picture; else a video."""
  name = str(path).lower()
  is_picture = image_files.is_image_name(path) or name.endswith(
    image_files.HEIF_ENDINGS
  )
  # A GIF may be animated.
  return os.path.isdir(path) or (is_picture and not name.endswith(".gif"))


def _frames(
  path: str | os.PathLike, channels: int, rule: PixelRule | None = None
) -> Iterator[tuple[str, np.ndarray]]:
  """Yields names and [h, w, channels] uint8; raises as `read` does."""
  if is_pictures(path):
    yield from _pictures(path, channels, rule or PixelRule())
    return
  with errors(path):
    for frame in frames_of(path):
      yield f"{path}: frame {frame.number}", frame.pixels(channels)


class VideoFrame(NamedTuple):
  """A decoded frame of a video."""

  number: int  # from 0
  seconds: float  # since the first frame; never decreases
  decoded: Any  # an `av.VideoFrame`

  def pixels(self, channels: int = 3) -> np.ndarray:
    """[h, w, channels] uint8, upright; 1 channel is luminance, 3 are RGB."""
    name = "gray" if channels == 1 else "rgb24"
    picture = self.decoded.to_ndarray(format=name)
    # `rotation` is in degrees, counterclockwise.
    turned = np.rot90(picture, round(self.decoded.rotation / 90))
    return np.ascontiguousarray(turned).reshape(*turned.shape[:2], channels)


def frames_of(path: str | os.PathLike) -> Iterator[VideoFrame]:
  """Decodes a video file, one frame in memory, with the times of the file.

  A frame without a time follows the one before by the mean duration of a frame.

  Raises:
    InputError: The file cannot be read or holds no video, or PyAV is missing.
  """
  with errors(path), _open(path) as (box, stream):
    rate = float(stream.average_rate or stream.guessed_rate or DEFAULT_RATE)
    first, last = None, 0.0
    for i, frame in enumerate(box.decode(stream)):
      seconds = frame.time
      if seconds is None:
        seconds = (first or 0.0) + last + (1 / rate if i else 0.0)
      first = seconds if first is None else first
      last = max(last, seconds - first)
      yield VideoFrame(i, last, frame)


def estimate_length(path: str | os.PathLike) -> int:
  """The number of frames by the header of a video; 0 if it has none."""
  with errors(path), _open(path) as (box, stream):
    if stream.frames:
      return stream.frames
    duration = (box.duration or 0) / 1_000_000  # microseconds
    return max(0, round(duration * float(stream.average_rate or 0)))


@contextlib.contextmanager
def errors(path: str | os.PathLike) -> Iterator[None]:
  """Turns the errors of PyAV in the block into an `InputError` of one line."""
  try:
    yield
  except InputError:
    raise
  except Exception as error:  # PyAV has a class for each error of FFmpeg
    raise InputError(
      f"{path}: not a video, damaged or truncated "
      f"({reason(error)}); give MP4, MOV, MKV, WebM, AVI, MPEG, OGG or GIF"
    ) from error


def require_av(path: str | os.PathLike) -> Any:
  """Imports PyAV; raises `InputError` if it is not installed."""
  try:
    import av
  except ImportError as error:
    raise InputError(
      f"{path}: video needs PyAV: pip install 'seqsum[video]'"
    ) from error
  return av


def reason(error: Exception) -> str:
  """The message of the system or of FFmpeg."""
  return getattr(error, "strerror", None) or one_line(error)


def _collect(
  path: str | os.PathLike,
  frames: Iterable[tuple[str, np.ndarray]],
  shape: tuple[int, int, int] | None,
) -> np.ndarray:
  """Stacks named frames [h, w, C] uint8 -> [T, H, W, C] uint8."""
  found: list[np.ndarray] = []
  size = 0
  for name, frame in frames:
    frame = frame if shape is None else resize(frame, *shape[:2])
    if found and frame.shape != found[0].shape:
      (h, w, _), (height, width, _) = frame.shape, found[0].shape
      raise InputError(
        f"{name}: {w}x{h} pixels, the first frame has {width}x{height}; give "
        "a shape for all"
      )
    size += frame.nbytes
    if size > MAX_BYTES:
      raise InputError(
        f"{path}: more than {len(found)} frames exceed {MAX_BYTES:,} bytes; "
        "give a smaller shape, or cut the video"
      )
    found.append(frame)
  if not found:
    raise InputError(f"{path}: {NO_FRAME}")
  return np.stack(found)


def _pictures(
  path: str | os.PathLike, channels: int, rule: PixelRule
) -> Iterator[tuple[str, np.ndarray]]:
  files, outside = image_files.find([path]), []
  for name in files:
    if channels == 1:
      picture = image_files.read_picture(name, rule)[..., None]
    else:
      picture = image_files.read_colours(name, rule)
    if rule.depth != "8-bit" and not 0 <= picture.min() <= picture.max() <= 1:
      outside.append(name)
    yield name, np.round(255 * picture.clip(0, 1)).astype(np.uint8)
  if outside:
    logging.warning(
      "%s: values outside %s, the range of the training data, are clipped (%d "
      "of %d pictures, the first is %s)",
      path,
      rule.range,
      len(outside),
      len(files),
      os.path.basename(outside[0]),
    )


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[tuple[Any, Any]]:
  """Opens a video: its container and the first stream that is no cover."""
  if not os.path.isfile(path):  # a pipe has no end
    raise InputError(f"{path}: there is no such file")
  if not os.path.getsize(path):
    raise InputError(f"{path}: empty, zero bytes")
  av = require_av(path)
  options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "none"}
  limit = {"max_pixels": str(MAX_PIXELS)}
  # An open file, so that FFmpeg takes no file name for a protocol.
  with (
    open(path, "rb") as file,
    av.open(file, options=options | limit, metadata_errors="replace") as box,
  ):
    cover = av.stream.Disposition.attached_pic  # a picture in a music file
    streams = [x for x in box.streams.video if not x.disposition & cover]
    if not streams:
      raise InputError(f"{path}: contains no video")
    codec = streams[0].codec_context
    if codec is None:
      raise InputError(f"{path}: FFmpeg has no decoder for this video")
    if codec.width * codec.height > MAX_PIXELS:
      raise InputError(
        f"{path}: {codec.width}x{codec.height} pixels are too many: scale it "
        "down"
      )
    codec.options = limit  # the size may change within the video
    yield box, streams[0]


def resize(frame: np.ndarray, height: int, width: int) -> np.ndarray:
  """[h, w, C] -> [H, W, C] uint8."""
  if frame.shape[:2] == (height, width):
    return frame
  image = Image.fromarray(frame if frame.shape[2] == 3 else frame[..., 0])
  image = image.resize((width, height), Image.Resampling.BOX)
  return np.asarray(image).reshape(height, width, -1)
