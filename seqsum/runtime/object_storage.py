"""Object storage that does not answer: how long its clients try, what they say.

gcsfs tries each request for half a minute and raises what its own libraries
raise, which no disk does. TensorStore, which writes the arrays, tries for a
quarter of an hour; a run would stand still at its next save for so long.
"""

import contextlib
import os
from collections.abc import Iterator

from etils import epath

from seqsum.runtime.errors import Unreachable, one_line

RETRY_PAUSE = 300.0  # seconds between write attempts during an outage
RETRIES = {"max_retries": 8}  # of TensorStore; its pauses double: two minutes
# How long several processes wait for each other in a save, all of it, which may
# have failed for one of them alone. Orbax would wait for 20 minutes.
BARRIER_TIMEOUT = 600  # seconds
CLIENTS = (
  "aiohttp",
  "gcsfs",
  "google.api_core",
  "google.auth",
  "requests",
  "urllib3",
)


def is_outage(error: BaseException | None) -> bool:
  """Whether an error, or one that led to it, is of a bucket's client.

  A file that is not there is none.
  """
  while error is not None:
    if any(t.__module__.startswith(CLIENTS) for t in type(error).__mro__):
      return True
    if "retry attempts failed" in str(error):  # TensorStore's ValueError
      return True
    error = error.__cause__ or error.__context__
  return False


def is_remote(path: epath.PathLike) -> bool:
  """Whether a path is on object storage, where one cannot lock or append."""
  return "://" in os.fspath(path)


@contextlib.contextmanager
def translate_outage(path: epath.PathLike) -> Iterator[None]:
  """Within, what a bucket's client raises becomes `Unreachable`."""
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
  """Has Orbax ask TensorStore for `RETRIES`; neither has a setting for it."""
  with contextlib.suppress(AttributeError, ImportError):
    from orbax.checkpoint._src.serialization import tensorstore_utils

    for context in (
      tensorstore_utils._BASE_TS_CONTEXT,
      tensorstore_utils._DEFAULT_OCDBT_TS_CONTEXT,
    ):
      context["gcs_request_retries"] = RETRIES
