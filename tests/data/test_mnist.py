import functools
import gzip
import hashlib
import http.server
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from seqsum.data import digits, idx, mnist
from seqsum.runtime.errors import InputError

LABELS = b"\0\0\x08\1" + b"\0\0\0\3" + b"\7\0\x09"
# Without the time: workers must agree on the names of the tests that it is in.
ZIPPED = gzip.compress(LABELS, mtime=0)
IMAGES = (
  b"\0\0\x08\3" + b"\0\0\0\1" + b"\0\0\0\2" + b"\0\0\0\3" + bytes(range(6))
)


def test_parse_idx_by_hand():
  labels = idx.parse_idx(LABELS)
  images = idx.parse_idx(IMAGES)
  assert labels.dtype == images.dtype == np.uint8
  np.testing.assert_array_equal(labels, [7, 0, 9])
  np.testing.assert_array_equal(images, [[[0, 1, 2], [3, 4, 5]]])


@pytest.mark.parametrize(
  ("data", "message"),
  [
    (b"", "starts with nothing"),
    (b"\x1f\x8b\x08\0" + bytes(20), "starts with 1f 8b 08 00"),  # still gzipped
    (b"\0\0\x0d\1" + LABELS[4:], "starts with 00 00 0d 01"),  # floats
    (b"\0\0\x08\2" + LABELS[4:], "starts with 00 00 08 02"),  # rank 2
    (LABELS[:6], "header is cut off after 6"),
    (IMAGES[:14], "header is cut off after 14"),
    (LABELS[:-1], r"promises \[3\] bytes, 2 follow"),
    (LABELS + b"\0", r"promises \[3\] bytes, 4 follow"),
    (b"\0\0\x08\1" + bytes(4), r"promises \[0\] bytes, 0 follow"),
    # 2**96 bytes; and nothing, but of a shape that NumPy cannot make.
    (b"\0\0\x08\3" + b"\xff" * 12, "promises .* 0 follow"),
    (b"\0\0\x08\3" + bytes(4) + b"\xff" * 8, "promises .* 0 follow"),
  ],
)
def test_parse_idx_refuses(data, message):
  with pytest.raises(InputError, match=message):
    idx.parse_idx(data)


def test_gunzip_takes_one_member_of_at_most_the_limit():
  assert idx.gunzip(ZIPPED, len(LABELS)) == LABELS


@pytest.mark.parametrize(
  ("data", "message"),
  [
    (b"", "cut off"),
    (LABELS, "not a sound gzip"),
    (ZIPPED[:-1], "cut off"),
    (ZIPPED[:12], "cut off"),
    (ZIPPED[:-8] + bytes(8), "not a sound gzip"),  # checksum
    (ZIPPED + b"xyz", "3 bytes follow"),
    (gzip.compress(LABELS + b"\0", mtime=0), "more than the 11 bytes"),
  ],
)
def test_gunzip_refuses(data, message):
  with pytest.raises(InputError, match=message):
    idx.gunzip(data, len(LABELS))


def test_gunzip_never_unpacks_a_bomb():
  bomb = gzip.compress(bytes(50_000_000), compresslevel=1)
  tracemalloc.start()
  with pytest.raises(InputError, match="more than the 1000 bytes"):
    idx.gunzip(bomb, 1_000)
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert peak < 2 * len(bomb) + 1_000_000


def pack(images, labels):
  """[N, H, W] and [N] uint8 as two gzipped IDX files."""
  header = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape)
  pixels = gzip.compress(header + images.tobytes(), mtime=0)
  header = struct.pack(">4BI", 0, 0, 8, 1, len(labels))
  return pixels, gzip.compress(header + labels.tobytes(), mtime=0)


def some(count, seed=0):
  draw = np.random.default_rng(seed).integers
  images = draw(0, 256, (count, 28, 28), np.uint8)
  return images, (np.arange(count) % 10).astype(np.uint8)


def test_decode():
  pixels, truth = some(3)
  images, labels = idx.decode(*pack(pixels, truth), 3)
  assert images.shape == (3, 28, 28, 1)
  assert images.dtype == np.uint8
  assert labels.dtype == np.int32
  np.testing.assert_array_equal(images[..., 0], pixels)
  np.testing.assert_array_equal(labels, [0, 1, 2])


