import importlib.util
import io
import logging
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from scipy import ndimage
from short_runs import ROOT

from seqsum.data import bundled, digits, mnist
from seqsum.runtime.errors import InputError


@pytest.fixture(scope="module")
def small():
  """scikit-learn's digits, loaded once."""
  return digits.load("digits")


def splits(data):
  return data.train, data.validation, data.test


def test_digits_have_three_splits_of_28x28_images(small):
  assert small.name == "digits"
  assert [len(s.labels) for s in splits(small)] == [1297, 200, 300]
  for images, labels in splits(small):
    assert images.shape == (len(labels), 28, 28, 1)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int32


def test_digits_have_the_geometry_of_mnist(small):
  images = np.concatenate([s.images[..., 0] for s in splits(small)])
  centres = np.array([ndimage.center_of_mass(image) for image in images])
  assert np.abs(centres - 14).max() < 1
  rows, columns = (images > 0).any(2).sum(1), (images > 0).any(1).sum(1)
  assert max(rows.max(), columns.max()) <= 20
  assert (images.max((1, 2)) > 200).all()
  # MNIST: 13% of the white there could be; 20 rows by 15 columns.
  assert 0.12 < images.mean() / 255 < 0.14
  assert rows.mean() > 19
  assert 12 < columns.mean() < 16


def test_digits_are_enlarged_upright(monkeypatch):
  """An L of 8x8 becomes an L of 20 rows, 2.5 times as wide and thick."""
  raw = np.zeros((600, 8, 8), np.int32)
  raw[:, :, 1:3] = 16  # the stem, two columns: 5 of 20
  raw[:, 6:, 1:7] = 16  # the foot, six columns: 15 of 20
  labels = (np.arange(600) % 10).astype(np.int32)
  monkeypatch.setattr(bundled, "read", lambda: (raw, labels))
  image = digits.load("digits").test.images[0, ..., 0]
  ink = image > 127
  rows, columns = np.nonzero(ink.any(1))[0], np.nonzero(ink.any(0))[0]
  top, left = rows[0], columns[0]
  assert (len(rows), len(columns)) == (20, 15)
  assert ink[top + 1 : top + 19, left + 1 : left + 4].all()
  assert ink[top + 16 : top + 19, left + 1 : left + 14].all()
  assert not image[: top + 13, left + 7 :].any()
  assert not image[:, : left - 1].any()


def test_every_prefix_of_digits_is_stratified(small):
  everything = sum(np.bincount(s.labels) for s in splits(small))
  np.testing.assert_array_equal(  # the counts of scikit-learn's description
    everything, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
  )
  for images, labels in splits(small):
    share = everything * len(images) / 1797
    assert np.abs(np.bincount(labels) - share).max() < 1.5


def test_no_digit_is_in_two_splits(small):
  images = np.concatenate([s.images for s in splits(small)])
  assert len({image.tobytes() for image in images}) == 1797


def test_digits_have_their_recorded_digest(small):
  again = digits.load("digits")
  assert again.sha256 == small.sha256
  assert again.sha256 == (
    "2b3b63e20fdabf5773839e81d0583eed1eed94e49d130eaecfa50c84207435e9"
  )


def test_digits_read_by_sklearn_are_the_same(small, tmp_path, monkeypatch):
  class Moved:
    origin = str(tmp_path / "__init__.py")

  monkeypatch.setattr(importlib.util, "find_spec", lambda name: Moved)
  assert digits.load("digits").sha256 == small.sha256


def test_sha256_depends_on_every_array(small):
  def changed(part, field):
    arrays = {
      f: getattr(getattr(small, part), f).copy() for f in digits.Split._fields
    }
    arrays[field].flat[-1] ^= 1
    parts = {
      "train": small.train,
      "validation": small.validation,
      "test": small.test,
    }
    return digits.Digits(
      "digits", **parts | {part: digits.Split(**arrays)}
    ).sha256

  digests = {
    changed(part, field)
    for part in ("train", "validation", "test")
    for field in digits.Split._fields
  }
  assert len(digests | {small.sha256}) == 7


# Other TFDS data sets. None can be fetched here, so one is made: PNG images,
# as in kmnist.


