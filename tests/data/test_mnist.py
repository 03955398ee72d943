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

from seqsum.data import digits, mnist
from seqsum.runtime.errors import InputError


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


def test_decode_returns_images_and_labels():
  pixels, truth = some(3)
  images, labels = mnist.decode(*pack(pixels, truth))
  assert images.shape == (3, 28, 28, 1)
  assert images.dtype == np.uint8
  assert labels.dtype == np.int32
  assert images.flags.writeable
  assert labels.flags.writeable
  np.testing.assert_array_equal(images[..., 0], pixels)
  np.testing.assert_array_equal(labels, [0, 1, 2])


def test_sizes_and_checksums_are_those_of_tfds():
  import tensorflow_datasets as tfds

  known = tfds.builder_cls("mnist").url_infos
  ours = {mnist.URL + n: size_sha256 for n, size_sha256 in mnist.FILES.items()}
  assert ours == {url: (i.size, i.checksum) for url, i in known.items()}


def test_answers_is_true_only_for_a_file_that_exists(served):
  assert mnist.answers(mnist.URL + "train-labels-idx1-ubyte.gz")
  assert not mnist.answers(mnist.URL + "nothing.gz")


def test_answers_does_not_wait_for_name_resolution(monkeypatch):
  def slow(*_, **__):
    time.sleep(4)
    raise socket.gaierror("gave up")

  monkeypatch.setattr(socket, "getaddrinfo", slow)
  start = time.monotonic()
  assert not mnist.answers("https://example.org/", seconds=0.2)
  assert time.monotonic() - start < 2


# A small MNIST of 60 training and 20 test images, to go through TFDS quickly.


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """The four files of the small MNIST, with their checksums in `mnist`."""
  path = tmp_path / "manual"
  path.mkdir()
  files, body = {}, []
  for seed, (split, count) in enumerate([("train", 60), ("test", 20)]):
    images, labels = some(count, seed)
    names = mnist.SPLITS[split]
    for name, data in zip(names, pack(images, labels), strict=True):
      (path / name).write_bytes(data)
      files[name] = (len(data), hashlib.sha256(data).hexdigest())
    for cut in np.split(np.arange(count), [54] if split == "train" else []):
      body += [images[cut].tobytes(), labels[cut].astype("<i4").tobytes()]
  monkeypatch.setattr(mnist, "FILES", files)
  digest = hashlib.sha256(b"".join(body)).hexdigest()
  monkeypatch.setattr(mnist, "SHA256", digest)
  return path


@pytest.fixture
def served(folder, monkeypatch):
  """The same folder served over HTTP in place of MNIST's host."""

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


def test_a_second_start_needs_neither_files_nor_network(
  folder, tmp_path, monkeypatch, no_network, warned
):
  monkeypatch.setattr(mnist, "prepare", None)  # TFDS is not used
  check_small(digits.load("mnist", data_dir=tmp_path, manual_dir=folder))
  kept = tmp_path / mnist.NAME / "seqsum.data.npz"
  assert list(kept.parent.iterdir()) == [kept]

  # Neither the four files nor a network are needed again.
  monkeypatch.setattr(mnist, "decode", None)
  check_small(digits.load("mnist", data_dir=tmp_path))
  check_small(digits.load("mnist", data_dir=tmp_path, manual_dir=folder))
  assert warned() == []


def test_a_second_start_after_a_download_needs_no_network(
  served, tmp_path, monkeypatch, warned
):
  check_small(digits.load("mnist", data_dir=tmp_path))
  records = tmp_path / mnist.NAME / mnist.VERSION
  assert list(records.glob("*.array_record*"))
  kept = tmp_path / mnist.NAME / "seqsum.data.npz"

  monkeypatch.setattr(mnist, "answers", lambda url: False)
  kept.unlink()
  check_small(digits.load("mnist", data_dir=tmp_path))
  monkeypatch.setattr(mnist, "prepare", None)
  check_small(digits.load("mnist", data_dir=tmp_path))
  assert kept.exists()
  assert warned() == []
  assert "tensorflow" not in sys.modules


