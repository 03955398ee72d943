"""Image files of digits -> frames, whatever the files are.

Every file that cannot be used is an `InputError` of one line that names it.
"""

import functools
import glob
import os
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from seqsum import natural_order, normalize, pixels
from seqsum.errors import InputError, require_file
from seqsum.pixels import PictureFacts, PixelRule

T = TypeVar("T")
# No format that runs another program (EPS) or is none of a camera's.
FORMATS = (
  "AVIF",
  "BMP",
  "GIF",
  "JPEG",
  "JPEG2000",
  "MPO",
  "PNG",
  "PPM",
  "TIFF",
  "WEBP",
)
# Files that Windows, macOS and a NAS add to a folder of pictures.
SYSTEM_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "@eadir")


def read_images(paths: Iterable[str | os.PathLike]) -> np.ndarray:
  """Reads photos or drawings of one digit each.

  Args:
    paths: Files, folders (all images in them) and globs; those of a folder or
      a glob in natural order, 2.png before 10.png (`natural_order`).

  Returns:
    [T, 28, 28, 1] uint8, as MNIST was made.

  Raises:
    InputError: A file is not there, is not an image, or shows no digit.
  """
  return np.stack([read_frame(path) for path in find(paths)])


def read_frame(path: str | os.PathLike) -> np.ndarray:
  """[28, 28, 1] uint8; see `read_images`."""
  picture = read_picture(path)
  try:
    return normalize.frame(picture)
  except InputError as error:
    raise InputError(f"{path}: {error}") from error


def find(paths: Iterable[str | os.PathLike]) -> list[str]:
  """The files that are meant, in order.

  Raises:
    InputError: A path leads to none.
  """
  found = []
  for path in map(os.fspath, paths):
    if os.path.isdir(path):
      inside = [entry.path for entry in os.scandir(path) if _is_image(entry)]
      if not inside:
        raise InputError(f"{path}: a folder without images")
      found += natural_order.sort(inside)
    elif os.path.lexists(path):
      found.append(path)
    elif matches := glob.glob(path, recursive=True):
      found += natural_order.sort(filter(os.path.isfile, matches))
    else:
      raise InputError(f"{path}: there is no such file")
  if not found:
    raise InputError("no images: name files, folders or globs")
  return found


@functools.cache
def _formats() -> list[str]:
  """Those of `FORMATS` that this Pillow was built with."""
  Image.init()
  return [name for name in FORMATS if name in Image.OPEN]


def is_named_so(path: str | os.PathLike) -> bool:
  """Whether a file is an image by the ending of its name."""
  known = Image.registered_extensions()
  return known.get(Path(path).suffix.lower()) in FORMATS


def is_hidden(name: str) -> bool:
  """Whether a file or folder is hidden or the system's, and never a picture."""
  return name.startswith(".") or name.lower() in SYSTEM_FILES


def _is_image(entry: os.DirEntry) -> bool:
  return not is_hidden(entry.name) and is_named_so(entry.name)


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


def inspect(
  path: str | os.PathLike, colour: bool = True, decode: bool = False
) -> PictureFacts:
  """What a `PixelRule` depends on, see `pixels.inspect`.

  Raises:
    InputError: As `read_picture` does, as far as pixels are decoded.
  """
  return _read(path, lambda image: pixels.inspect(image, colour, decode))


def _read(path: str | os.PathLike, convert: Callable[[Image.Image], T]) -> T:
  try:
    with warnings.catch_warnings():
      # Pillow warns of one that is large and refuses one that is larger.
      warnings.simplefilter("error", Image.DecompressionBombWarning)
      require_file(path)
      with Image.open(path, formats=_formats()) as image:
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
    raise InputError(
      f"{path}: {what}; give PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
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