def make(data_dir, train=65, test=20, shape=(28, 28, 1), classes=10):
  """Prepares `tiny_digits`; returns the builder's class and images by label."""
  import tensorflow_datasets as tfds
  from PIL import Image

  draw = np.random.default_rng(0).integers
  truth = {
    name: draw(0, 256, (count, *shape), np.uint8)
    for name, count in (("train", train), ("test", test))
  }

  class TinyDigits(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
      return tfds.core.DatasetInfo(
        builder=self,
        features=tfds.features.FeaturesDict(
          {
            "image": tfds.features.Image(shape=shape, encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=classes),
          }
        ),
        disable_shuffling=True,
      )

    def _split_generators(self, dl_manager):
      return {name: self._generate_examples(x) for name, x in truth.items()}

    def _generate_examples(self, images):
      for index, image in enumerate(images):
        png = io.BytesIO()
        Image.fromarray(image.squeeze()).save(png, "PNG")
        png.seek(0)
        yield index, {"image": png, "label": index % classes}

  builder = TinyDigits(data_dir=data_dir, file_format="array_record")
  return builder, truth


def test_another_tfds_data_set_is_loaded_by_its_name(
  tmp_path, monkeypatch, warned
):
  builder, truth = make(tmp_path)
  builder.download_and_prepare()
  data = digits.load("tiny_digits", data_dir=tmp_path)
  assert data.name == "tiny_digits"
  np.testing.assert_array_equal(data.train.images, truth["train"][:59])
  np.testing.assert_array_equal(data.validation.images, truth["train"][59:])
  np.testing.assert_array_equal(data.test.images, truth["test"])
  np.testing.assert_array_equal(data.test.labels, np.arange(20) % 10)

  # The second start reads the array file alone.
  monkeypatch.setattr(digits.tfds, "load", None)
  again = digits.load("tiny_digits", data_dir=tmp_path)
  assert again.sha256 == data.sha256
  assert warned() == []


def test_warnings_of_packages_in_a_checkout_are_not_ours(warned):
  """A clone's folder is named seqsum and contains .venv/."""
  site = ROOT / "seqsum" / ".venv/lib/python3.11/site-packages"
  for path in (
    site / "tensorflow_datasets/core/features/image_feature.py",
    pathlib.Path(mnist.__file__),
  ):
    record = logging.LogRecord(
      "absl", logging.WARNING, str(path), 1, path.stem, None, None
    )
    logging.getLogger().handle(record)
  assert warned() == ["mnist"]


def test_the_cache_needs_no_tfds(tmp_path):
  builder, _ = make(tmp_path)
  builder.download_and_prepare()
  data = digits.load("tiny_digits", data_dir=tmp_path)
  code = f"""if True:
    import sys
    from seqsum.data import digits
    data = digits.load("tiny_digits", data_dir={str(tmp_path)!r})
    heavy = {{"tensorflow_datasets", "tensorflow", "jax", "sklearn", "scipy"}}
    print(data.sha256, heavy & set(sys.modules))
  """
  command = [sys.executable, "-c", code]
  out = subprocess.run(command, capture_output=True, text=True, check=True)
  assert out.stdout.split() == [data.sha256, "set()"]


def test_digits_import_neither_tfds_nor_sklearn():
  code = """if True:
    import sys
    from seqsum.data import digits
    digits.load("digits")
    print({"tensorflow_datasets", "jax", "sklearn"} & set(sys.modules))
  """
  command = [sys.executable, "-c", code]
  out = subprocess.run(command, capture_output=True, text=True, check=True)
  assert out.stdout.strip() == "set()"


def empty(path, arrays):
  path.write_bytes(b"")


def truncate(path, arrays):
  path.write_bytes(path.read_bytes()[:-100])


def flip(path, arrays):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


class Malice:
  """Runs code when it is unpickled."""

  def __reduce__(self):
    return pytest.fail, ("a pickle was loaded",)


def pickle(path, arrays):
  np.savez(path, **arrays | {"train_labels": np.array([Malice()], object)})


def drop(path, arrays):
  np.savez(path, **{k: v for k, v in arrays.items() if k != "test_images"})


def exchange(path, arrays):  # a sound file of other data
  np.savez(path, **arrays | {"test_images": arrays["test_images"][::-1]})


@pytest.mark.parametrize(
  "harm", [empty, truncate, flip, pickle, drop, exchange]
)
def test_a_damaged_cache_is_prepared_again(harm, tmp_path, warned):
  builder, _ = make(tmp_path)
  builder.download_and_prepare()
  data = digits.load("tiny_digits", data_dir=tmp_path)
  path = tmp_path / "tiny_digits" / "seqsum.data.npz"
  with np.load(path) as arrays:
    harm(path, dict(arrays))
  again = digits.load("tiny_digits", data_dir=tmp_path)
  assert again.sha256 == data.sha256
  assert len(warned()) == 1
  assert "seqsum.data.npz is damaged" in warned()[0]
  third = digits.load("tiny_digits", data_dir=tmp_path)
  assert third.sha256 == data.sha256
  assert len(warned()) == 1


def test_a_cache_that_cannot_be_written_is_a_warning(
  tmp_path, warned, monkeypatch
):
  builder, _ = make(tmp_path)
  builder.download_and_prepare()

  def full(path, **_):
    path.write_bytes(b"the first few bytes")
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(digits.np, "savez", full)
  assert digits.load("tiny_digits", data_dir=tmp_path).name == "tiny_digits"
  assert "No space left on device" in warned()[0]
  left = [path.name for path in (tmp_path / "tiny_digits").iterdir()]
  assert left == ["1.0.0"]


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"shape": (32, 32, 3)}, r"\(32, 32, 3\) in 10 classes"),
    ({"classes": 7}, r"\(28, 28, 1\) in 7 classes"),
    ({"test": 9}, r"split of 9 images"),
  ],
)
def test_tfds_data_unlike_mnist_is_refused(change, message, tmp_path):
  builder, _ = make(tmp_path, **change)
  builder.download_and_prepare()
  with pytest.raises(InputError, match=message):
    digits.load("tiny_digits", data_dir=tmp_path)


