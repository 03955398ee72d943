"""Outages of object storage: shorter retries, and one error for all clients.

gcsfs retries each request for half a minute and raises errors of its own
libraries. TensorStore, which writes the arrays, would retry for a quarter of an
hour, and a run would wait at its next save for so long.
"""

import contextlib
import os
from collections.abc import Iterator

from etils import epath

from seqsum.runtime.errors import Unreachable, one_line

RETRY_PAUSE = 300.0  # seconds between write attempts during an outage
RETRIES = {"max_retries": 8}  # of TensorStore, two minutes of doubling pauses
# Seconds that processes wait for each other in a whole save, which may have
# failed for one of them only. Orbax's default is 20 minutes.
BARRIER_TIMEOUT = 600
CLIENTS = (
  "aiohttp",
  "gcsfs",
  "google.api_core",
  "google.auth",
  "requests",
  "urllib3",
)


def is_outage(error: BaseException | None) -> bool:
  """Whether an error, or one of its causes, is of a client of object storage.

  A missing file is not an outage.
  """
  while error is not None:
    if any(t.__module__.startswith(CLIENTS) for t in type(error).__mro__):
      return True
    if "retry attempts failed" in str(error):  # TensorStore's ValueError
      return True
    error = error.__cause__ or error.__context__
  return False


def is_remote(path: epath.PathLike) -> bool:
  """Whether a path is on object storage, which has no locks and no appends."""
  return "://" in os.fspath(path)


@contextlib.contextmanager
def translate_outage(path: epath.PathLike) -> Iterator[None]:
  """A context that turns an outage into `Unreachable`."""
  try:
    yield
  except Unreachable:
    raise
  except Exception as error:
    if not is_outage(error):
      raise
    raise Unreachable(
      f"{os.fspath(path)} cannot be reached: {one_line(error)}"
    ) from error


def limit_retries() -> None:
  """Sets `RETRIES` in Orbax, which has no public setting for it."""
  with contextlib.suppress(AttributeError, ImportError):
    from orbax.checkpoint._src.serialization import tensorstore_utils

    for context in (
      tensorstore_utils._BASE_TS_CONTEXT,
      tensorstore_utils._DEFAULT_OCDBT_TS_CONTEXT,
    ):
      context["gcs_request_retries"] = RETRIES
