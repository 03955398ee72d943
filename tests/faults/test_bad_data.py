"""Files that are not what they should be: the parser is fuzzed."""

import gzip
import pathlib
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mnist import IMAGES, LABELS, pack, some

from seqsum.data import idx
from seqsum.runtime.errors import InputError

HERE = pathlib.Path(__file__).parent
COUNT = 3
GOOD = pack(*some(COUNT))
INPUTS = {"hypothesis": 20_000, "atheris": 100_000}


def check_words(words):
  assert "\n" not in words
  assert 10 < len(words) < 500


def read(images, labels):
  """The arrays, or None if the one clear error was raised."""
  try:
    pixels, digits = idx.decode(images, labels, COUNT)
  except InputError as error:
    check_words(str(error))
    return None
  assert pixels.shape == (COUNT, 28, 28, 1)
  assert pixels.dtype == np.uint8
  assert digits.dtype == np.int32
  assert 0 <= digits.min() <= digits.max() <= 9
  return pixels, digits


@pytest.mark.parametrize("which", [0, 1])
def test_cut_off_at_any_byte(which):
  for end in range(len(GOOD[which])):
    files = list(GOOD)
    files[which] = files[which][:end]
    assert read(*files) is None


@pytest.mark.parametrize("which", [0, 1])
def test_any_bit_flipped_in_the_gzip_file(which):
  """Some bits are idle; all others are seen, by the CRC-32 at the latest."""
  expected = read(*GOOD)
  for place in range(len(GOOD[which])):
    files = list(GOOD)
    data = bytearray(files[which])
    data[place] ^= 1 << place % 8
    files[which] = bytes(data)
    if (found := read(*files)) is not None:
      for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_any_byte_changed_in_the_idx_data():
  for good in (LABELS, IMAGES):
    for place in range(len(good)):
      for value in (0, 1, 3, 8, 127, 255):
        data = good[:place] + bytes([value]) + good[place + 1 :]
        try:
          array = idx.parse_idx(data)
        except InputError:
          continue
        assert array.size == len(data) - 4 - 4 * array.ndim


def header(magic, sizes):
  return bytes(magic) + b"".join(n.to_bytes(4, "big") for n in sizes)


IDX = st.builds(
  lambda magic, sizes, rest: header(magic, sizes) + rest,
  st.tuples(
    st.sampled_from([0, 0, 0, 1]),
    st.sampled_from([0, 0, 0, 255]),
    st.sampled_from([8, 8, 8, 9, 13]),
    st.integers(0, 255) | st.sampled_from([1, 3]),
  ),
  st.lists(
    st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 3, 28, 784]), max_size=4
  ),
  st.binary(max_size=64) | st.integers(0, 3000).map(bytes),
)
FILES = st.one_of(
  st.binary(max_size=200),
  IDX,
  IDX.map(lambda data: gzip.compress(data, 1, mtime=0)),
  IDX.map(lambda data: gzip.compress(data, 1, mtime=0)[:-4]),
  IDX.map(lambda data: 2 * gzip.compress(data, 1, mtime=0)),
)


def test_files_that_hypothesis_makes():
  check_files(2_000)


@pytest.mark.slow
def test_many_files_that_hypothesis_makes():
  check_files(INPUTS["hypothesis"])


def check_files(examples):
  seen = 0

  @settings(max_examples=examples, deadline=None, database=None)
  @given(data=FILES, which=st.integers(0, 2))
  def check(data, which):
    nonlocal seen
    seen += 1
    if which == 2:
      try:
        array = idx.parse_idx(data)
      except InputError:
        return
      assert array.dtype == np.uint8
      assert array.ndim in (1, 3)
      assert array.size == len(data) - 4 - 4 * array.ndim
    else:
      files = list(GOOD)
      files[which] = data
      read(*files)

  check()
  assert seen >= examples


@pytest.mark.parametrize("megabytes", [1, 100])
def test_a_bomb_is_not_unpacked_beyond_what_is_expected(megabytes):
  """100 MB in 100 KB; 3 images of 2,352 bytes were expected."""
  packer = zlib.compressobj(9, wbits=31)
  bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes))
  bomb += packer.flush()
  tracemalloc.start()
  try:
    for files in ((bomb, GOOD[1]), (GOOD[0], bomb)):
      assert read(*files) is None
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert peak < len(bomb) + (1 << 20)


@pytest.mark.slow
def test_many_inputs_that_atheris_makes(tmp_path):
  pytest.importorskip("atheris", reason="pip install atheris (Linux only)")
  corpus = tmp_path / "corpus"
  corpus.mkdir()
  for n, data in enumerate((LABELS, IMAGES, *GOOD)):
    (corpus / str(n)).write_bytes(data)
  done = subprocess.run(
    [
      # A process begins with the peak memory of the one that started it, which
      # libFuzzer takes for its own; a shell's is small.
      *("bash", "-c", '"$@"; exit $?', "fuzz"),
      sys.executable,
      str(HERE / "fuzz_idx.py"),
      f"-runs={INPUTS['atheris']}",
      "-seed=1",
      "-max_len=8192",
      "-rss_limit_mb=1024",
      "-timeout=10",
      str(corpus),
    ],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    timeout=500,
  )
  assert done.returncode == 0, done.stderr[-2000:]
  assert f"Done {INPUTS['atheris']} runs" in done.stderr