@pytest.mark.parametrize("name", ["kmnist", "fashion_mnist", "emnist/digits"])
def test_tfds_data_that_is_not_prepared_is_refused_with_a_command(
  name, tmp_path
):
  command = (
    f"tfds build {name} --file_format=array_record --data_dir={tmp_path}"
  )
  with pytest.raises(InputError, match=command):
    digits.load(name, data_dir=tmp_path)


@pytest.mark.parametrize("network", [True, False])
def test_tfds_data_prepares_itself_with_tensorflow(
  network, tmp_path, monkeypatch
):
  import tensorflow_datasets as tfds

  builder, truth = make(tmp_path)
  monkeypatch.setattr(type(builder), "url_infos", {"https://x.invalid": None})
  monkeypatch.setattr(tfds, "builder", lambda *_, **__: builder)
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
  monkeypatch.setattr(digits.mnist, "answers", lambda url: network)
  if network:
    data = digits.load("tiny_digits", data_dir=tmp_path)
    np.testing.assert_array_equal(data.test.images, truth["test"])
  else:
    with pytest.raises(InputError, match="tfds build tiny_digits"):
      digits.load("tiny_digits", data_dir=tmp_path)


@pytest.mark.parametrize(
  ("name", "hint"),
  [
    ("kmnst", "'kmnist'"),
    ("mnits", "'mnist'"),
    ("digit", "'digits'"),
    ("emnist/digit", "'emnist'"),
    ("", "choose"),
    ("npz:nowhere", "choose"),
    ("../elsewhere", "choose"),
    ("/etc", "choose"),
    ("emnist/..", "choose"),
    ("kmnist\n", "choose"),
  ],
)
def test_unknown_names_are_refused_in_one_line(name, hint, tmp_path):
  with pytest.raises(InputError, match=hint) as error:
    digits.load(name, data_dir=tmp_path)
  assert f"data.name={name!r}" in str(error.value)
  assert "\n" not in str(error.value)


def test_tfds_data_without_images_is_refused(tmp_path):
  with pytest.raises(InputError, match="'imdb_reviews' has no image"):
    digits.load("imdb_reviews", data_dir=tmp_path)
  with pytest.raises(InputError, match="'titanic' needs a package"):
    digits.load("titanic", data_dir=tmp_path)


def test_a_data_dir_in_a_bucket_is_refused():
  with pytest.raises(InputError, match="data_dir='gs://bucket/tfds'"):
    digits.load("mnist", data_dir="gs://bucket/tfds")
