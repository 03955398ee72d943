"""MNIST: four gzipped IDX files, and the TFDS data set made from a download.

Files that the user has are decoded directly, with gzip and NumPy; TFDS is used
for the download. Its own `mnist` needs TensorFlow to unpack files and to encode
PNGs. The builder here needs neither: it decodes the files in the same way and
writes array_record, which is read without TensorFlow too.
"""

import contextlib
import gzip
import hashlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seqsum.runtime.errors import InputError, require_file
from seqsum.sequences.digit import CLASSES, SHAPE

NAME, VERSION = "seqsum_mnist", "1.0.0"  # TFDS has a builder named mnist
URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
# The `array_cache.digest` of MNIST as `digits.load` returns it.
SHA256 = "7629d34a944737500a27becb6c4bd66820602db3998cb189d92cef9b95c8b6a7"
FILES = {  # name: size and sha256, as in TFDS's url_checksums/mnist.txt
  "train-images-idx3-ubyte.gz": (
    9_912_422,
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
  ),
  "train-labels-idx1-ubyte.gz": (
    28_881,
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
  ),
  "t10k-images-idx3-ubyte.gz": (
    1_648_877,
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
  ),
  "t10k-labels-idx1-ubyte.gz": (
    4_542,
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
  ),
}
SPLITS = {
  "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
  "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


class Unavailable(Exception):
  """MNIST cannot be downloaded or prepared here; the message has the reason."""


def read_folder(folder: Path) -> dict[str, bytes]:
  """Reads the four files of a folder, by name, and checks their sha256.

  Raises:
    InputError: A file is missing, truncated or altered.
  """
  contents = {}
  for name, (size, sha256) in FILES.items():
    try:
      require_file(folder / name)
      with (folder / name).open("rb") as stream:
        data = stream.read(size + 1)
    except (InputError, OSError) as error:
      reason = getattr(error, "strerror", error)
      raise InputError(
        f"config.data.manual_dir={str(folder)!r}: cannot read {name} "
        f"({reason}): put MNIST's four files there, from {URL}"
      ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
      raise InputError(
        f"config.data.manual_dir={str(folder)!r}: {name} is damaged: expected "
        f"{size} bytes with the sha256 {sha256}, got "
        f"{len(data)}{'+' * (len(data) > size)} with {found}: download it "
        f"again from {URL}"
      )
    contents[name] = data
  return contents


def decode(images: bytes, labels: bytes) -> tuple[np.ndarray, np.ndarray]:
  """Arrays of two gzipped IDX files whose sha256 has been checked.

  Format: http://yann.lecun.com/exdb/mnist; the pixels follow a header of 16
  bytes, the labels one of 8.

  Returns:
    [N, 28, 28, 1] uint8 images and [N] int32 labels, both writable.
  """
  pixels = np.frombuffer(gzip.decompress(images), np.uint8, offset=16)
  digits = np.frombuffer(gzip.decompress(labels), np.uint8, offset=8)
  return pixels.reshape(-1, *SHAPE).copy(), digits.astype(np.int32)


def announce(name: str, origin: str, folder: Path) -> None:
  """Prints where a data set comes from and where it will be stored."""
  print(f"{name}: {origin}, once; keeping the data in {folder}", flush=True)


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
  """Hides TFDS's progress output, whose sizes and rates are wrong here."""
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  with contextlib.redirect_stdout(io.StringIO()):
    yield


def answers(url: str, seconds: float = 3.0) -> bool:
  """Whether a server answers for `url`; TFDS would try for two minutes.

  Uses `requests`, as TFDS does, so that proxies and certificates are the same,
  in a thread, because name resolution has no timeout.
  """
  replies = []

  def ask():
    import requests

    try:
      replies.append(requests.head(url, timeout=seconds).ok)
    except OSError:  # the base of requests' errors
      replies.append(False)

  thread = threading.Thread(target=ask, daemon=True)
  thread.start()
  thread.join(seconds)
  return any(replies)


def _builder(data_dir: Path):
  import tensorflow_datasets as tfds  # half a second
  from tensorflow_datasets.core import registered
  from tensorflow_datasets.core.download import checksums

  with registered.skip_registration():

    class SeqsumMnist(tfds.core.GeneratorBasedBuilder):
      """MNIST in the order of its files, since splits are made by position."""

      name = NAME
      VERSION = tfds.core.Version(VERSION)
      url_infos = {  # noqa: RUF012 (TFDS checks the sha256 of downloads)
        URL + name: checksums.UrlInfo(size, sha256, filename=name)
        for name, (size, sha256) in FILES.items()
      }

      def _info(self):
        # Encoding.BYTES stores an image as one string instead of 784 integers,
        # which halves the time to prepare.
        return tfds.core.DatasetInfo(
          builder=self,
          description=__doc__,
          features=tfds.features.FeaturesDict(
            {
              "image": tfds.features.Tensor(
                shape=SHAPE,
                dtype=np.uint8,
                encoding=tfds.features.Encoding.BYTES,
              ),
              "label": tfds.features.ClassLabel(num_classes=CLASSES),
            }
          ),
          disable_shuffling=True,
        )

      def _split_generators(self, dl_manager):
        paths = dl_manager.download({name: URL + name for name in FILES})
        return {
          split: self._generate_examples(paths[images], paths[labels])
          for split, (images, labels) in SPLITS.items()
        }

      def _generate_examples(self, images, labels):
        arrays = decode(images.read_bytes(), labels.read_bytes())
        for index, (image, label) in enumerate(zip(*arrays, strict=True)):
          yield index, {"image": image, "label": label}

  return SeqsumMnist(data_dir=str(data_dir), file_format="array_record")


def prepare(data_dir: Path):
  """Downloads and prepares MNIST the first time; returns its builder.

  Preparing takes about 6 seconds after the download.

  Args:
    data_dir: TFDS's folder of data sets.

  Raises:
    Unavailable: No network, or `data_dir` cannot be written.
    InputError: The download is not MNIST.
  """
  folder = data_dir / NAME / VERSION
  if not folder.exists():
    if not answers(URL + min(FILES)):
      raise Unavailable(f"{URL} does not answer")
    from tensorflow_datasets.core.download import download_manager, util

    size = sum(size for size, _ in FILES.values())
    origin = f"downloading {size / 1e6:.0f} MB from {URL}"
    announce(NAME, origin, data_dir / NAME)
    try:
      with without_noise():
        _builder(data_dir).download_and_prepare()
    except download_manager.NonMatchingChecksumError as error:
      raise InputError(
        f"{URL} served something that is not MNIST: set config.data.manual_dir "
        "to a folder with the four files"
      ) from error
    except (OSError, util.DownloadError) as error:
      # TFDS renames a finished folder; another process may have been first.
      if not folder.exists():
        reason = f"cannot prepare MNIST in {data_dir}: {error}"
        raise Unavailable(reason) from error
  return _builder(data_dir)
