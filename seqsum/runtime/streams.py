"""Standard streams that never fail because of encodings or closed readers."""

import errno
import io
import os
import sys
from typing import Any


class _Unread(io.FileIO):
  """A file that discards output that has no reader any more.

  That is a pipe whose reader has ended (`| head`) or a terminal that was
  closed. A full disk raises an error once, and not again when Python closes the
  file.
  """

  _has_failed = False

  def write(self, data: Any, /) -> int:
    if self._has_failed:
      return len(data)
    try:
      return super().write(data)
    except OSError as error:
      if error.errno not in (errno.EPIPE, errno.EIO):
        self._has_failed = True
        raise
      return len(data)


def reopen() -> None:
  """Opens the null device for standard streams that were closed (`2>&-`).

  Otherwise the next open file gets the stream's number and receives what
  libraries print. Call it before any file is opened.
  """
  for number, name in enumerate(("stdin", "stdout", "stderr")):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    if getattr(sys, name) is None:
      mode = "r" if name == "stdin" else "w"
      setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def protect() -> None:
  r"""Makes stdout and stderr of this process robust.

  Characters that the encoding lacks are printed as `\xb1` or `\u2588`; after
  the reader has ended, prints do nothing. Streams that a test or a notebook has
  replaced are left alone.
  """
  for name in ("stdout", "stderr"):
    stream = getattr(sys, name)
    if stream is None or stream is not getattr(sys, f"__{name}__"):
      continue
    stream.flush()
    file = _Unread(stream.fileno(), "wb", closefd=False)
    protected = io.TextIOWrapper(
      io.BufferedWriter(file),
      encoding=stream.encoding,
      errors="backslashreplace",
      line_buffering=stream.line_buffering,
      write_through=stream.write_through,
    )
    setattr(sys, name, protected)
