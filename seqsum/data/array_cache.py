"""Arrays kept in a file, because it takes long to make them again.

The file is NumPy's .npz, uncompressed, and carries the digest of what it holds.
Trouble with it is a warning and never an error: whoever asked makes the arrays.
"""

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from absl import logging

from seqsum.runtime.errors import require_file


def digest(arrays: Iterable[np.ndarray]) -> str:
  """SHA-256 of the arrays' bytes (C order, little-endian), one by one."""
  sha256 = hashlib.sha256()
  for array in arrays:
    little = array.dtype.newbyteorder("<")
    sha256.update(np.ascontiguousarray(array, little))
  return sha256.hexdigest()


def load(
  path: Path, keys: Sequence[str], sha256: str | None = None
) -> list[np.ndarray] | None:
  """Reads what `save` kept.

  Args:
    path: The file's.
    keys: Names of all arrays, in the order in which they were saved.
    sha256: The digest they must have; None for the one in the file.

  Returns:
    The arrays, or None if the file is not there or damaged.
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
  except Exception as error:  # whatever damage does to a zip file
    logging.warning("%s is damaged (%s); making it again", path, error)
    return None


def save(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Keeps the arrays, if the folder is there and has room.

  They are written under another name and renamed, so that whoever reads sees
  all of the file or none.
  """
  partial = path.with_name(f".{uuid.uuid4().hex}.npz")
  try:
    np.savez(partial, sha256=np.array(digest(arrays.values())), **arrays)
    partial.replace(path)
  except OSError as error:
    logging.warning("cannot keep %s (%s); starts will be slow", path, error)
  finally:
    partial.unlink(missing_ok=True)
