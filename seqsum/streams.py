"""Standard streams that take whatever is printed, and outlive their reader."""

import errno
import io
import sys


class _Unread(io.FileIO):
  """A file that drops what nobody can read any more.

  Such is a pipe whose reader has ended (`| head`) and a terminal that has been
  closed. A disk that is full is an error, as everywhere.
  """

  def write(self, data) -> int | None:
    try:
      return super().write(data)
    except OSError as error:
      if error.errno not in (errno.EPIPE, errno.EIO):
        raise
      return len(data)


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
