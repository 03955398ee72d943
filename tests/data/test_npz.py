"""Sequences in an .npz file: what is read, and what is refused in one line."""

import io
import os
import pathlib
import re
import socket
import struct
import warnings
import zipfile

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqsum.data.npz import NpzSource, spread
from seqsum.runtime.errors import InputError

N, T = 5, 3


def arrays(**others):
  """Five sequences of colour frames, 4x6; two of them are shorter."""
  rng = np.random.default_rng(0)
  return {
    "frames": rng.integers(0, 256, (N, T, 4, 6, 3)).astype(np.uint8),
    "lengths": np.array([3, 1, 2, 3, 3]),
    "targets": np.arange(N, dtype=float),
  } | others


def save(path, write=np.savez, **others):
  content = {k: v for k, v in arrays(**others).items() if v is not None}
  write(path, **content)
  return path


def read_all(path):
  """With warnings as errors."""
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    source = NpzSource(path)
    return [source.read(n) for n in range(len(source.lengths))]


def refuse(path, words):
  """One line that names the file, and no warning beside it."""
  with pytest.raises(InputError, match=words) as caught:
    read_all(path)
  line = str(caught.value)
  assert line.startswith(f"{path}: "), line
  assert "\n" not in line


def test_a_target_for_a_sequence_stands_at_every_frame():
  got = spread("x", np.array([4, 7]), np.array([1, 3]), 3)
  assert got.dtype == np.float32
  np.testing.assert_array_equal(got, [[4, 4, 4], [7, 7, 7]])


def test_the_final_target_goes_on_in_the_padding():
  got = spread("x", np.array([[1, 2, 3], [4, 5, 6.5]]), np.array([2, 1]), 3)
  np.testing.assert_array_equal(got, [[1, 2, 2], [4, 4, 4]])
  # Whatever stands in the padding is not looked at.
  padded = np.array([[1, np.nan], [2, 3]])
  got = spread("x", padded, np.array([1, 2]), 2)
  np.testing.assert_array_equal(got, [[1, 1], [2, 3]])


def test_targets_may_be_vectors_and_truths():
  vectors = np.arange(8).reshape(2, 2, 2)
  got = spread("x", vectors, np.array([2, 1]), 2)
  np.testing.assert_array_equal(got, [[[0, 1], [2, 3]], [[4, 5], [4, 5]]])
  got = spread("x", np.array([True, False]), np.array([1, 1]), 1)
  np.testing.assert_array_equal(got, [[1], [0]])


@pytest.mark.parametrize(
  ("targets", "words"),
  [
    (np.zeros(3), r"shape \(3,\), expected \(2,\), \(2, 4\) or \(2, 4, D\)"),
    (np.zeros((2, 3)), "shape"),
    (np.zeros((2, 4, 1, 1)), "shape"),
    (np.zeros((2, 4, 0)), "shape"),
    (np.zeros(2, complex), "complex128, expected numbers"),
    (np.array(["a", "b"]), "expected numbers"),
    (np.array([0, np.inf]), "of sequence 1 are inf or nan"),
    (np.array([np.nan, 0]), "of sequence 0 are inf or nan"),
    (np.array([0, 1e39]), "squared errors do not fit into float32: subtr"),
    (np.array([1e30, 1e30]), "squared errors do not fit into float32: subtr"),
    (np.array([0, -1e16]), "in -1e.16..0, whose squared errors do not fit"),
    (np.array([0, 1e-25]), "squared errors do not fit .*: multiply them"),
  ],
)
def test_targets_that_are_none_are_refused(targets, words):
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    with pytest.raises(InputError, match=f"^mine {words}|^mine .*{words}"):
      spread("mine", targets, np.array([4, 4]), 4)


OFFSET = 1_700_000_000  # a time in seconds