@pytest.mark.parametrize(
  ("images", "labels", "message"),
  [
    (some(2)[0], some(3)[1], r"images \[2, 28, 28\] and labels \[3\]"),
    (some(3)[0], some(2)[1], r"images \[3, 28, 28\] and labels \[2\]"),
    (some(4)[0], some(3)[1], "more than"),
    (some(3)[0], some(4)[1], "more than"),
    (some(3)[0].reshape(3, 56, 14), some(3)[1], r"images \[3, 56, 14\]"),
    (some(3)[0], np.uint8([1, 10, 0]), "labels go up to 10"),
  ],
)
def test_decode_refuses(images, labels, message):
  with pytest.raises(InputError, match=message):
    idx.decode(*pack(images, labels), 3)


def test_files_are_those_that_tfds_knows():
  import tensorflow_datasets as tfds

  known = tfds.builder_cls("mnist").url_infos
  ours = {mnist.URL + n: size_sha256 for n, size_sha256 in mnist.FILES.items()}
  assert ours == {url: (i.size, i.checksum) for url, i in known.items()}


def test_answers_asks_for_the_file_itself(served):
  assert mnist.answers(mnist.URL + "train-labels-idx1-ubyte.gz")
  assert not mnist.answers(mnist.URL + "nothing.gz")


def test_answers_does_not_wait_for_a_name_server(monkeypatch):
  def slow(*_, **__):
    time.sleep(4)
    raise socket.gaierror("gave up")

  monkeypatch.setattr(socket, "getaddrinfo", slow)
  start = time.monotonic()
  assert not mnist.answers("https://example.org/", seconds=0.2)
  assert time.monotonic() - start < 2


# From here on MNIST is small: 60 images to train on and 20 to test on, so that
# all of the way through TFDS takes no time.


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """The four files of the small MNIST; the module takes them for the real."""
  path = tmp_path / "manual"
  path.mkdir()
  files, splits, body = {}, {}, []
  for seed, (split, count) in enumerate([("train", 60), ("test", 20)]):
    images, labels = some(count, seed)
    names = mnist.SPLITS[split][:2]
    for name, data in zip(names, pack(images, labels), strict=True):
      (path / name).write_bytes(data)
      files[name] = (len(data), hashlib.sha256(data).hexdigest())
    splits[split] = (*names, count)
    for cut in np.split(np.arange(count), [54] if split == "train" else []):
      body += [images[cut].tobytes(), labels[cut].astype("<i4").tobytes()]
  monkeypatch.setattr(mnist, "FILES", files)
  monkeypatch.setattr(mnist, "SPLITS", splits)
  digest = hashlib.sha256(b"".join(body)).hexdigest()
  monkeypatch.setattr(mnist, "SHA256", digest)
  return path


@pytest.fixture
def served(folder, monkeypatch):
  """The same folder behind HTTP, as the host that MNIST comes from."""

  class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      pass

  handler = functools.partial(Quiet, directory=folder)
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/"
    monkeypatch.setattr(mnist, "URL", url)
    yield folder
    server.shutdown()


@pytest.fixture
def no_network(monkeypatch):
  monkeypatch.setattr(mnist, "answers", lambda url: False)


def check_small(data):
  train, truth = some(60, 0)
  test, _ = some(20, 1)
  assert data.name == "mnist"
  assert data.sha256 == mnist.SHA256
  np.testing.assert_array_equal(data.train.images[..., 0], train[:54])
  np.testing.assert_array_equal(data.validation.images[..., 0], train[54:])
  np.testing.assert_array_equal(data.test.images[..., 0], test)
  np.testing.assert_array_equal(data.train.labels, truth[:54])
  np.testing.assert_array_equal(data.validation.labels, truth[54:])
  for split in (data.train, data.validation, data.test):
    assert split.images.dtype == np.uint8
    assert split.labels.dtype == np.int32


