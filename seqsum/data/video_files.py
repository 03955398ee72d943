"""Video files and folders of pictures -> frames.

Needs PyAV: pip install 'seqsum[video]'. Files are strangers': FFmpeg would
follow a playlist to other files and to the network, so only containers that
hold the video themselves are opened, and sizes are bounded before decoding.
"""

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
MOST_PIXELS = 8192 * 4320  # of one picture of a video
MOST_BYTES = 1 << 30  # of all frames that are returned
PLAIN = PixelRule()
NO_FRAME = "there is no frame in it"


def read(
  path: str | os.PathLike,
  shape: tuple[int, int, int] | None = None,
  rule: PixelRule | None = None,
) -> np.ndarray:
  """The frames of a video, or of a folder of pictures of one size.

  Args:
    path: A video, of which sound is left out, or a folder, whose pictures are
      taken in natural order, 2.png before 10.png; or one picture.
    shape: H, W, C to bring the frames to, C 1 (luminance) or 3 (red, green,
      blue): each pixel is the mean of what it covers, and what has other
      proportions is stretched. By default the size that they have, in colour.
    rule: How pictures become frames; None chooses one rule for all pictures of
      the folder. Values outside its range are clipped, with a warning.

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
  if rule is None and is_pictures(path):
    rule = survey([path]).rule
  return _collect(path, _frames(path, channels, rule), shape)


class Survey(NamedTuple):
  """What is known of sequences whose frames are not kept.

  Attributes:
    counts: How many frames each sequence has.
    size: (H, W) of the first frame.
    range: The smallest and the largest (H, W), by area; () if all frames have
      one size.
    coloured: Whether any frame is more than grey.
    rule: For all pictures.
  """

  counts: tuple[int, ...]
  size: tuple[int, int]
  range: tuple[tuple[int, int], ...]
  coloured: bool
  rule: PixelRule


def survey(paths: Iterable[str | os.PathLike]) -> Survey:
  """Looks at all frames that `read` would return, one in memory at a time.

  Of most pictures the header is enough: pixels are decoded where a picture has
  more than 8 bits, may be transparent, or may be the first with a colour.
  Videos are decoded.

  Raises:
    InputError: As `read` does, but for the sizes; or the pictures have no scale
      in common.
  """
  pixels, counts, sizes, first = PixelSurvey(), [], set(), None
  for path in paths:
    if is_pictures(path):
      files = image_files.find([path])
      for file in files:
        if first is None:
          first = image_files.read_picture(file).shape
        facts = image_files.inspect(file, colour=not pixels.coloured)
        pixels.add(file, facts)
        sizes.add(facts.size)
      counts.append(len(files))
      continue
    count = 0
    for name, frame in _frames(path, 3):
      count, size = count + 1, frame.shape[:2]
      first = first or size
      sizes.add(size)
      coloured = not pixels.coloured and _is_coloured(frame)
      pixels.add(name, PictureFacts(size, "8-bit", coloured=coloured))
    if not count:
      raise InputError(f"{path}: {NO_FRAME}")
    counts.append(count)
  ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
  return Survey(
    counts=tuple(counts),
    size=first,
    range=(ordered[0], ordered[-1]) if len(sizes) > 1 else (),
    coloured=pixels.coloured,
    rule=pixels.rule(),
  )


def _is_coloured(frame: np.ndarray) -> bool:
  return bool((frame != frame[..., :1]).any())


def names(path: str | os.PathLike, count: int) -> list[str]:
  """What to call each of the `count` frames that `read` returned."""
  if is_pictures(path):
    return image_files.find([path])
  return [f"{path}:{i + 1}" for i in range(count)]


def is_pictures(path: str | os.PathLike) -> bool:
  """Whether it is a folder or a picture, by its name; else it is a video."""
  name = str(path).lower()
  is_picture = image_files.is_named_so(path) or name.endswith(
    image_files.HEIF_ENDINGS
  )
  # A GIF may be animated.
  return os.path.isdir(path) or (is_picture and not name.endswith(".gif"))


def _frames(
  path: str | os.PathLike, channels: int, rule: PixelRule = PLAIN
) -> Iterator[tuple[str, np.ndarray]]:
  """Names and [h, w, channels] uint8; raises `InputError` as `read` does."""
  if is_pictures(path):
    yield from _pictures(path, channels, rule)
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
  return getattr(error, "strerror", None) or one_line(error)


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