@pytest.mark.parametrize(
  ("targets", "words"),
  [
    (OFFSET + np.arange(4), "whole numbers in 1700000000..1700000003, which"),
    (OFFSET + np.arange(4.0), r"\(1700000000 is the least\)"),
    (OFFSET + np.arange(4) / 8, "1700000000.38, which float32 rounds by up to"),
    (np.array([16_777_216, 16_777_217, 1, 2]), "rounds by up to 1: subtract"),
    (np.full(4, 16_777_217), "rounds by up to 1"),  # none merge, yet wrong
    (-np.array([16_777_217.0, 3, 1, 2]), "in -16777217..-1, .* up to 1"),
    (np.array([2**63 - 1, 2**63 - 2, 0, 1]), "squared errors"),
    (np.array([2**64 - 1, 2**64 - 2, 0, 1], np.uint64), "squared errors"),
    (np.array([10**15 - 1, 0, 1, 2]), "whole numbers"),
    (1 + 1e-9 * np.arange(4), "float32 rounds by up to"),
    (np.stack([np.arange(4), OFFSET + np.arange(4)], 1), "part 1 of the vec"),
  ],
)
def test_targets_that_float32_does_not_tell_apart(targets, words):
  if targets.ndim == 2:  # vectors at every frame
    targets = np.repeat(targets[:, None], 3, axis=1)
  lengths = np.full(4, 3)
  with pytest.raises(InputError, match=words) as caught:
    spread("mine: targets", targets, lengths, 3)
  assert "\n" not in str(caught.value)
  # The remedy of the message works.
  moved = targets.astype(object) - targets.min(axis=0).astype(object)
  if (moved < 2**24).all() and np.ptp(targets) > 0:
    spread("x", moved.astype(float), lengths, 3)


@pytest.mark.parametrize(
  "targets",
  [
    np.arange(20) + 16_777_197,  # up to 2**24
    np.arange(20) << 40,  # float32 has them
    np.array([0.1] * 20),
    np.random.default_rng(0).uniform(0, 3, 20_000),  # some merge, none matters
    np.random.default_rng(0).uniform(2e7, 1e9, 200),
    1000 + np.random.default_rng(0).uniform(0, 1, 200),
    np.random.default_rng(0).normal(0, 1e-9, 200),
    np.arange(20) % 2 == 0,
    np.arange(20).astype(np.float16) / 7,
  ],
)
def test_targets_that_float32_tells_apart(targets):
  got = spread("x", targets, np.ones(len(targets), int), 1)
  np.testing.assert_array_equal(got[:, 0], targets.astype(np.float32))


def test_padding_does_not_count(tmp_path):
  targets = np.array([[1, OFFSET + 1], [2, 3]])
  got = spread("x", targets, np.array([1, 2]), 2)
  np.testing.assert_array_equal(got, [[1, 1], [2, 3]])
  save(tmp_path / "x.npz", targets=OFFSET + np.arange(N))
  refuse(tmp_path / "x.npz", "targets are whole numbers in 1700000000..17000")


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize(
  ("shape", "words", "fix"),
  [
    ((N, T, 3, 32, 32), r"looks like \[N, T, C, H, W\]", (T, 32, 32, 3)),
    ((N, T, 1, 28, 30), r"np.moveaxis\(frames, 2, -1\)", (T, 28, 30, 1)),
    ((N, 3, 7, 32, 32), r"looks like \[N, C, T, H, W\]", (7, 32, 32, 3)),
    ((N, 1, 7, 28, 28), r"np.moveaxis\(frames, 1, -1\)", (7, 28, 28, 1)),
    ((N, T, 2, 9, 9), r"np.moveaxis\(frames, 2, -1\)", (T, 9, 9, 2)),
    ((N, 28, 28, 1), r"\[N, H, W, C\] without T: give frames\[:, None\]", None),
    ((N, 32, 30, 3), r"give frames\[:, None\]", (1, 32, 30, 3)),
    ((N, 28, 28), r"are \[N, H, W\], frames\[:, None\]", (1, 28, 28, 1)),
    ((N, T, 16), r"frames\[:, :, None, None\]", (T, 1, 1, 16)),
  ],
)
def test_axes_in_another_order_are_named(tmp_path, kind, shape, words, fix):
  path, frames = tmp_path / "x.npz", np.zeros(shape, kind)
  save(path, frames=frames, lengths=None)
  refuse(path, words)
  with pytest.raises(InputError) as caught:
    NpzSource(path)
  # The message has the remedy, and it works.
  (remedy, *_) = re.findall(
    r"np.moveaxis\(.*?\)|frames\[:.*?\]", str(caught.value)
  )
  if shape == (N, T, 16):
    remedy = "frames[:, :, None, None]"
  frames = eval(remedy, {"np": np, "frames": frames})
  source = NpzSource(save(path, frames=frames, lengths=None))
  if fix:
    assert source.read(0).shape == fix