def test_prepared_records_are_used_beside_files(
  served, tmp_path, monkeypatch, capfd
):
  digits.load("mnist", data_dir=tmp_path)
  (tmp_path / mnist.NAME / "seqsum.data.npz").unlink()
  capfd.readouterr()
  monkeypatch.setattr(mnist, "decode", None)
  check_small(digits.load("mnist", data_dir=tmp_path, manual_dir=served))
  assert capfd.readouterr().out == ""


@pytest.mark.parametrize("manual", [True, False])
def test_a_damaged_cache_of_files_is_made_again(
  manual, served, tmp_path, warned
):
  """From the files, or by a download into the same folder."""
  digits.load("mnist", data_dir=tmp_path, manual_dir=served)
  kept = tmp_path / mnist.NAME / "seqsum.data.npz"
  kept.write_bytes(kept.read_bytes()[:-100])
  manual_dir = served if manual else None
  check_small(digits.load("mnist", data_dir=tmp_path, manual_dir=manual_dir))
  assert (kept.parent / mnist.VERSION).exists() is not manual
  assert len(warned()) == 1
  assert "seqsum.data.npz is damaged" in warned()[0]
  check_small(digits.load("mnist", data_dir=tmp_path))
  assert len(warned()) == 1


def test_the_default_data_dir_is_that_of_tfds(
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


def test_a_download_is_loaded(served, tmp_path):
  check_small(digits.load("mnist", data_dir=tmp_path))


def test_a_download_of_another_file_is_an_error(served, tmp_path):
  name = "t10k-labels-idx1-ubyte.gz"
  (served / name).write_bytes(b"not what was promised")
  with pytest.raises(InputError, match="served something that is not MNIST"):
    digits.load("mnist", data_dir=tmp_path)


def test_an_incomplete_download_falls_back(served, tmp_path, warned):
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


def replace_by_bomb(path):
  """100 MB of zeros, in more bytes than the file should have."""
  path.write_bytes(gzip.compress(bytes(100_000_000), 9, mtime=0))


def replace_by_pipe(path):
  path.unlink()
  os.mkfifo(path)


@pytest.mark.parametrize("name", mnist.FILES)
@pytest.mark.parametrize(
  ("harm", "message"),
  [
    (replace_by_pipe, r"cannot read {name} \(.*{name}: a pipe, not a file\)"),
    (Path.unlink, "cannot read {name} .*No such file"),
    (cut, r"{name} is damaged: expected {size} bytes .*got {less} with"),
    (grow, r"{name} is damaged: expected {size} bytes .*got {more}\+ with"),
    (alter, r"{name} is damaged: expected .*{sha256}, got"),
    (replace_by_bomb, r"{name} is damaged: expected .*{sha256}, got {more}\+"),
  ],
)
def test_wrong_files_in_manual_dir_are_refused(
  name, harm, message, folder, tmp_path
):
  harm(folder / name)
  size, sha256 = mnist.FILES[name]
  message = message.format(
    name=name, size=size, less=size - 1, more=size + 1, sha256=sha256
  )
  tracemalloc.start()
  try:
    with pytest.raises(InputError, match=message) as caught:  # no fallback
      digits.load("mnist", data_dir=tmp_path, manual_dir=folder)
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert peak < 1e6
  assert "\n" not in str(caught.value)


def test_a_data_dir_that_cannot_be_written_is_a_warning(folder, warned):
  bad = "/proc/nowhere"  # not even root can write there
  data = digits.load("mnist", data_dir=bad, manual_dir=folder)
  check_small(data)
  assert data.origin == str(folder)
  assert len(warned()) == 1
  assert "cannot write /proc/nowhere/seqsum_mnist/seqsum." in warned()[0]


def test_a_data_dir_below_a_file_is_a_warning(folder, tmp_path, warned):
  (tmp_path / "file").touch()
  bad = tmp_path / "file" / "dir"
  check_small(digits.load("mnist", data_dir=bad, manual_dir=folder))
  assert len(warned()) == 1


def test_a_full_disk_is_a_warning(folder, tmp_path, monkeypatch, warned):
  def full(path, **_):
    path.write_bytes(b"the first few bytes")
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(np, "savez", full)
  check_small(digits.load("mnist", data_dir=tmp_path, manual_dir=folder))
  assert len(warned()) == 1
  assert "No space left on device" in warned()[0]
  assert list((tmp_path / mnist.NAME).iterdir()) == []


def test_a_download_into_a_data_dir_that_cannot_be_written_falls_back(
  served, warned
):
  assert digits.load("mnist", data_dir="/proc/nowhere").name == "digits"
  assert "cannot prepare MNIST in /proc/nowhere" in warned()[0]


@pytest.mark.parametrize("manual", [True, False])
def test_another_process_may_prepare_first(
  manual, served, tmp_path, monkeypatch, warned
):
  decode = mnist.decode
  manual_dir = served if manual else None
  load = functools.partial(
    digits.load, "mnist", data_dir=tmp_path, manual_dir=manual_dir
  )
  others = []

  def late(*args):  # another process prepares while this one does
    if not others:
      others.append("started")
      others.append(load())
    return decode(*args)

  monkeypatch.setattr(mnist, "decode", late)
  check_small(load())
  check_small(others[1])
  leftovers = {p.name for p in (tmp_path / mnist.NAME).iterdir()}
  records = set() if manual else {mnist.VERSION}
  assert leftovers == {"seqsum.data.npz"} | records
  assert warned() == []


def test_damaged_records_are_refused(served, tmp_path):
  digits.load("mnist", data_dir=tmp_path)
  (tmp_path / mnist.NAME / "seqsum.data.npz").unlink()
  (path,) = (tmp_path / mnist.NAME / mnist.VERSION).glob("*train.array_record*")
  path.write_bytes(path.read_bytes()[:-70_000] + bytes(70_000))
  for manual_dir in (None, served):
    with pytest.raises(InputError, match=r"records in .* are damaged"):
      digits.load("mnist", data_dir=tmp_path, manual_dir=manual_dir)


def test_records_of_other_data_are_refused(served, tmp_path, monkeypatch):
  monkeypatch.setattr(mnist, "SHA256", "0" * 64)
  with pytest.raises(InputError, match=r"records in .* are damaged .*digest"):
    digits.load("mnist", data_dir=tmp_path)


def test_arrays_of_other_data_are_refused(folder, tmp_path, monkeypatch):
  monkeypatch.setattr(mnist, "SHA256", "0" * 64)
  message = r"manual_dir='.*manual': .* arrays have the digest .*expected 0000"
  with pytest.raises(InputError, match=message):
    digits.load("mnist", data_dir=tmp_path, manual_dir=folder)
  assert not (tmp_path / mnist.NAME).exists()


def test_an_array_file_of_other_data_is_not_used(
  served, tmp_path, monkeypatch, warned
):
  """A valid file of a small MNIST is not taken for the real one."""
  digits.load("mnist", data_dir=tmp_path)
  monkeypatch.setattr(mnist, "SHA256", "0" * 64)
  with pytest.raises(InputError, match=r"records in .* are damaged .*digest"):
    digits.load("mnist", data_dir=tmp_path)
  assert "seqsum.data.npz is damaged" in warned()[0]


def test_without_network_digits_are_loaded_in_ten_seconds(
  tmp_path, monkeypatch, warned
):
  monkeypatch.setattr(mnist, "URL", "https://seqsum.invalid/")
  start = time.monotonic()
  data = digits.load("mnist", data_dir=tmp_path)
  assert time.monotonic() - start < 10
  assert data.name == "digits"
  assert len(warned()) == 1
  assert "MNIST IS UNAVAILABLE" in warned()[0]


@pytest.mark.parametrize("fallback", ["", "mnist"])
def test_without_network_and_fallback_an_error_is_raised(
  fallback, tmp_path, no_network, warned
):
  with pytest.raises(InputError, match=r"data.name='mnist'.*data.manual_dir"):
    digits.load("mnist", data_dir=tmp_path, fallback=fallback)
  assert warned() == []


def test_an_unknown_fallback_is_refused(tmp_path, no_network):
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
def test_mnist_has_its_known_sizes_and_classes(real):
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
    from seqsum.data import digits
    start = time.process_time()
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
