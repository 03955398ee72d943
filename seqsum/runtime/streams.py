"""Standard streams that take whatever is printed, and outlive their reader."""

import errno
import io
import os
import sys


class _Unread(io.FileIO):
  """A file that drops what nobody can read any more.

  Such is a pipe whose reader has ended (`| head`) and a terminal that has been
  closed. A disk that is full is an error, as everywhere; it is raised once, and
  not again when Python closes the file.
  """

  _has_failed = False

  def write(self, data) -> int | None:
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

  Else the next file that is opened gets the stream's number, and what a library
  prints is written into it. To be called before any file is opened.
  """
  for number, name in enumerate(("stdin", "stdout", "stderr")):
    try:
      os.fstat(number)
    except OSError:
      os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    if getattr(sys, name) is None:
      mode = "r" if name == "stdin" else "w"
      setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115


def protect() -> None:
  r"""Makes stdout and stderr of this process fail less.

  What their encoding lacks is printed as `\xb1` or `\u2588`, so that no print
  raises UnicodeEncodeError; once nobody reads them, prints do nothing. Streams
  that a test or a notebook has put in their place stay.
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
