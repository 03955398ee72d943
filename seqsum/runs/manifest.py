"""Manifest of a checkpoint: its step, its run, and what each array is.

It stands beside the arrays, in `<step>/contents`, because Orbax does not notice
a byte that changed on the disk, nor a checkpoint under another step's name or
in another run's folder.
"""

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from seqsum.runs import run_files
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


def named(tree: Any) -> dict[str, Any]:
  """'params/head/bias' -> leaf."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
  return {name(path): leaf for path, leaf in leaves}


def describe(tree: Any) -> dict[str, dict[str, Any]]:
  """The manifest's "arrays": of each its shape, dtype and SHA-256.

  Args:
    tree: Of arrays, each the same on all devices.
  """
  contents = {}
  for name, x in named(tree).items():
    if isinstance(x, jax.Array):
      x = x.addressable_data(0)
    array = np.ascontiguousarray(x, x.dtype.newbyteorder("<"))
    contents[name] = {
      "shape": list(x.shape),
      "dtype": str(x.dtype),
      "sha256": hashlib.sha256(array).hexdigest(),
    }
  return contents


def check(folder: epath.Path, step: int, run: str) -> dict[str, Any]:
  """Reads the manifest of a checkpoint and checks whose it is.

  Args:
    folder: Of one step.
    step: The step that its name says.
    run: Digest of the run that asks, see `folder.digest`.

  Returns:
    The manifest's "arrays".

  Raises:
    InputError: There is none, it is damaged, or it is of another step or run.
  """
  if not folder.exists():
    raise InputError("it is not there")
  _refuse_odd_files(folder)
  path = folder / "contents" / "metadata"
  manifest = run_files.read_json(path)
  if manifest is None:
    raise InputError(
      "it has no contents/metadata; a part of a copy, or of an older version"
    )
  if "arrays" not in manifest:
    raise InputError(
      "its contents/metadata does not name a step and a run; it is of an older "
      "version of seqsum"
    )
  problem = run_files.find_problem(manifest, MANIFEST)
  for name, array in manifest["arrays"].items() if not problem else ():
    problem = problem or run_files.find_problem(array, ARRAY, name)
  if problem:
    raise InputError(f"its contents/metadata {problem}")
  if manifest["step"] != step:
    raise InputError(
      f"it was saved at step {manifest['step']:,} and renamed afterwards"
    )
  if manifest["run"] != run:
    raise InputError(
      "it was saved by another run, of another config or other data"
    )
  return manifest["arrays"]


def _refuse_odd_files(folder: epath.Path) -> None:
  """Raises `InputError` for a FIFO, which Orbax would wait for, or a link."""
  if is_remote(folder):
    return
  if os.path.islink(folder) or not os.path.isdir(folder):
    raise InputError("it is a link or a file, and not a folder")
  for path, folders, files in os.walk(folder):
    for name in folders + files:
      file = os.path.join(path, name)
      mode = os.lstat(file).st_mode
      if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(
          f"{os.path.relpath(file, folder)} is a link or a special file"
        )


def compare(saved: dict[str, dict[str, Any]], abstract_state: Any) -> None:
  """Whether a checkpoint's contents fit what is asked for.

  Raises:
    InputError: They do not; it is another model's, or an older version's.
  """
  asked = {
    name: {"shape": list(x.shape), "dtype": str(x.dtype)}
    for name, x in named(abstract_state).items()
  }
  for name in sorted(asked.keys() | saved.keys()):
    there, here = (
      f"{x[name]['dtype']}{x[name]['shape']}" if name in x else "absent"
      for x in (saved, asked)
    )
    if there != here:
      raise InputError(
        f"of another model or version: {name} is {there} there, {here} here"
      )


def read(folder: epath.Path, abstract_state: Any, step: int, run: str) -> Any:
  """Reads a checkpoint and checks it.

  Only this process reads, and it waits for no other, so that one may fail.

  Args:
    folder: Of one step.
    like: A tree of arrays or of `jax.ShapeDtypeStruct`.
    step, run: As for `check`.

  Returns:
    The tree, of NumPy arrays.

  Raises:
    InputError: It is not there, holds something else, or was altered. Damage
      may raise other exceptions too, Orbax's and TensorStore's.
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
  with _quiet(), reader:
    tree = reader.restore(folder / "state", args=args)
  found = describe(tree)
  damaged = [name for name in saved if found[name] != saved[name]]
  if damaged:
    more = f" (and {len(damaged) - 1} more)" if len(damaged) > 1 else ""
    raise InputError(
      f"{damaged[0]}{more} is not what was saved: its SHA-256 is another"
    )
  return tree


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
  """Without the tracebacks of reads that nobody waits for.

  If one array cannot be read, Orbax closes the event loop of all others, which
  complain when they end; that may be later, so then the hook stays.
  """
  before = sys.unraisablehook

  def hook(unraisable):
    if str(unraisable.exc_value) != "Event loop is closed":
      before(unraisable)

  sys.unraisablehook = hook
  yield
  sys.unraisablehook = before
