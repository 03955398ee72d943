"""Data sets that look like MNIST, by the name that TFDS knows them by.

TensorFlow is needed to prepare most of them, and never to read them.
"""

import difflib
import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np

from seqsum.data import mnist
from seqsum.runtime.errors import InputError
from seqsum.sequences.digit import CLASSES, SHAPE

# The [N, 28, 28, 1] uint8 images of a split and its [N] int32 labels.
Arrays = tuple[np.ndarray, np.ndarray]


def check_name(name: str) -> None:
  """Raises `InputError` if no data set of TFDS can have that name."""
  if not re.fullmatch(r"\w+(/\w[\w.-]*)?", name):  # no paths, no namespaces
    raise _unknown(name, [])


def load(name: str, root: Path) -> tuple[Arrays, Arrays]:
  """Prepares a data set if it is not there yet, and reads it.

  Args:
    name: Such as `kmnist` or `emnist/digits`.
    root: Where TFDS keeps its data sets.

  Returns:
    The training and the test split.

  Raises:
    InputError: It is not known, is unlike MNIST, cannot be had or is damaged.
  """
  import tensorflow_datasets as tfds

  try:
    builder = tfds.builder(name, data_dir=root, file_format="array_record")
  except ValueError as error:  # neither in TFDS nor in `root`
    known = tfds.list_builders(with_community_datasets=False)  # no network
    raise _unknown(name, known) from error
  except ImportError as error:
    raise InputError(
      f"data.name={name!r} needs a package that is not here, TensorFlow "
      "perhaps: install it or choose another"
    ) from error
  features = builder.info.features
  if not {"image", "label"} <= set(features or ()):
    raise InputError(f"data.name={name!r} has no image and label: choose one")
  shape = features["image"].shape
  classes = getattr(features["label"], "num_classes", None)
  if shape != SHAPE or classes != CLASSES:
    raise InputError(
      f"data.name={name!r} has images {shape} in {classes} classes, expected "
      f"{SHAPE} in {CLASSES}: choose another"
    )
  if not builder.is_prepared():
    urls = list(builder.url_infos or ())
    if importlib.util.find_spec("tensorflow") is None or (
      urls and not mnist.answers(urls[0])
    ):
      raise InputError(
        f"data.name={name!r} is not in {root} as array_record: where there are "
        "TensorFlow and a network, run `tfds build "
        f"{name} --file_format=array_record --data_dir={root}`"
      )
    size = builder.info.download_size
    origin = f"downloading {size / 1e6:,.0f} MB" if size else "downloading it"
    mnist.announce(name, origin, root / name)
    with mnist.without_noise():
      builder.download_and_prepare()
  return read(builder)


def read(builder: Any) -> tuple[Arrays, Arrays]:
  """A prepared builder's training and test split, read in bulk.

  Raises:
    InputError: They cannot be read.
  """
  splits = []
  for split in ("train", "test"):
    try:
      source = builder.as_data_source(split)
      images = np.empty((len(source), *SHAPE), np.uint8)
      labels = np.empty(len(source), np.int32)
      for start in range(0, len(source), 5_000):  # 5,000: little memory
        rows = range(start, min(start + 5_000, len(source)))
        for row, record in zip(rows, source.__getitems__(rows), strict=True):
          images[row], labels[row] = record["image"], record["label"]
    except Exception as error:  # TFDS and array_record have no common one
      raise damaged(builder, error) from error
    splits.append((images, labels))
  return tuple(splits)


def _unknown(name, known) -> InputError:
  near = difflib.get_close_matches(name, {"mnist", "digits", *known}, n=3)
  hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
  return InputError(
    f"data.name={name!r} is not known: {hint}choose 'mnist', 'digits' or a "
    "TFDS data set of 28x28x1 images in 10 classes, such as 'kmnist'; or "
    "sequences of your own, 'npz:FILE' or 'frames:FOLDER'"
  )


def damaged(builder: Any, what: object) -> InputError:
  """What to raise of records that are not what they should be."""
  return InputError(
    f"the records in {builder.data_dir} are damaged or of another format "
    f"({str(what).splitlines()[0]}): move that folder away and run again"
  )