def test_manual_dir_then_records_then_array_file(
  folder, tmp_path, monkeypatch, no_network, warned
):
  check_small(digits.load("mnist", data_dir=tmp_path, manual_dir=folder))
  records = tmp_path / mnist.NAME / mnist.VERSION
  assert list(records.glob("*.array_record*"))
  kept = tmp_path / mnist.NAME / "seqsum.data.npz"

  # Neither the four files nor a network are asked for again.
  kept.unlink()
  check_small(digits.load("mnist", data_dir=tmp_path))
  monkeypatch.setattr(mnist, "prepare", None)
  check_small(digits.load("mnist", data_dir=tmp_path))
  assert kept.exists()
  assert warned() == []
  assert "tensorflow" not in sys.modules


def test_tfds_data_dir_and_empty_strings(
  folder, tmp_path, monkeypatch, no_network
):
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
  check_small(digits.load("mnist", manual_dir=folder))
  check_small(digits.load("mnist", data_dir="", manual_dir=""))
  assert (tmp_path / "tfds" / mnist.NAME).exists()
  monkeypatch.delenv("TFDS_DATA_DIR")
  check_small(digits.load("mnist", manual_dir=folder))
  assert (tmp_path / "home" / "tensorflow_datasets" / mnist.NAME).exists()


def test_download(served, tmp_path):
  check_small(digits.load("mnist", data_dir=tmp_path))


def test_download_of_something_else(served, tmp_path):
  name = "t10k-labels-idx1-ubyte.gz"
  (served / name).write_bytes(b"not what was promised")
  with pytest.raises(InputError, match="served something that is not MNIST"):
    digits.load("mnist", data_dir=tmp_path)


def test_download_that_stops_half_way(served, tmp_path, warned):
  (served / "train-labels-idx1-ubyte.gz").unlink()
  assert digits.load("mnist", data_dir=tmp_path).name == "digits"
  assert "404" in warned()[0]


def cut(path):
  path.write_bytes(path.read_bytes()[:-1])


def grow(path):
  path.write_bytes(path.read_bytes() + b"\0")


def alter(path):
  data = bytearray(path.read_bytes())
  data[-1] ^= 1
  path.write_bytes(data)


def replace_by_pipe(path):
  path.unlink()
  os.mkfifo(path)


@pytest.mark.parametrize("name", mnist.FILES)
@pytest.mark.parametrize(
  ("harm", "message"),
  [
    (replace_by_pipe, r"cannot read {name} \(.*{name}: a pipe, not a file\)"),
    (Path.unlink, "cannot read {name} .*No such file"),
    (cut, r"{name} is damaged: expected {size} bytes .*got {less} of"),
    (grow, r"{name} is damaged: expected {size} bytes .*got {more}\+ of"),
    (alter, r"{name} is damaged: expected .*{sha256}, got"),
  ],
)
def test_manual_dir_must_be_right(name, harm, message, folder, tmp_path):
  harm(folder / name)
  size, sha256 = mnist.FILES[name]
  message = message.format(
    name=name, size=size, less=size - 1, more=size + 1, sha256=sha256
  )
  with pytest.raises(InputError, match=message):  # although digits would do
    digits.load("mnist", data_dir=tmp_path, manual_dir=folder)


def test_data_dir_that_cannot_be_written(folder, warned):
  bad = "/proc/nowhere"  # not even root can write there
  check_small(digits.load("mnist", data_dir=bad, manual_dir=folder))
  assert len(warned()) == 1
  assert "cannot prepare MNIST in /proc/nowhere" in warned()[0]


def test_data_dir_below_a_file(folder, tmp_path, warned):
  (tmp_path / "file").touch()
  bad = tmp_path / "file" / "dir"
  check_small(digits.load("mnist", data_dir=bad, manual_dir=folder))
  assert len(warned()) == 1


def test_another_process_prepares_first(folder, tmp_path, monkeypatch, warned):
  decode, load = idx.decode, digits.load
  others = []

  def late(*args):  # in the midst of our preparing, all of another's
    if not others:
      others.append("started")
      others.append(load("mnist", data_dir=tmp_path, manual_dir=folder))
    return decode(*args)

  monkeypatch.setattr(idx, "decode", late)
  check_small(load("mnist", data_dir=tmp_path, manual_dir=folder))
  check_small(others[1])
  leftovers = [p.name for p in (tmp_path / mnist.NAME).iterdir()]
  assert sorted(leftovers) == [mnist.VERSION, "seqsum.data.npz"]
  assert warned() == []


