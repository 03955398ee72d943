"""Other TFDS data sets of 28x28x1 images in 10 classes.

Most of them need TensorFlow to be prepared, and none needs it to be read.
"""

import difflib
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np

from seqsum.data import mnist
from seqsum.runtime.errors import InputError, one_line
from seqsum.sequences.digit import CLASSES, SHAPE

# [N, 28, 28, 1] uint8 images and [N] int32 labels of a split.
Arrays = tuple[np.ndarray, np.ndarray]


def check_name(name: str) -> None:
  """Raises `InputError` unless a TFDS data set can have that name."""
  if not re.fullmatch(r"\w+(/\w[\w.-]*)?", name):  # no paths, no namespaces
    raise _unknown(name, [])


def load(name: str, root: Path) -> tuple[Arrays, Arrays]:
  """Reads a data set; prepares it the first time.

  Args:
    name: Such as `kmnist` or `emnist/digits`.
    root: TFDS's folder of data sets.

  Returns:
    The training and the test split.

  Raises:
    InputError: The name is unknown, the images are unlike MNIST's, or the data
      is unavailable or damaged.
  """
  import tensorflow_datasets as tfds

  try:
    builder = tfds.builder(name, data_dir=root, file_format="array_record")
  except ValueError as error:  # neither in TFDS nor in `root`
    known = tfds.list_builders(with_community_datasets=False)  # no network
    raise _unknown(name, known) from error
  except ImportError as error:
    raise InputError(
      f"config.data.name={name!r} needs a package that is missing "
      f"({one_line(error)}): install it, or choose another data set"
    ) from error
  features = builder.info.features
  if not {"image", "label"} <= set(features or ()):
    raise InputError(
      f"config.data.name={name!r} has no image and label: choose another"
    )
  shape = features["image"].shape
  classes = getattr(features["label"], "num_classes", None)
  if shape != SHAPE or classes != CLASSES:
    raise InputError(
      f"config.data.name={name!r} has images {shape} in {classes} classes, "
      f"expected {SHAPE} in {CLASSES}: choose another"
    )
  if not builder.is_prepared():
    urls = list(builder.url_infos or ())
    if importlib.util.find_spec("tensorflow") is None or (
      urls and not mnist.answers(urls[0])
    ):
      raise InputError(
        f"config.data.name={name!r} is not in {root} as array_record: on a "
        "machine with TensorFlow and a network, run `tfds build "
        f"{name} --file_format=array_record --data_dir={root}`"
      )
    size = builder.info.download_size
    origin = f"downloading {size / 1e6:,.0f} MB" if size else "downloading it"
    mnist.announce(name, origin, root / name)
    with mnist.without_noise():
      builder.download_and_prepare()
  return read(builder)


def read(builder: Any) -> tuple[Arrays, Arrays]:
  """Reads the training and the test split of a prepared builder.

  Raises:
    InputError: The records cannot be read.
  """
  splits = []
  for split in ("train", "test"):
    try:
      source = builder.as_data_source(split)
      images = np.empty((len(source), *SHAPE), np.uint8)
      labels = np.empty(len(source), np.int32)
      for start in range(0, len(source), 5_000):  # bounds the memory
        rows = range(start, min(start + 5_000, len(source)))
        for row, record in zip(rows, source.__getitems__(rows), strict=True):
          images[row], labels[row] = record["image"], record["label"]
    except Exception as error:  # of TFDS or of array_record
      raise damaged(builder, error) from error
    splits.append((images, labels))
  train, test = splits
  return train, test


def _unknown(name, known) -> InputError:
  near = difflib.get_close_matches(name, {"mnist", "digits", *known}, n=3)
  hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
  return InputError(
    f"config.data.name={name!r} is not known: {hint}choose 'mnist', 'digits', "
    "a TFDS data set of 28x28x1 images in 10 classes, such as 'kmnist', or "
    "your own sequences, 'npz:FILE' or 'frames:FOLDER'"
  )


def damaged(builder: Any, what: object) -> InputError:
  """The error for damaged records."""
  return InputError(
    f"the records in {builder.data_dir} are damaged or of another format "
    f"({str(what).splitlines()[0]}): remove that folder and run again"
  )
