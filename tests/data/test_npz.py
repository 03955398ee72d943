"""Sequences in NumPy arrays: an .npz file, or a folder of .npy files."""

import io
import os
import pathlib
import re
import socket
import struct
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqsum.data import npz
from seqsum.data.npz import NpzSource
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


def save_folder(path, **others):
  path.mkdir(exist_ok=True)
  for name, array in arrays(**others).items():
    (path / f"{name}.npy").unlink(missing_ok=True)
    if array is not None:
      np.save(path / f"{name}.npy", array)
  return path


def save_any(path, write, **others):
  """An .npz file by a function of NumPy's, or a folder if it is None."""
  return save(path, write, **others) if write else save_folder(path, **others)


WRITE = [np.savez, np.savez_compressed, None]


def read_all(path):
  """Reads every sequence, with warnings as errors."""
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    source = NpzSource(path)
    return [source.read(n) for n in range(len(source.lengths))]


def refuse(path, words):
  """Asserts one line that names the file, and no warning."""
  with pytest.raises(InputError, match=words) as caught:
    read_all(path)
  line = str(caught.value)
  assert line.startswith((f"{path}: ", f"{path}/")), line
  assert "\n" not in line


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
def test_an_error_names_another_order_of_axes(
  tmp_path, kind, shape, words, fix
):
  path, frames = tmp_path / "x.npz", np.zeros(shape, kind)
  save(path, frames=frames, lengths=None)
  refuse(path, words)
  with pytest.raises(InputError) as caught:
    NpzSource(path)
  # The remedy in the message works.
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


def test_pipes_sockets_and_devices_do_not_block(tmp_path, monkeypatch):
  path = tmp_path / "x.npz"
  os.mkfifo(path)
  refuse(path, "a pipe, not a file")
  path.unlink()
  path.mkdir()
  refuse(path, "'frames' is missing; it has none of frames, lengths, split")
  os.mkfifo(path / "frames.npy")
  refuse(path, "frames.npy: a pipe, not a file")
  with socket.socket(socket.AF_UNIX) as server:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    server.bind("s.npz")
    refuse(tmp_path / "s.npz", "a socket, not a file")
  refuse(pathlib.Path("/dev/zero"), "a device, not a file")


def test_files_and_folders_are_read_alike(tmp_path):
  expected = arrays()
  stored = NpzSource(save(tmp_path / "a.npz"))
  packed = NpzSource(save(tmp_path / "b.npz", np.savez_compressed))
  folder = NpzSource(save_folder(tmp_path / "c"))
  assert isinstance(folder._frames, np.memmap)
  for source in (stored, packed, folder):
    assert source.shape == (4, 6, 3)
    assert source.splits is None
    np.testing.assert_array_equal(source.lengths, expected["lengths"])
    assert source.targets.shape == (N, T)
    for n, length in enumerate(expected["lengths"]):
      frames = source.read(n)
      assert frames.dtype == np.uint8
      np.testing.assert_array_equal(frames, expected["frames"][n, :length])
  assert stored.fingerprint == packed.fingerprint


def test_an_unpacked_file_is_a_folder(tmp_path):
  path = save(tmp_path / "x.npz", split=np.array(["train"] * N))
  subprocess.run(
    [sys.executable, "-m", "zipfile", "-e", path, tmp_path / "x"], check=True
  )
  file, folder = read_all(path), read_all(tmp_path / "x")
  for ours, theirs in zip(file, folder, strict=True):
    np.testing.assert_array_equal(ours, theirs)
  assert NpzSource(tmp_path / "x").splits == ["train"] * N


def test_a_large_file_is_refused_with_the_remedy(tmp_path, monkeypatch):
  path = save(tmp_path / "x.npz", np.savez_compressed)
  monkeypatch.setattr(npz, "MAX_BYTES", 1000)
  refuse(path, "bytes unpacked, more than the 1,000 that .* -m zipfile -e FILE")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("write", WRITE)
@pytest.mark.parametrize("kind", ["<f2", ">f4", "<f8"])
def test_floats_of_any_range_order_and_size(tmp_path, write, order, kind):
  frames = np.random.default_rng(1).normal(0, 50, (N, T, 4, 6)).astype(kind)
  frames = np.asarray(frames, order=order)
  path = save_any(tmp_path / "x.npz", write, frames=frames, lengths=None)
  source = NpzSource(path)
  assert source.shape == (4, 6, 1)
  np.testing.assert_array_equal(source.lengths, [T] * N)
  got = source.read(2)
  assert got.dtype == np.float32
  assert got.dtype.isnative
  np.testing.assert_array_equal(got[..., 0], frames[2].astype(np.float32))


