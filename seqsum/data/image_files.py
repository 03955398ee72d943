"""Image files in any common format: find them in folders, and read pixels.

A file that cannot be used raises an `InputError` whose message names it.
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

from seqsum.data import pixels
from seqsum.data.pixels import PictureFacts
from seqsum.runtime import natural_order
from seqsum.runtime.errors import InputError, one_line, require_file
from seqsum.sequences.pixel_rule import PixelRule

T = TypeVar("T")
# Formats of photos; none that runs another program (EPS). HEIF needs
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
# Files that Windows, macOS and NAS devices add to folders of pictures.
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir")
MAX_NAMED = 3  # files listed in an error message


class PictureWarning(UserWarning):
  """A readable picture that may not be what the user intended."""


def find(paths: Iterable[str | os.PathLike]) -> list[str]:
  """Lists the files of paths, folders and globs.

  Args:
    paths: Files, which are listed as they are; folders, see `find_in_folder`;
      and globs, whose matches are in natural order.

  Raises:
    InputError: A path matches no file.
  """
  try:
    names = [os.fspath(path) for path in paths]
  except TypeError as error:
    raise InputError(
      f"paths={paths!r}: expected a list of files, folders or globs"
    ) from error
  found = []
  for path in names:
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
  """Lists the pictures in a folder, in natural order.

  A file is a picture by the ending of its name, or else by its content. Hidden
  files, those of the system (Thumbs.db) and text files are skipped. Any other
  file, and a folder that contains pictures, is an error, since a sequence
  without one of its frames has another sum.

  Raises:
    InputError: The folder cannot be listed, contains no picture, or contains
      files that may be pictures and cannot be read.
  """
  try:
    found = [x for x in os.scandir(os.fspath(folder)) if not is_hidden(x.name)]
  except OSError as error:
    raise InputError(f"{folder}: {error.strerror}") from error
  entries = {entry.path: entry for entry in found}
  pictures, unread = [], []
  for path in natural_order.sort(entries):
    entry = entries[path]
    if entry.is_dir():
      if any(is_image_name(x) for x in os.listdir(entry) if not is_hidden(x)):
        unread.append(entry.name + os.sep)
    elif is_image_name(entry.name) or _can_identify(entry.path):
      pictures.append(entry.path)
    elif not _is_text(entry.path) or _is_drawing(entry.name):
      unread.append(entry.name)
  if unread:
    count = len(unread)
    names = ", ".join(map(repr, unread[:MAX_NAMED]))
    more = f" and {count - MAX_NAMED} more" if count > MAX_NAMED else ""
    heif = any(x.lower().endswith(HEIF_ENDINGS) for x in unread)
    raise InputError(
      f"{os.fspath(folder)}: {count} of {count + len(pictures)} files cannot "
      f"be read as pictures ({names}{more}): "
      + (f"{NO_HEIF}; " if heif else "")
      + "convert them to PNG, move them away, or list the files to read"
    )
  if not pictures:
    raise InputError(f"{os.fspath(folder)}: the folder contains no images")
  return pictures


def is_hidden(name: str) -> bool:
  """Whether a file or folder is hidden, or one of `SYSTEM_FILES`."""
  return name.startswith(".") or name.lower() in SYSTEM_FILES


def _can_identify(path: str) -> bool:
  """Whether the content of a file is a picture in one of `FORMATS`."""
  try:
    with _open(path):
      return True
  except Exception:  # Pillow's parsers raise many kinds
    return False


def _is_text(path: str) -> bool:
  """Whether a file begins as text does; an empty file is text."""
  try:
    if not os.path.isfile(path):  # opening a pipe would block
      return False
    with open(path, "rb") as file:
      start = file.read(4096)
  except OSError:
    return False
  if start.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16
    return True
  try:
    # The last character may be incomplete.
    codecs.getincrementaldecoder("utf-8")().decode(start)
  except UnicodeDecodeError:
    return False
  return b"\0" not in start


def _is_drawing(name: str) -> bool:
  """Whether a text file is a drawing by its name: SVG, XPM, EPS."""
  ending = Path(name).suffix.lower()
  return ending in (".svg", ".ai", *Image.registered_extensions())


@functools.cache
def _formats() -> list[str]:
  """The `FORMATS` that are installed."""
  Image.init()
  with contextlib.suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()
  return [name for name in FORMATS if name in Image.OPEN]


def is_image_name(path: str | os.PathLike) -> bool:
  """Whether a file is a picture by the ending of its name."""
  formats = _formats()
  return Image.registered_extensions().get(Path(path).suffix.lower()) in formats


def read_picture(
  path: str | os.PathLike, rule: PixelRule | None = None
) -> np.ndarray:
  """Reads the brightness of a picture, [H, W] float32 in 0..1.

  Colours become luminance, transparent pixels get a background, and the
  orientation in the EXIF data is applied.

  Args:
    path: The file.
    rule: The rule of its data set; values outside the rule's range are returned
      outside 0..1. None chooses a rule for this picture alone.

  Raises:
    InputError: The file cannot be read, contains several pictures, or does not
      fit the rule.
  """
  return _read(path, lambda image: pixels.brightness(image, rule))


def read_colours(
  path: str | os.PathLike, rule: PixelRule | None = None
) -> np.ndarray:
  """Reads a picture as [H, W, 3] float32 RGB in 0..1; see `read_picture`."""
  return _read(path, lambda image: pixels.colours(image, rule))


def inspect(path: str | os.PathLike, colour: bool) -> PictureFacts:
  """Inspects a picture, see `pixels.inspect`.

  Raises:
    InputError: As for `read_picture`, as far as pixels are decoded.
  """
  return _read(path, lambda image: pixels.inspect(image, colour))


@contextlib.contextmanager
def _open(path: str | os.PathLike) -> Iterator[Image.Image]:
  """Opens a picture without reading its pixels."""
  require_file(path)
  # Opened by path, an uncompressed TIFF is memory-mapped by Pillow 13 with the
  # height and width of the rotated picture, which scrambles the pixels.
  with (
    open(path, "rb") as file,
    Image.open(file, formats=_formats()) as image,
  ):
    yield image


def _read(path: str | os.PathLike, convert: Callable[[Image.Image], T]) -> T:
  try:
    with warnings.catch_warnings():
      # Pillow warns of large pictures and refuses larger ones.
      warnings.simplefilter("error", Image.DecompressionBombWarning)
      with _open(path) as image:
        # MPO: a photo and its preview, as some cameras write them.
        count = getattr(image, "n_frames", 1)
        if count > 1 and image.format != "MPO":
          raise InputError(
            f"{path}: {count} pictures in one file (animation or pages): save "
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
    what = "not an image" if size else "empty, zero bytes"
    heif = os.fspath(path).lower().endswith(HEIF_ENDINGS)
    raise InputError(
      f"{path}: {what}; give PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
      + (f", or {NO_HEIF}" if heif and "HEIF" not in _formats() else "")
    ) from error
  except (Image.DecompressionBombWarning, Image.DecompressionBombError):
    raise InputError(
      f"{path}: more than {Image.MAX_IMAGE_PIXELS:,} pixels: scale it down"
    ) from None
  except OSError as error:
    reason = error.strerror or f"damaged or truncated ({one_line(error)})"
    raise InputError(f"{path}: {reason}") from error
  except Exception as error:  # Pillow's decoders raise many kinds
    raise InputError(f"{path}: damaged ({one_line(error)})") from error
