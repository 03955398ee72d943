"""Image files of digits -> frames, whatever the files are.

Every file that cannot be used is an `InputError` of one line that names it.
"""

import codecs
import contextlib
import functools
import glob
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from seqsum.data import natural_order, pixels
from seqsum.data.pixels import PictureFacts
from seqsum.runtime.errors import InputError, require_file
from seqsum.sequences.pixel_rule import PixelRule

T = TypeVar("T")
# No format that runs another program (EPS) or is none of a camera's. HEIF needs
# pillow-heif.
FORMATS = (
  "AVIF",
  "BMP",
  "GIF",
  "HEIF",
  "JPEG",
  "JPEG2000",
  "MPO",
  "PNG",
  "PPM",
  "TIFF",
  "WEBP",
)
HEIF_ENDINGS = (".heic", ".heif", ".hif", ".heics", ".heifs")
NO_HEIF = "pip install 'seqsum[heif]' reads HEIC"
# Files that Windows, macOS and a NAS add to a folder of pictures.
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir")
MOST_NAMED = 3  # files that an error names


class PictureWarning(UserWarning):
  """A picture that can be read and is perhaps not what was meant."""


def find(paths: Iterable[str | os.PathLike]) -> list[str]:
  """The files that are meant, in order.

  Raises:
    InputError: A path leads to none; see also `find_in_folder`.
  """
  found = []
  for path in map(os.fspath, paths):
    if os.path.isdir(path):
      found += find_in_folder(path)
    elif os.path.lexists(path):
      found.append(path)
    elif matches := glob.glob(path, recursive=True):
      files = [match for match in matches if not os.path.isdir(match)]
      found += natural_order.sort(files)
    else:
      raise InputError(f"{path}: there is no such file")
  if not found:
    raise InputError("no images: name files, folders or globs")
  return found


def find_in_folder(folder: str | os.PathLike) -> list[str]:
  """The pictures in a folder, in natural order.

  A file is a picture by the ending of its name, or by its content if the ending
  is none of a picture's. Hidden files, those of the system (Thumbs.db) and text
  are no pictures. All other files, and folders that hold pictures, are refused,
  since a sequence without one of its frames has another sum.

  Raises:
    InputError: The folder cannot be listed, has no picture, or has files that
      may be pictures and cannot be read.
  """
  try:
    entries = [x for x in os.scandir(folder) if not is_hidden(x.name)]
  except OSError as error:
    raise InputError(f"{folder}: {error.strerror}") from error
  entries = {entry.path: entry for entry in entries}
  pictures, unread = [], []
  for entry in map(entries.get, natural_order.sort(entries)):
    if entry.is_dir():
      if any(is_named_so(x) for x in os.listdir(entry) if not is_hidden(x)):
        unread.append(entry.name + os.sep)
    elif is_named_so(entry.name) or _can_identify(entry.path):
      pictures.append(entry.path)
    elif not _is_text(entry.path) or _is_drawing(entry.name):
      unread.append(entry.name)
  if unread:
    count = len(unread)
    names = ", ".join(map(repr, unread[:MOST_NAMED]))
    more = f" and {count - MOST_NAMED} more" if count > MOST_NAMED else ""
    heif = any(x.lower().endswith(HEIF_ENDINGS) for x in unread)
    raise InputError(
      f"{os.fspath(folder)}: {count} of {count + len(pictures)} files cannot "
      f"be read as pictures ({names}{more}): "
      + (f"{NO_HEIF}; " if heif else "")
      + "convert them to PNG, move them away, or name the files that are meant"
    )
  if not pictures:
    raise InputError(f"{os.fspath(folder)}: a folder without images")
  return pictures


def is_hidden(name: str) -> bool:
  """Whether a file or folder is hidden or the system's, and never a picture."""
  return name.startswith(".") or name.lower() in SYSTEM_FILES


def _can_identify(path: str) -> bool:
  """Whether the content is a picture's of one of `FORMATS`."""
  try:
    with _open(path):
      return True
  except Exception:  # whatever the content does to Pillow's parsers
    return False


