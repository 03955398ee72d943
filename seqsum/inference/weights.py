"""A model's parameters in one small file: weights.npz or model.safetensors.

The second is for the Hugging Face Hub. The folder also has the run's
config.json and summary.json, and weights.json: the step, and the name, shape,
dtype and SHA-256 of each array. There is no optimizer state, and reading the
files runs no code from them.
"""

import importlib.util
import io
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from seqsum.runs import manifest, run_files
from seqsum.runtime.errors import InputError, one_line

FILE, MANIFEST = "weights.npz", "weights.json"
SAFETENSORS = "model.safetensors"
SHAPE: run_files.Shape = {
  "step": run_files.COUNT,
  "arrays": run_files.OBJECT,
}


def pack(step: int, params: Any, file: str = FILE) -> dict[str, bytes]:
  """Packs parameters and their training step as the two files, by name.

  Args:
    step: The step.
    params: A tree of arrays.
    file: `FILE` or `SAFETENSORS`, which needs the extra `hub`.
  """
  arrays: dict[str, Any] = {
    name: np.ascontiguousarray(x)
    for name, x in manifest.leaves_by_name(params).items()
  }
  if file == SAFETENSORS:
    import safetensors.numpy

    content = safetensors.numpy.save(arrays)
  else:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    content = stream.getvalue()
  header = {"step": step, "arrays": manifest.describe(params)}
  text = json.dumps(header, indent=2) + "\n"
  return {file: content, MANIFEST: text.encode()}


def find(folder: epath.Path) -> epath.Path | None:
  """The file of the parameters in a folder; None if there is none."""
  paths = [folder / name for name in (FILE, SAFETENSORS)]
  return next((path for path in paths if path.exists()), None)


def _unpack(path: epath.Path, names: Mapping[str, Any]) -> dict[str, Any]:
  """Reads the arrays of some names; a damaged file may raise any exception."""
  content = run_files.read_bytes(path) or b""
  if path.name == SAFETENSORS:
    if not importlib.util.find_spec("safetensors"):
      raise InputError("needs safetensors: pip install -e '.[hub]'")
    import safetensors.numpy

    arrays = safetensors.numpy.load(content)
    return {name: arrays[name] for name in names}
  with np.load(io.BytesIO(content), allow_pickle=False) as file:
    return {name: file[name] for name in names}


def read(folder: epath.Path, abstract_state: Any) -> tuple[int, Any]:
  """Reads the step and the parameters.

  `abstract_state` is the expected tree of `jax.ShapeDtypeStruct`.

  Raises:
    InputError: A file cannot be read, is damaged, or fits another model.
  """
  path = find(folder) or folder / FILE
  try:
    header = run_files.read_json(folder / MANIFEST, SHAPE)
    if header is None:
      raise InputError(f"{MANIFEST} is missing; copy the folder again")
    step, saved = header["step"], header["arrays"]
    manifest.compare(saved, abstract_state)
    arrays = _unpack(path, manifest.leaves_by_name(abstract_state))
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
