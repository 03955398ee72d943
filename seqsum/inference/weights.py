"""A model's parameters in one small file, `weights.npz`.

The folder also has the run's config.json and summary.json, and weights.json:
the step, and the name, shape, dtype and SHA-256 of each array. There is no
optimizer state, and reading the files runs no code from them.
"""

import io
import json
from typing import Any

import jax
import numpy as np
from etils import epath

from seqsum.runs import manifest, run_files
from seqsum.runtime.errors import InputError, one_line

FILE, MANIFEST = "weights.npz", "weights.json"
SHAPE: run_files.Shape = {
  "step": run_files.COUNT,
  "arrays": run_files.OBJECT,
}


def pack(step: int, params: Any) -> dict[str, bytes]:
  """Packs parameters and their training step as the two files, by name."""
  arrays: dict[str, Any] = {
    name: np.asarray(x) for name, x in manifest.leaves_by_name(params).items()
  }
  stream = io.BytesIO()
  np.savez_compressed(stream, **arrays)
  header = {"step": step, "arrays": manifest.describe(params)}
  text = json.dumps(header, indent=2) + "\n"
  return {FILE: stream.getvalue(), MANIFEST: text.encode()}


def read(folder: epath.Path, abstract_state: Any) -> tuple[int, Any]:
  """Reads the step and the parameters.

  `abstract_state` is the expected tree of `jax.ShapeDtypeStruct`.

  Raises:
    InputError: A file cannot be read, is damaged, or fits another model.
  """
  path = folder / FILE
  try:
    header = run_files.read_json(folder / MANIFEST, SHAPE)
    if header is None:
      raise InputError(f"{MANIFEST} is missing; copy the folder again")
    step, saved = header["step"], header["arrays"]
    manifest.compare(saved, abstract_state)
    content = run_files.read_bytes(path) or b""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
      arrays = {
        name: file[name] for name in manifest.leaves_by_name(abstract_state)
      }
    damaged = manifest.describe(arrays) != saved
  except InputError as error:
    raise InputError(f"{path}: {error}") from error
  except MemoryError:
    raise
  except Exception as error:  # a damaged file may raise any exception
    raise InputError(
      f"{path}: cannot be read with {MANIFEST} ({one_line(error)}); copy the "
      "folder again"
    ) from error
  if damaged:
    raise InputError(
      f"{path}: its SHA-256 differs from {MANIFEST}; copy the folder again"
    )
  leaves = [arrays[name] for name in manifest.leaves_by_name(abstract_state)]
  return step, jax.tree.unflatten(jax.tree.structure(abstract_state), leaves)