@pytest.mark.parametrize(
  "shape",
  [(N, 3, 28, 28), (N, T, 1, 1, 6), (N, T, 32, 3, 32), (N, 28, 28, 1, 1)],
)
def test_unusual_frames_are_read(tmp_path, shape):
  path = save(tmp_path / "x.npz", frames=np.zeros(shape, "u1"), lengths=None)
  assert NpzSource(path).read(0).shape[:4] == shape[1:5] or len(shape) == 4


def test_what_is_no_file_does_not_hang(tmp_path, monkeypatch):
  path = tmp_path / "x.npz"
  os.mkfifo(path)
  refuse(path, "a pipe, not a file")
  path.unlink()
  path.mkdir()
  refuse(path, "a folder, not a file")
  with socket.socket(socket.AF_UNIX) as server:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    server.bind("s.npz")
    refuse(tmp_path / "s.npz", "a socket, not a file")
  refuse(pathlib.Path("/dev/zero"), "a device, not a file")


def test_stored_and_compressed_files_are_read_alike(tmp_path):
  expected = arrays()
  stored = NpzSource(save(tmp_path / "a.npz"))
  packed = NpzSource(save(tmp_path / "b.npz", np.savez_compressed))
  assert type(stored._frames) is np.memmap
  assert type(packed._frames) is np.ndarray
  for source in (stored, packed):
    assert source.shape == (4, 6, 3)
    assert source.splits is None
    np.testing.assert_array_equal(source.lengths, expected["lengths"])
    assert source.targets.shape == (N, T)
    for n, length in enumerate(expected["lengths"]):
      frames = source.read(n)
      assert frames.dtype == np.uint8
      np.testing.assert_array_equal(frames, expected["frames"][n, :length])
  assert stored.fingerprint == packed.fingerprint


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8"])
def test_floats_of_any_range_order_and_size(tmp_path, write, order, kind):
  frames = np.random.default_rng(1).normal(0, 50, (N, T, 4, 6)).astype(kind)
  frames = np.asarray(frames, order=order)
  path = save(tmp_path / "x.npz", write, frames=frames, lengths=None)
  source = NpzSource(path)
  assert source.shape == (4, 6, 1)
  np.testing.assert_array_equal(source.lengths, [T] * N)
  got = source.read(2)
  assert got.dtype == np.float32
  assert got.dtype.isnative
  np.testing.assert_array_equal(got[..., 0], frames[2].astype(np.float32))


def test_splits_are_words_of_either_kind(tmp_path):
  names = ["train", "test", "train", "validation", "train"]
  for kind in (str, "S"):
    path = save(tmp_path / "x.npz", split=np.array(names).astype(kind))
    assert list(NpzSource(path).splits) == names


def test_another_content_has_another_fingerprint(tmp_path):
  first = NpzSource(save(tmp_path / "a.npz")).fingerprint
  frames = arrays()["frames"]
  frames[3, 1, 2, 2, 0] ^= 1
  assert NpzSource(save(tmp_path / "b.npz", frames=frames)).fingerprint != first
  targets = arrays()["targets"] + 1
  path = save(tmp_path / "c.npz", targets=targets)
  assert NpzSource(path).fingerprint != first