def test_splits_are_str_or_bytes(tmp_path):
  names = ["train", "test", "train", "validation", "train"]
  for kind in (str, "S"):
    path = save(tmp_path / "x.npz", split=np.array(names).astype(kind))
    assert list(NpzSource(path).splits) == names


@pytest.mark.parametrize("write", WRITE)
def test_the_fingerprint_depends_on_the_content(tmp_path, write):
  first = NpzSource(save_any(tmp_path / "a.npz", write)).fingerprint
  assert NpzSource(save_any(tmp_path / "d.npz", write)).fingerprint == first
  frames = arrays()["frames"]
  frames[3, 1, 2, 2, 0] ^= 1
  path = save_any(tmp_path / "b.npz", write, frames=frames)
  assert NpzSource(path).fingerprint != first
  targets = arrays()["targets"] + 1
  path = save_any(tmp_path / "c.npz", write, targets=targets)
  assert NpzSource(path).fingerprint != first


@pytest.mark.parametrize(
  ("others", "words"),
  [
    ({"frames": None}, "array 'frames' is missing; it has lengths, targets"),
    ({"targets": None}, "array 'targets' is missing; it has frames, lengths"),
    ({"targets": np.array([{}] * N)}, "not a valid .np[yz] file .*(O|o)bject"),
    ({"targets": np.zeros(4)}, r"targets have the shape \(4,\)"),
    ({"targets": np.zeros(N, complex)}, "targets are complex128"),
    (
      {"targets": np.full(N, np.nan)},
      "targets of sequence 0 contain inf or nan",
    ),
    ({"frames": np.zeros((N, T, 4), np.uint8)}, r"shape \(5, 3, 4\): if"),
    ({"frames": np.zeros((N, T, 4, 0), np.uint8)}, r"\[N, T, H, W, C\]|empty"),
    ({"frames": np.zeros((N, T, 4, 6), np.int64)}, "int64, expected uint8"),
    ({"frames": np.zeros((N, T, 4, 6), bool)}, "bool, expected uint8"),
    ({"frames": np.zeros((N, T, 4, 6), complex)}, "complex128, expected uint8"),
    (
      {"frames": np.full((N, T, 4, 6), np.nan), "lengths": None},
      "frames of sequence 0 contain inf or nan",
    ),
    (
      {"frames": np.full((N, T, 4, 6), 1e39), "lengths": None},
      "frames of sequence 0 contain inf or nan",
    ),
    ({"lengths": np.array([1, 2, 3, 4, 1])}, "sequence 3 has the length 4"),
    ({"lengths": np.array([1, 0, 3, 3, 1])}, r"length 0, expected 1\.\.3"),
    ({"lengths": np.array([1, -1, 3, 3, 1])}, "sequence 1 has the length -1"),
    ({"lengths": np.ones(4, int)}, r"shape \(4,\), expected whole"),
    ({"lengths": np.ones(N)}, "lengths are float64"),
    ({"split": np.array(["train"] * 4)}, r"split has the shape \(4,\)"),
  ],
)
@pytest.mark.parametrize("write", WRITE)
def test_invalid_arrays_are_refused(tmp_path, write, others, words):
  path = save_any(tmp_path / "x.npz", write)
  refuse(save_any(path, write, **others), words)


def test_other_files_are_refused(tmp_path):
  path = tmp_path / "x.npz"
  np.save(tmp_path / "x.npy", np.zeros(3))
  path.write_bytes((tmp_path / "x.npy").read_bytes())
  refuse(path, "not a valid .npz file")
  path.write_bytes(b"")
  refuse(path, "not a valid .npz file")
  path.write_text("words")
  refuse(path, "not a valid .npz file")
  folder = save_folder(tmp_path / "x")
  (folder / "frames.npy").write_bytes(b"words")
  refuse(folder, "frames.npy: not a valid .npy file")


def test_a_truncated_file_is_refused(tmp_path):
  path = tmp_path / "x.npz"
  for write in (np.savez, np.savez_compressed):
    whole = save(path, write).read_bytes()
    for size in (*range(0, len(whole), 7), len(whole) - 1):
      path.write_bytes(whole[:size])
      refuse(path, "not a valid .npz file")
  folder = save_folder(tmp_path / "x")
  for name in ("frames", "lengths", "targets"):
    file = folder / f"{name}.npy"
    whole = file.read_bytes()
    for size in (0, 7, 60, 127, len(whole) - 1):
      file.write_bytes(whole[:size])
      refuse(folder, f"{name}.npy: not a valid .npy file")
    file.write_bytes(whole)


