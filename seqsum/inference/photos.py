"""Photos and drawings of one digit each -> frames like MNIST's."""

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
    paths: Files, folders and globs, or one of them. A folder stands for its
      images; those of a folder or glob are in natural order, 2.png before
      10.png (`natural_order`).

  Returns:
    [T, 28, 28, 1] uint8, normalized like MNIST.

  Raises:
    InputError: A file is missing, is not an image, or shows no digit.

  Warns:
    PictureWarning: An image may show something else than one digit.
  """
  if isinstance(paths, str | os.PathLike):
    paths = [paths]
  return np.stack([read_frame(path) for path in find(paths)])


def read_frame(path: str | os.PathLike) -> np.ndarray:
  """[28, 28, 1] uint8; see `read_images`."""
  picture = read_picture(path)
  try:
    frame, warning = normalize.frame_and_warning(picture)
  except InputError as error:
    raise InputError(f"{path}: {error}") from error
  if warning:
    warnings.warn(f"{os.fspath(path)}: {warning}", PictureWarning, stacklevel=2)
  return frame