@pytest.mark.parametrize(
  ("others", "words"),
  [
    ({"frames": None}, "array='frames': is missing; has lengths, targets"),
    ({"targets": None}, "array='targets': is missing; has frames, lengths"),
    ({"targets": np.array([{}] * N)}, "targets.npy holds Python objects"),
    ({"targets": np.zeros(4)}, r"targets have the shape \(4,\)"),
    ({"targets": np.zeros(N, complex)}, "targets are complex128"),
    ({"targets": np.full(N, np.nan)}, "targets of sequence 0 are inf or nan"),
    ({"frames": np.zeros((N, T, 4), np.uint8)}, r"shape \(5, 3, 4\): if"),
    ({"frames": np.zeros((N, T, 4, 0), np.uint8)}, "expected .N, T, H, W, C."),
    ({"frames": np.zeros((N, T, 4, 6), np.int64)}, "int64, expected uint8"),
    ({"frames": np.zeros((N, T, 4, 6), bool)}, "bool, expected uint8"),
    ({"frames": np.zeros((N, T, 4, 6), complex)}, "complex128, expected uint8"),
    (
      {"frames": np.full((N, T, 4, 6), np.nan), "lengths": None},
      "frames of sequence 0 hold inf or nan",
    ),
    (
      {"frames": np.full((N, T, 4, 6), 1e39), "lengths": None},
      "frames of sequence 0 hold inf or nan",
    ),
    ({"lengths": np.array([1, 2, 3, 4, 1])}, "sequence 3 has the length 4"),
    ({"lengths": np.array([1, 0, 3, 3, 1])}, r"length 0, expected 1\.\.3"),
    ({"lengths": np.array([1, -1, 3, 3, 1])}, "sequence 1 has the length -1"),
    ({"lengths": np.ones(4, int)}, r"shape \(4,\), expected whole"),
    ({"lengths": np.ones(N)}, "lengths are float64"),
    ({"split": np.array(["train"] * 4)}, r"split has the shape \(4,\)"),
  ],
)
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_what_cannot_be_used_is_one_line(tmp_path, write, others, words):
  refuse(save(tmp_path / "x.npz", write, **others), words)


def test_no_zip_file_and_no_resizing(tmp_path):
  path = tmp_path / "x.npz"
  np.save(tmp_path / "x.npy", np.zeros(3))
  path.write_bytes((tmp_path / "x.npy").read_bytes())
  refuse(path, "not a sound .npz file")
  path.write_bytes(b"")
  refuse(path, "not a sound .npz file")
  with pytest.raises(InputError, match=r"data.size=\(3, 3\): frames of an"):
    NpzSource(save(path), (3, 3))


def test_a_file_that_is_cut_off_is_refused_wherever(tmp_path):
  path = tmp_path / "x.npz"
  for write in (np.savez, np.savez_compressed):
    whole = save(path, write).read_bytes()
    for size in (*range(0, len(whole), 7), len(whole) - 1):
      path.write_bytes(whole[:size])
      refuse(path, "not a sound .npz file")


CONTENT = {}


def content(write):
  if write not in CONTENT:
    file = io.BytesIO()
    write(file, **arrays(split=np.array(["train"] * N)))
    CONTENT[write] = file.getvalue()
  return CONTENT[write]


def test_a_start_that_lies_before_the_file_is_damage(tmp_path):
  path = save(tmp_path / "x.npz")
  raw = bytearray(path.read_bytes())
  for mark in (b"PK\x01\x02", b"PK\x05\x06"):  # where members, their list are
    start = raw.index(mark)
    place = 42 if mark[2] == 1 else 16
    struct.pack_into("<I", raw, start + place, 2**31)
  path.write_bytes(raw)
  refuse(path, "not a sound .npz file")


@settings(max_examples=300, deadline=None)
@given(
  st.sampled_from([np.savez, np.savez_compressed]),
  st.lists(
    st.tuples(
      st.integers(0, 3000), st.sampled_from("0123456789(),-'<>{}\0\xff")
    ),
    min_size=1,
    max_size=3,
  ),
)
def test_no_damage_makes_it_crash(tmp_path_factory, write, damage):
  """Anywhere, and where the headers stand, at which most of it is aimed."""
  data = bytearray(content(write))
  for place, letter in damage:
    data[place % len(data)] = ord(letter)
  path = tmp_path_factory.getbasetemp() / "damaged.npz"
  path.write_bytes(data)
  read_or_refuse(path)


def read_or_refuse(path):
  said = f"{path}: in one line"
  try:
    assert {frames.ndim for frames in read_all(path)} == {4}
  except InputError as error:
    said = str(error)
  assert str(path) in said
  assert "\n" not in said


