"""Workarounds for faults of Orbax, and every use of its private names.

A private name that a later release of Orbax no longer has is skipped: the
fault is then no longer worked around, and nothing else changes.
"""

import asyncio
import contextlib
import sys
import threading
import warnings
from collections.abc import Iterator

import orbax.checkpoint as ocp

from seqsum.runtime import object_storage
from seqsum.runtime.files import sync_folder, sync_tree


class DurableRename(ocp.path.atomicity.AtomicRenameTemporaryPath):
  """Syncs a checkpoint to the disk before it is renamed to its step.

  TensorStore syncs the arrays, but Orbax renames a checkpoint whose other files
  may not be on the disk yet, so a power cut could leave a part of it. The sync
  runs in Orbax's thread, in parallel with training.
  """

  async def finalize(self) -> None:
    await asyncio.to_thread(sync_tree, self.get())
    await super().finalize()
    # Orbax writes two more files last; neither is needed to restore.
    await asyncio.to_thread(sync_tree, self.get_final(), deep=False)
    await asyncio.to_thread(sync_folder, self.get_final().parent)


def limit_retries() -> None:
  """Makes TensorStore retry `object_storage.RETRIES` in Orbax's contexts.

  TensorStore's default is to retry for a quarter of an hour, and Orbax has no
  option to change it.
  """
  with contextlib.suppress(AttributeError, ImportError):
    from orbax.checkpoint._src.serialization import tensorstore_utils

    for context in (
      tensorstore_utils._BASE_TS_CONTEXT,
      tensorstore_utils._DEFAULT_OCDBT_TS_CONTEXT,
    ):
      context["gcs_request_retries"] = object_storage.RETRIES


def clean_up_failed_save() -> None:
  """Ends the threads of a failed save, and silences its unawaited coroutines.

  The threads wait, for minutes, for folders that will not be created, and
  Python does not exit before they end. Orbax has no public way to cancel them.
  """
  warnings.filterwarnings("ignore", r"coroutine .* was never awaited")
  with contextlib.suppress(AttributeError, ImportError):
    from orbax.checkpoint._src.futures import future

    for thread in threading.enumerate():
      if isinstance(thread, future._SignalingThread):
        thread.cancel()
        signals, operation = thread._receive_signals, thread._operation_id
        future.set_signals(signals, operation_id=operation)


@contextlib.contextmanager
def without_event_loop_errors() -> Iterator[None]:
  """Suppresses "Event loop is closed" tracebacks of abandoned reads.

  If one array cannot be read, Orbax closes the event loop in which the others
  are still being read. They may end after the context, so an exception leaves
  the hook installed.
  """
  before = sys.unraisablehook

  def hook(unraisable):
    if str(unraisable.exc_value) != "Event loop is closed":
      before(unraisable)

  sys.unraisablehook = hook
  yield
  sys.unraisablehook = before
