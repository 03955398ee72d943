"""Manifest of a checkpoint: its step, its run, and a digest of each array.

It is saved beside the arrays, in `<step>/manifest`, because Orbax does not
detect a flipped byte in array data, a renamed checkpoint, or one that was
copied from another run.
"""

import hashlib
import os
import stat
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from seqsum.runs import orbax_faults, run_files
from seqsum.runtime.errors import InputError
from seqsum.runtime.object_storage import is_remote

MANIFEST: run_files.Shape = {
  "step": run_files.COUNT,
  "run": run_files.TEXT,
  "arrays": run_files.OBJECT,
}
ARRAY: run_files.Shape = {
  "shape": run_files.Kind("a list", lambda x: type(x) is list),
  "dtype": run_files.TEXT,
  "sha256": run_files.TEXT,
}


def leaves_by_name(tree: Any) -> dict[str, Any]:
  """The leaves of a tree by path, such as 'params/head/bias'."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
  return {name(path): leaf for path, leaf in leaves}


def describe(tree: Any) -> dict[str, dict[str, Any]]:
  """Shape, dtype and SHA-256 of each array, by name: the manifest's "arrays".

  Args:
    tree: A tree of arrays, each replicated on all devices.
  """
  arrays = {}
  for name, x in leaves_by_name(tree).items():
    if isinstance(x, jax.Array):
      x = x.addressable_data(0)
    array = np.ascontiguousarray(x, x.dtype.newbyteorder("<"))
    arrays[name] = {
      "shape": list(x.shape),
      "dtype": str(x.dtype),
      "sha256": hashlib.sha256(array.data).hexdigest(),
    }
  return arrays


def check(folder: epath.Path, step: int, run: str) -> dict[str, Any]:
  """Reads the manifest of a checkpoint and checks its step and run.

  Args:
    folder: The folder of one step.
    step: The step in the folder's name.
    run: Digest of the current run, see `folder.digest`.

  Returns:
    The manifest's "arrays".

  Raises:
    InputError: The manifest is missing, damaged, or of another step or run.
  """
  if not folder.exists():
    raise InputError("it does not exist")
  _check_file_types(folder)
  manifest = run_files.read_json(folder / "manifest" / "metadata")
  if manifest is None:
    raise InputError("it has no manifest/metadata: the copy is incomplete")
  problem = run_files.find_problem(manifest, MANIFEST)
  for name, array in manifest["arrays"].items() if not problem else ():
    problem = problem or run_files.find_problem(array, ARRAY, name)
  if problem:
    raise InputError(f"its manifest/metadata {problem}")
  if manifest["step"] != step:
    raise InputError(
      f"it was saved at step {manifest['step']:,} and renamed afterwards"
    )
  if manifest["run"] != run:
    raise InputError("it was saved by a run of another config or other data")
  return manifest["arrays"]


def _check_file_types(folder: epath.Path) -> None:
  """Raises `InputError` for a link, or a FIFO, which would block Orbax."""
  if is_remote(folder):
    return
  if os.path.islink(folder) or not os.path.isdir(folder):
    raise InputError("it is a link or a file, not a folder")
  for path, folders, files in os.walk(folder):
    for name in folders + files:
      file = os.path.join(path, name)
      mode = os.lstat(file).st_mode
      if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(
          f"{os.path.relpath(file, folder)} is a link or a special file"
        )


def compare(saved: dict[str, dict[str, Any]], abstract_state: Any) -> None:
  """Checks that saved arrays have the names, shapes and dtypes of a state.

  Args:
    saved: "arrays" of a manifest.
    abstract_state: A tree of arrays or of `jax.ShapeDtypeStruct`.

  Raises:
    InputError: They differ: another model or another version saved them.
  """
  expected = {
    name: {"shape": list(x.shape), "dtype": str(x.dtype)}
    for name, x in leaves_by_name(abstract_state).items()
  }
  for name in sorted(expected.keys() | saved.keys()):
    there, here = (
      f"{x[name]['dtype']}{x[name]['shape']}" if name in x else "absent"
      for x in (saved, expected)
    )
    if there != here:
      raise InputError(
        f"it is of another model or version: {name} is {there} there, {here} "
        "here"
      )


def read(folder: epath.Path, abstract_state: Any, step: int, run: str) -> Any:
  """Restores a checkpoint and checks it against its manifest.

  Each process reads on its own and waits for no other, so that it may fail
  alone.

  Args:
    folder: The folder of one step.
    abstract_state: A tree of arrays or of `jax.ShapeDtypeStruct`.
    step, run: See `check`.

  Returns:
    The tree, of NumPy arrays.

  Raises:
    InputError: The checkpoint is missing, altered, or of another model.
      Damage may also raise exceptions of Orbax and TensorStore.
  """
  saved = check(folder, step, run)
  compare(saved, abstract_state)
  alone = ocp.options.MultiprocessingOptions(
    primary_host=jax.process_index(),
    active_processes={jax.process_index()},
    barrier_sync_key_prefix=f"alone{jax.process_index()}",
  )
  handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
  args = ocp.args.PyTreeRestore(
    item=jax.tree.map(lambda x: 0, abstract_state),
    restore_args=jax.tree.map(
      lambda x: ocp.RestoreArgs(restore_type=np.ndarray), abstract_state
    ),
  )
  reader = ocp.Checkpointer(handler, multiprocessing_options=alone)
  with orbax_faults.without_event_loop_errors(), reader:
    tree = reader.restore(folder / "state", args=args)
  found = describe(tree)
  damaged = [name for name in saved if found[name] != saved[name]]
  if damaged:
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    raise InputError(f"the SHA-256 of {damaged[0]}{more} has changed")
  return tree