@settings(max_examples=300, deadline=None)
@given(
  st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]),
  st.sampled_from(["frames", "lengths", "targets", "split"]),
  st.lists(
    st.tuples(st.integers(0, 130), st.characters(max_codepoint=255)),
    min_size=1,
    max_size=3,
  ),
)
def test_no_header_makes_it_crash(tmp_path_factory, how, name, damage):
  """Damage that was there before the checksum was made."""
  path = tmp_path_factory.getbasetemp() / "damaged.npz"
  with zipfile.ZipFile(path, "w", how) as file:
    for key, array in arrays(split=np.array(["train"] * N)).items():
      stream = io.BytesIO()
      np.save(stream, array)
      data = bytearray(stream.getvalue())
      for place, letter in damage if key == name else ():
        data[place] = ord(letter)
      file.writestr(f"{key}.npy", data)
  read_or_refuse(path)


def member(shape, descr="|u1"):
  """A header of NumPy's that says so, and four bytes of data."""
  text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
  text = text.ljust(117) + "\n"
  return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def grown():
  return psutil.Process().memory_info().rss


@pytest.mark.parametrize(
  "shape",
  ["(10**9,)", "(1000000000, 4, 9, 9)", "(-1, -4, 1, 1)", "(-4, -1)", "(4,)"],
)
@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("lies", [False, True])
def test_headers_that_lie_take_no_memory(tmp_path, shape, how, lies):
  path = tmp_path / "x.npz"
  data = member(shape) + bytes(4)
  with zipfile.ZipFile(path, "w", how) as file:
    file.writestr("frames.npy", data)
    file.writestr("targets.npy", data)
  if lies:  # the zip file's own list too
    raw = bytearray(path.read_bytes())
    start = raw.index(b"PK\x01\x02")
    struct.pack_into("<I", raw, start + 24, 4 * 10**9 + len(data) - 4)
    path.write_bytes(raw)
  before = grown()
  refuse(path, ".")
  assert grown() - before < 50e6


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_headers_that_leave_something_over_are_refused(tmp_path, how):
  path = tmp_path / "x.npz"
  with zipfile.ZipFile(path, "w", how) as file:
    file.writestr("frames.npy", member("(4, 1, 1, 1)") + bytes(4))
    file.writestr("targets.npy", member("(4,)") + bytes(5))
  refuse(path, "targets.npy has 5 bytes, its header says 4")


@pytest.mark.parametrize(
  "change", [{"compress_type": 99}, {"flag_bits": 1}, {"compress_type": 14}]
)
def test_members_of_another_kind_are_refused(tmp_path, change):
  """A method that nobody knows, a password, LZMA of what is none."""
  path = save(tmp_path / "x.npz")
  raw = bytearray(path.read_bytes())
  for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
    start = raw.index(mark) + place
    struct.pack_into("<H", raw, start, change.get("flag_bits", 0))
    struct.pack_into("<H", raw, start + 2, change.get("compress_type", 0))
  path.write_bytes(raw)
  refuse(path, "not a sound .npz file")


def test_three_gigabytes_are_not_read(tmp_path):
  """A sparse file: nothing of it is on the disk but its ends."""
  count, side = 3000, 1000
  path = tmp_path / "large.npz"
  size = count * side * side
  header = member(f"({count}, 1, {side}, {side}, 1)")
  with path.open("wb") as raw, zipfile.ZipFile(raw, "w") as file:
    targets = io.BytesIO()
    np.save(targets, np.arange(count))
    file.writestr("targets.npy", targets.getvalue())
    # zipfile would write every byte: its list is mended instead.
    file.writestr("frames.npy", header)
    info = file.getinfo("frames.npy")
    raw.seek(size - 1, os.SEEK_CUR)
    raw.write(b"\x07")
    info.file_size = info.compress_size = len(header) + size
    file.start_dir = raw.tell()
    file._didModify = True
  assert path.stat().st_size > size
  assert path.stat().st_blocks * 512 < 1e6
  before = grown()
  source = NpzSource(path)
  assert source.read(count - 1)[0, -1, -1, 0] == 7
  assert not source.read(count // 2).any()
  assert grown() - before < 300e6


def test_a_file_that_changes_while_it_is_read_is_told_of(tmp_path):
  """Cut off, what is mapped of it would end the process with SIGBUS."""
  path = save(tmp_path / "x.npz")
  source = NpzSource(path)
  source.read(0)
  os.truncate(path, 300)
  with pytest.raises(InputError, match=f"^{path}: .*changed") as caught:
    source.read(4)
  assert "\n" not in str(caught.value)
