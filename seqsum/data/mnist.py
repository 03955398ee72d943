"""MNIST: four gzipped IDX files, and the TFDS data set made of them.

TFDS's own `mnist` needs TensorFlow to unpack and to encode PNGs. The builder
here needs neither: it downloads through TFDS, reads the files with zlib and
NumPy and writes array_record, which can be read without TensorFlow too.
"""

import contextlib
import hashlib
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from seqsum.data import idx
from seqsum.runtime.errors import InputError, require_file
from seqsum.sequences.digit import CLASSES, SHAPE

NAME, VERSION = "seqsum_mnist", "1.0.0"  # TFDS has a builder named mnist
URL = "https://storage.googleapis.com/cvdf-datasets/mnist/"
# What `digits.load` makes of the four files, whichever way they came.
SHA256 = "7629d34a944737500a27becb6c4bd66820602db3998cb189d92cef9b95c8b6a7"


FILES = {  # name: bytes and sha256, as in TFDS's url_checksums/mnist.txt
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
SPLITS = {  # images, labels, and how many there are
  "train": (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    60_000,
  ),
  "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz", 10_000),
}


class Unavailable(Exception):
  """MNIST can be neither fetched nor prepared here; the message says why."""


def read_folder(folder: Path) -> dict[str, bytes]:
  """The four files by name, checked against their known sha256.

  Raises:
    InputError: One is missing, cut off or altered.
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
        f"data.manual_dir={str(folder)!r}: cannot read {name} "
        f"({reason}): put MNIST's four files there, from {URL}"
      ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
      raise InputError(
        f"data.manual_dir={str(folder)!r}: {name} is damaged: expected {size} "
        f"bytes of sha256 {sha256}, got {len(data)}{'+' * (len(data) > size)} "
        f"of {found}: fetch it again from {URL}"
      )
    contents[name] = data
  return contents


def announce(name: str, origin: str, folder: Path) -> None:
  """Prints where a data set comes from and where it will be kept."""
  print(f"{name}: {origin}, once; keeping it in {folder}", flush=True)


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
  """Hides what TFDS prints while it prepares a data set.

  It prints sizes as unknown and rates of files that are already there.
  """
  import tensorflow_datasets as tfds

  tfds.disable_progress_bar()
  with contextlib.redirect_stdout(io.StringIO()):
    yield


def answers(url: str, seconds: float = 3.0) -> bool:
  """Whether `url` can be had at all. TFDS would find out in two minutes.

  Asked through `requests`, as TFDS does, so that proxies and certificates are
  the same; in a thread, because looking up a name knows no time-out.
  """
  replies = []

  def ask():
    import requests

    try:
      replies.append(requests.head(url, timeout=seconds).ok)
    except OSError:  # all of requests' errors are
      replies.append(False)

  thread = threading.Thread(target=ask, daemon=True)
  thread.start()
  thread.join(seconds)
  return any(replies)


def _builder(data_dir: Path):
  import tensorflow_datasets as tfds  # half a second
  from tensorflow_datasets.core.download import checksums

  class SeqsumMnist(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """MNIST in the order of its files: the splits are made by position."""

    name = NAME
    VERSION = tfds.core.Version(VERSION)
    url_infos = {  # noqa: RUF012 (TFDS checks downloads against these)
      URL + name: checksums.UrlInfo(size, sha256, filename=name)
      for name, (size, sha256) in FILES.items()
    }

    def _info(self):
      # Encoding.BYTES: one string an image instead of 784 integers, which
      # halves the time to prepare.
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
        split: self._generate_examples(paths[images], paths[labels], count)
        for split, (images, labels, count) in SPLITS.items()
      }

    def _generate_examples(self, images, labels, count):
      arrays = idx.decode(images.read_bytes(), labels.read_bytes(), count)
      for index, (image, label) in enumerate(zip(*arrays, strict=True)):
        yield index, {"image": image, "label": label}

  return SeqsumMnist(data_dir=str(data_dir), file_format="array_record")


def prepare(data_dir: Path, manual_dir: Path | None):
  """The TFDS builder of MNIST, prepared: once, in about 7 seconds.

  Args:
    data_dir: Where TFDS keeps its data sets.
    manual_dir: Where the four files are, checked; None to download them.

  Raises:
    Unavailable: No network, or `data_dir` cannot be written.
    InputError: What was downloaded is not MNIST.
  """
  folder = data_dir / NAME / VERSION
  if not folder.exists():
    if manual_dir is None and not answers(URL + min(FILES)):
      raise Unavailable(f"{URL} does not answer")
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import download_manager, util

    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    origin = f"reading its files in {manual_dir}"
    if manual_dir is None:
      size = sum(size for size, _ in FILES.values())
      origin = f"downloading {size / 1e6:.0f} MB from {URL}"
    announce(NAME, origin, data_dir / NAME)
    try:
      with without_noise():
        _builder(data_dir).download_and_prepare(download_config=config)
    except download_manager.NonMatchingChecksumError as error:
      raise InputError(
        f"{URL} served something that is not MNIST: set data.manual_dir to a "
        "folder that holds the four files"
      ) from error
    except (OSError, util.DownloadError) as error:
      # TFDS renames a finished folder into place: another process may have
      # been first.
      if not folder.exists():
        reason = f"cannot prepare MNIST in {data_dir}: {error}"
        raise Unavailable(reason) from error
  return _builder(data_dir)
