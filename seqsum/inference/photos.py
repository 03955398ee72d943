"""Photos and drawings of one digit each -> frames as MNIST has them."""

import os
import warnings
from collections.abc import Iterable

import numpy as np

from seqsum.data.image_files import PictureWarning, find, read_picture
from seqsum.inference import normalize
from seqsum.runtime.errors import InputError


def read_images(
  paths: str | os.PathLike | Iterable[str | os.PathLike],
) -> np.ndarray:
  """Reads photos or drawings of one digit each.

  Args:
    paths: Files, folders (all images in them) and globs, or one of them; those
      of a folder or a glob in natural order, 2.png before 10.png
      (`natural_order`).

  Returns:
    [T, 28, 28, 1] uint8, as MNIST was made.

  Raises:
    InputError: A file is not there, is not an image, or shows no digit.

  Warns:
    PictureWarning: A picture seems to show something else than one digit.
  """
  if isinstance(paths, str | os.PathLike):  # not its characters
    paths = [paths]
  return np.stack([read_frame(path) for path in find(paths)])


def read_frame(path: str | os.PathLike) -> np.ndarray:
  """[28, 28, 1] uint8; see `read_images`."""
  picture = read_picture(path)
  try:
    frame, doubt = normalize.frame_and_doubt(picture)
  except InputError as error:
    raise InputError(f"{path}: {error}") from error
  if doubt:
    warnings.warn(f"{os.fspath(path)}: {doubt}", PictureWarning, stacklevel=2)
  return frame
