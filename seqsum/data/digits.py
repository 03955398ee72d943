"""Where the images come from: arrays of digits, in three splits.

Everything is NumPy arrays in memory. What TFDS took seconds to read is kept in
an array file beside its records; the next start needs neither them nor TFDS.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import jax
import numpy as np
from absl import logging
from jax.sharding import Sharding

from seqsum.data import array_cache, bundled, idx, mnist, tfds
from seqsum.data.tfds import Arrays
from seqsum.runtime.errors import InputError, require
from seqsum.sequences.digit import CLASSES
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.shapes import Feed
from seqsum.sequences.videos import VideoSampler

VALIDATION = 5_000  # images from the end of a training split
KEYS = [  # the arrays of a cached data set
  f"{split}_{field}"
  for split in ("train", "validation", "test")
  for field in ("images", "labels")
]


class Split(NamedTuple):
  """Images and what they show.

  Attributes:
    images: [N, 28, 28, 1] uint8, ink is 255.
    labels: [N] int32, 0..9.
  """

  images: np.ndarray
  labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Digits:
  """A data set: choose models on `validation`, read `test` once, at the end.

  Attributes:
    name: The data really used, which may be the fallback.
    train, validation, test: No image of MNIST or digits is in two of them.
    origin: Where the images are: a package, or a path.
    sha256: The `array_cache.digest` of all images and labels, in that order.
  """

  facts: ClassVar[None] = None
  name: str
  train: Split
  validation: Split
  test: Split
  origin: str = ""
  sha256: str = dataclasses.field(init=False)

  def __post_init__(self):
    arrays = (*self.train, *self.validation, *self.test)
    object.__setattr__(self, "sha256", array_cache.digest(arrays))

  def only(self, digits: Sequence[int]) -> "Digits":
    """The images that show one of some digits."""
    if set(digits) == set(range(CLASSES)):
      return self
    splits = [
      Split(*(x[np.isin(split.labels, digits)] for x in split))
      for split in (self.train, self.validation, self.test)
    ]
    return Digits(self.name, *splits, origin=self.origin)

  def feed(
    self, split: str, sharding: Sharding, batch_size: int, **_: int | None
  ) -> Feed:
    """Batches are drawn from all images of a split, on the devices once."""
    arrays = jax.device_put(getattr(self, split), sharding)
    return lambda n: arrays

  def held_out(
    self, split: str, sequences: int, batch_size: int, devices: int
  ) -> tuple[int, int]:
    return sequences, batch_size

  def mean_target(
    self, sampler: Sampler | VideoSampler, per_step: bool
  ) -> np.ndarray | float:
    return sampler.mean_target(self.train.labels, per_step)

  def describe(self) -> str:
    counts = ", ".join(
      f"{len(split.labels):,} {name}"
      for name, split in (
        ("training", self.train),
        ("validation", self.validation),
        ("test", self.test),
      )
    )
    height, width, _ = self.train.images.shape[1:]
    return (
      f"{self.name}: {counts} images of {height}x{width}, from {self.origin}"
    )


def load(
  name: str = "mnist",
  *,
  data_dir: str | os.PathLike | None = None,
  manual_dir: str | os.PathLike | None = None,
  fallback: str = "digits",
  size: Sequence[int] = (),
) -> Digits:
  """Loads a data set, preparing it the first time.

  Args:
    name: `mnist`; `digits`, which needs no network; or a TFDS data set of
      28x28x1 images in 10 classes, such as `kmnist` or `emnist/digits` (whose
      images TFDS gives transposed).
    data_dir: Where TFDS keeps its data sets; None or "" for TFDS's default.
    manual_dir: A folder with MNIST's four .gz files, for `mnist` alone; None or
      "" to download them.
    fallback: What to load when MNIST cannot be had; "" makes that an error.
    size: Must be (): digits are 28x28.

  Raises:
    InputError: The data cannot be had, or is damaged.
  """
  require(not len(size), "data.size", tuple(size), "is for 'frames:FOLDER'")
  if name == "digits":
    return _bundled()
  data_dir = data_dir or os.environ.get("TFDS_DATA_DIR", "")
  remedy = "must be a local folder, copy the data there"
  require("://" not in str(data_dir), "data.data_dir", str(data_dir), remedy)
  root = Path(data_dir or "~/tensorflow_datasets").expanduser()
  if name == "mnist":
    return _mnist(root, manual_dir, fallback)
  tfds.check_name(name)
  prepare = lambda: _carve(name, *tfds.load(name, root))
  return _cached(name, root / name, prepare)


def _mnist(root, manual_dir, fallback) -> Digits:
  files = None
  if manual_dir:  # somebody named it: it must be right, used or not
    manual_dir = Path(manual_dir).expanduser()
    files = mnist.read_folder(manual_dir)

  def prepare():
    builder = mnist.prepare(root, manual_dir if files else None)
    digits = _carve("mnist", *tfds.read(builder))
    if digits.sha256 != mnist.SHA256:
      raise tfds.damaged(builder, f"digest {digits.sha256}")
    return digits

  try:
    return _cached("mnist", root / mnist.NAME, prepare, mnist.SHA256)
  except mnist.Unavailable as error:
    reason = error
  if files:
    logging.warning("%s; going on in memory", reason)
    arrays = [
      idx.decode(files[images], files[labels], count)
      for images, labels, count in mnist.SPLITS.values()
    ]
    return _carve("mnist", *arrays, origin=str(manual_dir))
  if not fallback or fallback == "mnist":
    raise InputError(
      f"data.name='mnist' cannot be had: {reason}; set data.manual_dir to a "
      "folder with its four files, or data.fallback='digits'"
    )
  logging.warning(
    "MNIST CANNOT BE HAD: %s. GOING ON WITH %r INSTEAD; set data.manual_dir to "
    "a folder with MNIST's four files, or data.fallback='' to stop here.",
    reason,
    fallback,
  )
  return load(fallback, data_dir=root)


def _carve(name, *splits: Arrays, origin: str = "") -> Digits:
  """Takes the validation split off the end of the training split."""
  train, test = (Split(*arrays) for arrays in splits)
  for images, labels in (train, test):
    if len(labels) < 10 or labels.min() < 0 or labels.max() >= CLASSES:
      raise InputError(
        f"data.name={name!r} has a split of {len(labels)} images "
        f"{images.shape}, expected at least 10 with labels 0..9: choose another"
      )
  held_out = min(VALIDATION, len(train.labels) // 10)
  return Digits(
    name,
    Split(train.images[:-held_out], train.labels[:-held_out]),
    Split(train.images[-held_out:], train.labels[-held_out:]),
    test,
    origin=origin,
  )


def _bundled() -> Digits:
  """scikit-learn's digits; the same 300 are tested in every run."""
  images, labels = bundled.load()
  # Shuffled, then dealt so that each digit has its share in every prefix.
  order = np.random.default_rng(0).permutation(len(labels))
  place = np.empty(len(labels))
  for digit in range(CLASSES):
    (of_digit,) = np.nonzero(labels[order] == digit)
    place[of_digit] = (np.arange(len(of_digit)) + 0.5) / len(of_digit)
  order = order[np.argsort(place, kind="stable")]
  test, validation, train = (
    Split(images[i], labels[i]) for i in np.split(order, [300, 500])
  )
  return Digits("digits", train, validation, test, origin="scikit-learn")


def _cached(name, folder: Path, prepare, sha256=None) -> Digits:
  """What `folder` keeps, or else what `prepare` gives, kept from now on."""
  path = folder / "seqsum.data.npz"
  arrays = array_cache.load(path, KEYS, sha256)
  origin = str(folder)
  if arrays is not None:
    splits = map(Split, arrays[::2], arrays[1::2])
    return Digits(name, *splits, origin=origin)
  digits = dataclasses.replace(prepare(), origin=origin)
  arrays = (*digits.train, *digits.validation, *digits.test)
  array_cache.save(path, dict(zip(KEYS, arrays, strict=True)))
  return digits