def test_damaged_records(folder, tmp_path):
  digits.load("mnist", data_dir=tmp_path, manual_dir=folder)
  (tmp_path / mnist.NAME / "seqsum.data.npz").unlink()
  (path,) = (tmp_path / mnist.NAME / mnist.VERSION).glob("*train.array_record*")
  path.write_bytes(path.read_bytes()[:-70_000] + bytes(70_000))
  with pytest.raises(InputError, match=r"records in .* are damaged"):
    digits.load("mnist", data_dir=tmp_path, manual_dir=folder)


def test_records_of_other_data(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(mnist, "SHA256", "0" * 64)
  with pytest.raises(InputError, match=r"records in .* are damaged .*digest"):
    digits.load("mnist", data_dir=tmp_path, manual_dir=folder)


def test_array_file_of_other_data(folder, tmp_path, monkeypatch, warned):
  """A sound file of a small MNIST is not taken for the real one."""
  digits.load("mnist", data_dir=tmp_path, manual_dir=folder)
  monkeypatch.setattr(mnist, "SHA256", "0" * 64)
  with pytest.raises(InputError, match=r"records in .* are damaged .*digest"):
    digits.load("mnist", data_dir=tmp_path)
  assert "seqsum.data.npz is damaged" in warned()[0]


def test_without_network_digits_in_ten_seconds(tmp_path, monkeypatch, warned):
  monkeypatch.setattr(mnist, "URL", "https://seqsum.invalid/")
  start = time.monotonic()
  data = digits.load("mnist", data_dir=tmp_path)
  assert time.monotonic() - start < 10
  assert data.name == "digits"
  assert len(warned()) == 1
  assert "MNIST CANNOT BE HAD" in warned()[0]


@pytest.mark.parametrize("fallback", ["", "mnist"])
def test_without_network_and_fallback(fallback, tmp_path, no_network, warned):
  with pytest.raises(InputError, match=r"data.name='mnist'.*data.manual_dir"):
    digits.load("mnist", data_dir=tmp_path, fallback=fallback)
  assert warned() == []


def test_fallback_of_an_unknown_name(tmp_path, no_network):
  with pytest.raises(InputError, match="'digit' is not known"):
    digits.load("mnist", data_dir=tmp_path, fallback="digit")


# The real one.


@pytest.fixture(scope="module")
def real(tmp_path_factory):
  """A data_dir in which the real MNIST is prepared, and what was loaded."""
  manual_dir = os.environ.get("SEQSUM_MNIST_DIR")
  if not manual_dir:
    pytest.skip("SEQSUM_MNIST_DIR is unset: no folder with MNIST's four files")
  path = tmp_path_factory.mktemp("tfds")
  data = digits.load("mnist", data_dir=path, manual_dir=manual_dir, fallback="")
  return path, data


@pytest.mark.mnist
@pytest.mark.slow
def test_mnist(real):
  _, data = real
  assert data.train.images.shape == (55_000, 28, 28, 1)
  assert data.validation.images.shape == (5_000, 28, 28, 1)
  assert data.test.images.shape == (10_000, 28, 28, 1)
  # The class counts of the data set's description.
  np.testing.assert_array_equal(
    np.bincount(data.test.labels),
    [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
  )
  np.testing.assert_array_equal(data.train.labels[:5], [5, 0, 4, 1, 9])
  assert data.sha256 == mnist.SHA256


@pytest.mark.mnist
@pytest.mark.slow
def test_no_image_of_mnist_is_in_two_splits(real):
  _, data = real
  seen = [
    {image.tobytes() for image in split.images}
    for split in (data.train, data.validation, data.test)
  ]
  assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]


@pytest.mark.mnist
@pytest.mark.slow
def test_second_start_imports_nothing_heavy(real):
  path, data = real
  code = f"""if True:
    import sys, time
    start = time.process_time()
    from seqsum.data import digits
    data = digits.load("mnist", data_dir={str(path)!r}, fallback="")
    heavy = {{"tensorflow_datasets", "tensorflow", "jax", "sklearn", "scipy"}}
    print(data.sha256, heavy & set(sys.modules), time.process_time() - start)
  """
  out = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True
  ).stdout.split()
  assert out[0] == data.sha256
  assert out[1] == "set()"
  assert float(out[2]) < 2
