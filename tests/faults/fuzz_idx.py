"""libFuzzer, through atheris, against the parser of MNIST's files.

    python tests/faults/fuzz_idx.py -runs=100000 [FOLDER WITH EXAMPLES]

It steers by the branches that an input takes. Anything but `InputError` is a
crash and is kept as crash-*; so are inputs that take too long or too much
memory. https://github.com/google/atheris
"""

import contextlib
import gzip
import sys

import atheris

with atheris.instrument_imports(include=["seqsum"]):
  from seqsum.data import idx
  from seqsum.runtime.errors import InputError


def try_one(data: bytes) -> None:
  for attempt in (
    lambda: idx.parse_idx(data),
    lambda: idx.gunzip(data, 4096),
    # As the fuzzer does not make checksums that are right, pack it as well.
    lambda: idx.decode(
      gzip.compress(data[:2368], 1), gzip.compress(data[2368:], 1), 3
    ),
  ):
    with contextlib.suppress(InputError):
      attempt()


if __name__ == "__main__":
  atheris.Setup(sys.argv, try_one)
  atheris.Fuzz()
