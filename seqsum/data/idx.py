"""The files of MNIST and of its kin: IDX, gzipped.

Strict, because a file may be cut off, altered or a stranger's: whatever is not
exactly right is an `InputError`, and memory stays bounded.

Format: http://yann.lecun.com/exdb/mnist, "File formats for the MNIST database".
"""

import zlib

import numpy as np

from seqsum.runtime.errors import InputError
from seqsum.sequences.digit import CLASSES, SHAPE


def gunzip(data: bytes, limit: int) -> bytes:
  """Decompresses one gzip member into `limit` bytes at most.

  Raises:
    InputError: Not gzip, cut off, damaged, longer than `limit`, or followed by
      anything else. No more than `limit + 1` bytes are ever produced.
  """
  stream = zlib.decompressobj(wbits=31)  # 31: a gzip header and trailer
  try:
    out = stream.decompress(data, limit + 1)
  except zlib.error as error:
    raise InputError(f"not a sound gzip file ({error})") from error
  if len(out) > limit:
    raise InputError(f"gzip file holds more than the {limit} bytes expected")
  if not stream.eof:
    raise InputError(f"gzip file is cut off after {len(data)} bytes")
  if stream.unused_data:
    raise InputError(f"{len(stream.unused_data)} bytes follow the gzip data")
  return out


def parse_idx(data: bytes) -> np.ndarray:
  """Reads IDX data: 00 00 08 rank, `rank` big-endian sizes, then the values.

  Returns:
    uint8, read-only, of rank 1 (labels) or 3 (images).

  Raises:
    InputError: Anything but exactly that.
  """
  if data[:3] != b"\0\0\x08" or data[3:4] not in (b"\1", b"\3"):
    raise InputError(
      f"IDX data starts with {data[:4].hex(' ') or 'nothing'}, expected "
      "00 00 08 01 (labels) or 00 00 08 03 (images), both unsigned bytes"
    )
  rank = data[3]
  start = 4 + 4 * rank
  if len(data) < start:
    raise InputError(f"IDX header is cut off after {len(data)} bytes")
  sizes = [int.from_bytes(data[i : i + 4], "big") for i in range(4, start, 4)]
  count = 1
  for size in sizes:  # Python's integers do not overflow
    count *= size
  if count == 0 or len(data) - start != count:
    raise InputError(
      f"IDX header promises {sizes} bytes, {len(data) - start} follow it"
    )
  return np.frombuffer(data, np.uint8, offset=start).reshape(sizes)


def decode(
  images: bytes, labels: bytes, count: int
) -> tuple[np.ndarray, np.ndarray]:
  """Two gzipped IDX files as arrays.

  Args:
    images, labels: The files' contents.
    count: How many digits they hold.

  Returns:
    [count, 28, 28, 1] uint8, and [count] int32 in 0..9.

  Raises:
    InputError: A file is malformed, or holds something else.
  """
  height, width, _ = SHAPE
  pixels = parse_idx(gunzip(images, 16 + count * height * width))
  digits = parse_idx(gunzip(labels, 8 + count))
  if pixels.shape != (count, height, width) or digits.shape != (count,):
    raise InputError(
      f"images {list(pixels.shape)} and labels {list(digits.shape)}, expected "
      f"{[count, height, width]} and {[count]}"
    )
  if digits.max() >= CLASSES:
    raise InputError(f"labels go up to {digits.max()}, expected 0..9")
  return pixels.reshape(count, *SHAPE), digits.astype(np.int32)