def _is_text(path: str) -> bool:
  """Whether a file begins as text does; an empty one is text."""
  try:
    if not os.path.isfile(path):  # opening a pipe would wait
      return False
    with open(path, "rb") as file:
      start = file.read(4096)
  except OSError:
    return False
  if start.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
    return True
  try:
    # The last character may be cut off.
    codecs.getincrementaldecoder("utf-8")().decode(start)
  except UnicodeDecodeError:
    return False
  return b"\0" not in start


def _is_drawing(name: str) -> bool:
  """Whether a text file is a picture by its name: SVG, XPM, EPS."""
  ending = Path(name).suffix.lower()
  return ending in (".svg", ".ai", *Image.registered_extensions())


@functools.cache
def _formats() -> list[str]:
  """Those of `FORMATS` that are installed."""
  Image.init()
  with contextlib.suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()
  return [name for name in FORMATS if name in Image.OPEN]


def is_named_so(path: str | os.PathLike) -> bool:
  """Whether a file is an image by the ending of its name."""
  formats = _formats()
  return Image.registered_extensions().get(Path(path).suffix.lower()) in formats


def read_picture(
  path: str | os.PathLike, rule: PixelRule | None = None
) -> np.ndarray:
  """The brightness of an image file: [H, W] float32 in 0..1.

  Colour becomes luminance, transparency the paper behind it, and a photo is
  turned as its camera was held.

  Args:
    path: The file.
    rule: Of the data set that it belongs to. Values outside the rule's range
      are returned as they are, outside 0..1. None chooses a rule for this
      picture alone.

  Raises:
    InputError: It cannot be read, is more than one picture, or does not go with
      the rule.
  """
  return _read(path, lambda image: pixels.brightness(image, rule))


def read_colours(
  path: str | os.PathLike, rule: PixelRule | None = None
) -> np.ndarray:
  """[H, W, 3] float32 in 0..1, red, green and blue; see `read_picture`."""
  return _read(path, lambda image: pixels.colours(image, rule))


def inspect(path: str | os.PathLike, colour: bool) -> PictureFacts:
  """What a `PixelRule` depends on, see `pixels.inspect`.

  Raises:
    InputError: As `read_picture` does, as far as pixels are decoded.
  """
  return _read(path, lambda image: pixels.inspect(image, colour))


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[Image.Image]:
  """Opens a picture, its pixels not yet read."""
  require_file(path)
  # Pillow 13 maps an uncompressed TIFF that it opens by path into memory with
  # the sides of the turned picture, which scrambles the pixels.
  with (
    open(path, "rb") as file,
    Image.open(file, formats=_formats()) as image,
  ):
    yield image


def _read(path: str | os.PathLike, convert: Callable[[Image.Image], T]) -> T:
  try:
    with warnings.catch_warnings():
      # Pillow warns of one that is large and refuses one that is larger.
      warnings.simplefilter("error", Image.DecompressionBombWarning)
      with _open(path) as image:
        # MPO is what some cameras write: a photo and its preview.
        count = getattr(image, "n_frames", 1)
        if count > 1 and image.format != "MPO":
          raise InputError(
            f"{path}: {count} pictures in one file (animated, or pages): save "
            "each as a file"
          )
        try:
          return convert(image)
        except InputError as error:
          raise InputError(f"{path}: {error}") from error
  except InputError:
    raise
  except Image.UnidentifiedImageError as error:
    size = os.path.getsize(path)
    what = "not an image that can be read" if size else "empty, zero bytes"
    heif = os.fspath(path).lower().endswith(HEIF_ENDINGS)
    raise InputError(
      f"{path}: {what}; give PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
      + (f", or {NO_HEIF}" if heif and "HEIF" not in _formats() else "")
    ) from error
  except (Image.DecompressionBombWarning, Image.DecompressionBombError):
    raise InputError(
      f"{path}: more than {Image.MAX_IMAGE_PIXELS:,} pixels, and not read; "
      "make it smaller"
    ) from None
  except OSError as error:
    reason = error.strerror or f"damaged or cut off ({_line(error)})"
    raise InputError(f"{path}: {reason}") from error
  except Exception as error:  # Pillow's decoders raise what they come upon
    raise InputError(f"{path}: damaged ({_line(error)})") from error


def _line(error: Exception) -> str:
  return " ".join(str(error).split()) or type(error).__name__