CONTENT = {}


def content(write):
  if write not in CONTENT:
    file = io.BytesIO()
    write(file, **arrays(split=np.array(["train"] * N)))
    CONTENT[write] = file.getvalue()
  return CONTENT[write]


def test_an_offset_outside_the_file_is_refused(tmp_path):
  path = save(tmp_path / "x.npz")
  raw = bytearray(path.read_bytes())
  for mark in (b"PK\x01\x02", b"PK\x05\x06"):  # of members, of their list
    start = raw.index(mark)
    place = 42 if mark[2] == 1 else 16
    struct.pack_into("<I", raw, start + place, 2**31)
  path.write_bytes(raw)
  refuse(path, "not a valid .npz file")


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
def test_random_damage_is_read_or_refused(tmp_path_factory, write, damage):
  """Damage anywhere, mostly in headers."""
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
def test_random_headers_are_read_or_refused(
  tmp_path_factory, how, name, damage
):
  """Damage that the checksum includes."""
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
  """A header of an .npy file."""
  text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}"
  text = text.ljust(117) + "\n"
  return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def resident():
  return psutil.Process().memory_info().rss


@pytest.mark.parametrize(
  "shape",
  ["(10**9,)", "(1000000000, 4, 9, 9)", "(-1, -4, 1, 1)", "(-4, -1)", "(4,)"],
)
@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("lies", [False, True])
def test_headers_with_a_wrong_size_take_no_memory(tmp_path, shape, how, lies):
  path = tmp_path / "x.npz"
  data = member(shape) + bytes(4)
  with zipfile.ZipFile(path, "w", how) as file:
    file.writestr("frames.npy", data)
    file.writestr("targets.npy", data)
  if lies:  # in the zip file's list as well
    raw = bytearray(path.read_bytes())
    start = raw.index(b"PK\x01\x02")
    struct.pack_into("<I", raw, start + 24, 4 * 10**9 + len(data) - 4)
    path.write_bytes(raw)
  folder = tmp_path / "x"
  folder.mkdir()
  for name in ("frames", "targets"):
    (folder / f"{name}.npy").write_bytes(data)
  before = resident()
  refuse(path, ".")
  refuse(folder, ".")
  assert resident() - before < 50e6


@pytest.mark.parametrize("how", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_bytes_after_an_array_are_refused(tmp_path, how):
  path = tmp_path / "x.npz"
  with zipfile.ZipFile(path, "w", how) as file:
    file.writestr("frames.npy", member("(4, 1, 1, 1)") + bytes(4))
    file.writestr("targets.npy", member("(4,)") + bytes(5))
  refuse(path, "targets.npy has bytes after its array")


@pytest.mark.parametrize(
  "change", [{"compress_type": 99}, {"flag_bits": 1}, {"compress_type": 14}]
)
def test_unsupported_members_are_refused(tmp_path, change):
  """An unknown compression method, a password, invalid LZMA."""
  path = save(tmp_path / "x.npz")
  raw = bytearray(path.read_bytes())
  for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
    start = raw.index(mark) + place
    struct.pack_into("<H", raw, start, change.get("flag_bits", 0))
    struct.pack_into("<H", raw, start + 2, change.get("compress_type", 0))
  path.write_bytes(raw)
  refuse(path, "not a valid .npz file")


def test_frames_of_a_folder_are_not_read_into_memory(tmp_path):
  """A gigabyte in a sparse file."""
  count, side = 1000, 1000
  folder = save_folder(tmp_path / "x", targets=np.arange(count), lengths=None)
  with (folder / "frames.npy").open("wb") as raw:
    raw.write(member(f"({count}, 1, {side}, {side}, 1)"))
    raw.seek(count * side * side - 1, os.SEEK_CUR)
    raw.write(b"\x07")
  before = resident()
  source = NpzSource(folder)
  assert source.read(count - 1)[0, -1, -1, 0] == 7
  assert not source.read(count // 2).any()
  assert resident() - before < 100e6


def test_frames_that_change_during_a_run_are_an_error(tmp_path):
  """Reading a truncated mapped file would end the process with SIGBUS."""
  folder = save_folder(tmp_path / "x")
  source = NpzSource(folder)
  source.read(0)
  os.truncate(folder / "frames.npy", 300)
  with pytest.raises(InputError, match=f"^{folder}: .*changed") as caught:
    source.read(4)
  assert "\n" not in str(caught.value)
