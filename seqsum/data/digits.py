"""Data sets of digit images: arrays in memory, in three splits.

Reading TFDS records takes seconds, so the arrays are cached in a file beside
them; the next start reads only that file and does not import TFDS. The arrays
of MNIST's own files are cached in the same place.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
from absl import logging

from seqsum.data import array_cache, bundled, mnist, tfds
from seqsum.data.tfds import Arrays
from seqsum.runtime.errors import InputError, require
from seqsum.sequences.digit import CLASSES

if TYPE_CHECKING:  # data is read without JAX
  from jax.sharding import Sharding

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
  """Images and labels.

  Attributes:
    images: [N, 28, 28, 1] uint8, ink is 255.
    labels: [N] int32, 0..9.
  """

  images: np.ndarray
  labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Digits:
  """Images and labels of digits in three splits.

  Models are chosen on `validation`; `test` is read once, at the end.

  Attributes:
    name: The data set in use, which may be the fallback.
    train, validation, test: Disjoint for MNIST and digits.
    origin: A package, or the path of the data: of the cache, once written.
    sha256: The `array_cache.digest` of the images and labels of each split.
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

  def only(self, digits: Sequence[int]) -> Digits:
    """The subset of images whose label is in `digits`."""
    if set(digits) == set(range(CLASSES)):
      return self
    train, validation, test = (
      Split(*(x[np.isin(split.labels, digits)] for x in split))
      for split in (self.train, self.validation, self.test)
    )
    return Digits(self.name, train, validation, test, origin=self.origin)

  def feed(
    self, split: str, sharding: Sharding, batch_size: int, **_: int | None
  ) -> Feed:
    """Batch number -> all images and labels of a split, copied only once."""
    import jax

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
) -> Digits:
  """Loads a data set; prepares it the first time.

  Args:
    name: `mnist`; `digits`, which needs no network; or a TFDS data set of
      28x28x1 images in 10 classes, such as `kmnist` or `emnist/digits` (whose
      images TFDS gives transposed).
    data_dir: TFDS's folder of data sets; None or "" for TFDS's default.
    manual_dir: A folder with MNIST's four .gz files, for `mnist` alone; None or
      "" to download them.
    fallback: The data set to load if MNIST is unavailable; "" raises an error.

  Raises:
    InputError: The data is unavailable or damaged.
  """
  if name == "digits":
    return _bundled()
  data_dir = data_dir or os.environ.get("TFDS_DATA_DIR", "")
  remedy = "must be a local folder; copy the data there"
  path = str(data_dir)
  require("://" not in path, "config.data.data_dir", path, remedy)
  root = Path(data_dir or "~/tensorflow_datasets").expanduser()
  if name == "mnist":
    return _mnist(root, manual_dir, fallback)
  tfds.check_name(name)
  folder = root / name
  prepare = lambda: _carve(name, tfds.load(name, root), folder)
  return _cached(name, folder, prepare)


def _mnist(root, manual_dir, fallback) -> Digits:
  folder = root / mnist.NAME
  files = None
  if manual_dir:  # must be right, even if a cache makes it unnecessary
    manual_dir = Path(manual_dir).expanduser()
    files = mnist.read_folder(manual_dir)

  def prepare():
    # Records that TFDS prepared in `folder` are used, even beside files.
    if files and not os.path.exists(folder / mnist.VERSION):
      reading = f"reading MNIST's files in {manual_dir}"
      mnist.announce(mnist.NAME, reading, folder)
      arrays = [
        mnist.decode(files[images], files[labels])
        for images, labels in mnist.SPLITS.values()
      ]
      digits = _carve("mnist", arrays, manual_dir)
      if digits.sha256 != mnist.SHA256:
        raise InputError(
          f"config.data.manual_dir={str(manual_dir)!r}: its four files are "
          f"intact, but their arrays have the digest {digits.sha256}, expected "
          f"{mnist.SHA256}: run again; if it persists, test the memory"
        )
      return digits
    builder = mnist.prepare(root)
    digits = _carve("mnist", tfds.read(builder), folder)
    if digits.sha256 != mnist.SHA256:
      raise tfds.damaged(builder, f"digest {digits.sha256}")
    return digits

  try:
    return _cached("mnist", folder, prepare, mnist.SHA256)
  except mnist.Unavailable as error:
    reason = error
  if not fallback or fallback == "mnist":
    raise InputError(
      f"config.data.name='mnist' is unavailable: {reason}; set "
      "config.data.manual_dir to a folder with its four files, or "
      "config.data.fallback='digits'"
    )
  logging.warning(
    "MNIST IS UNAVAILABLE: %s. USING %r INSTEAD; set config.data.manual_dir to "
    "a folder with MNIST's four files, or config.data.fallback='' to make this "
    "an error.",
    reason,
    fallback,
  )
  return load(fallback, data_dir=root)


def _carve(name, splits: Iterable[Arrays], origin: Path) -> Digits:
  """Splits the validation images off the end of the training images."""
  train, test = (Split(*arrays) for arrays in splits)
  for images, labels in (train, test):
    if len(labels) < 10 or labels.min() < 0 or labels.max() >= CLASSES:
      raise InputError(
        f"config.data.name={name!r} has a split of {len(labels)} images "
        f"{images.shape}, expected at least 10 with labels 0..9: choose another"
      )
  held_out = min(VALIDATION, len(train.labels) // 10)
  return Digits(
    name,
    Split(train.images[:-held_out], train.labels[:-held_out]),
    Split(train.images[-held_out:], train.labels[-held_out:]),
    test,
    origin=str(origin),
  )


def _bundled() -> Digits:
  """scikit-learn's digits; every run has the same 300 test images."""
  images, labels = bundled.load()
  # Shuffled, then ordered so that every prefix is stratified by digit.
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
  """Loads the arrays cached in `folder`; prepares and caches them if needed."""
  path = folder / "seqsum.data.npz"
  cached = array_cache.load(path, KEYS, sha256)
  origin = str(folder)
  if cached is not None:
    train, validation, test = map(Split, cached[::2], cached[1::2])
    return Digits(name, train, validation, test, origin=origin)
  digits = prepare()
  arrays = (*digits.train, *digits.validation, *digits.test)
  if array_cache.save(path, dict(zip(KEYS, arrays, strict=True))):
    digits = dataclasses.replace(digits, origin=origin)
  return digits
