"""What a checkpoint holds: name, shape, dtype and SHA-256 of each array.

It stands beside the arrays, in `<step>/contents`, because Orbax does not notice
a byte that changed on the disk.
"""

import contextlib
import hashlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from seqsum.errors import InputError


def named(tree: Any) -> dict[str, Any]:
  """'params/head/bias' -> leaf."""
  leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
  name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")
  return {name(path): leaf for path, leaf in leaves}


def describe(tree: Any) -> dict[str, dict[str, Any]]:
  """What stands in `contents`: of each array its shape, dtype and SHA-256.

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


def compare(saved: dict[str, dict[str, Any]], like: Any) -> None:
  """Whether a checkpoint's contents fit what is asked for.

  Raises:
    InputError: They do not; it is another model's, or an older version's.
  """
  asked = {
    name: {"shape": list(x.shape), "dtype": str(x.dtype)}
    for name, x in named(like).items()
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


def read(folder: epath.Path, like: Any) -> Any:
  """Reads a checkpoint and checks it.

  Only this process reads, and it waits for no other, so that one may fail.

  Args:
    folder: Of one step.
    like: A tree of arrays or of `jax.ShapeDtypeStruct`.

  Returns:
    The tree, of NumPy arrays.

  Raises:
    InputError: It is not there, holds something else, or was altered. Damage
      may raise other exceptions too, Orbax's and TensorStore's.
  """
  if not folder.exists():
    raise InputError("it is not there")
  path = folder / "contents" / "metadata"
  if not path.exists():
    raise InputError(
      "it has no contents/metadata; a part of a copy, or of an older version"
    )
  saved = json.loads(path.read_text())
  compare(saved, like)
  alone = ocp.options.MultiprocessingOptions(
    primary_host=jax.process_index(),
    active_processes={jax.process_index()},
    barrier_sync_key_prefix=f"alone{jax.process_index()}",
  )
  handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
  args = ocp.args.PyTreeRestore(
    item=jax.tree.map(lambda x: 0, like),
    restore_args=jax.tree.map(
      lambda x: ocp.RestoreArgs(restore_type=np.ndarray), like
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
