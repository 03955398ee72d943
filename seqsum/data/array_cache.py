"""A cache of arrays that are slow to prepare, in an uncompressed .npz file.

The file contains a digest of its arrays. A cache that cannot be read or written
is a warning and never an error: the caller prepares the arrays again.
"""

import contextlib
import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from seqsum.runtime.errors import require_file


def digest(arrays: Iterable[np.ndarray]) -> str:
  """SHA-256 of the bytes of all arrays, in C order, little-endian."""
  sha256 = hashlib.sha256()
  for array in arrays:
    little = array.dtype.newbyteorder("<")
    sha256.update(np.ascontiguousarray(array, little).data)
  return sha256.hexdigest()


def load(
  path: Path, keys: Sequence[str], sha256: str | None = None
) -> list[np.ndarray] | None:
  """Reads the arrays of a cache.

  Args:
    path: The file.
    keys: Names of all arrays, in the order in which they were saved.
    sha256: The expected digest; None for the one in the file.

  Returns:
    The arrays, or None if the file is missing or damaged.
  """
  try:
    require_file(path)
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
      arrays = [file[key] for key in keys]
      found = digest(arrays)
      if found != (sha256 or str(file["sha256"])):
        raise ValueError(f"digest {found}")
      return arrays
  except (FileNotFoundError, NotADirectoryError):
    return None
  except Exception as error:  # zipfile and NumPy raise many kinds on damage
    logging.warning("%s is damaged (%s); preparing it again", path, error)
    return None


def save(path: Path, arrays: Mapping[str, np.ndarray]) -> bool:
  """Writes the arrays to a cache; logs a warning if that is impossible.

  The file is written under another name and renamed, so that readers never see
  a part of it. A missing folder is created.

  Returns:
    Whether the cache was written.
  """
  partial = path.with_name(f".{uuid.uuid4().hex}.npz")
  try:
    members: dict[str, Any] = {"sha256": digest(arrays.values()), **arrays}
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(partial, **members)
    partial.replace(path)
    return True
  except OSError as error:
    logging.warning(
      "cannot write %s (%s); every start will prepare the data again",
      path,
      error,
    )
    return False
  finally:
    with contextlib.suppress(OSError):  # renamed, or in a read-only folder
      partial.unlink()
