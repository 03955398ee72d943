"""The network that comes with seqsum: predictions and warnings."""

import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest
from paper import photo
from PIL import Image
from short_runs import ROOT

import seqsum
from seqsum.data import image_files
from seqsum.inference import exported, normalize, photos, trained, weights
from seqsum.inference.confidence import find_doubtful
from seqsum.inference.normalize import BORDER, SEPARATE
from seqsum.runtime.errors import InputError


@pytest.fixture(scope="module")
def model():
  return seqsum.load()


@pytest.fixture(scope="module")
def digits_of(bundled):
  """digit -> [28, 28] uint8."""
  labels = bundled.test.labels
  first = [np.flatnonzero(labels == d)[0] for d in range(10)]
  return bundled.test.images[first, ..., 0]


def sheet(digit, seed=0, **kwargs):
  return photo(digit, np.random.default_rng(seed), **kwargs)


def save(path, picture):
  Image.fromarray((255 * picture).astype(np.uint8)).save(path)
  return str(path)


def test_readme_matches_the_files():
  folder = trained.PRETRAINED
  page = (folder / "README.md").read_text()
  content = (folder / weights.FILE).read_bytes()
  test = json.loads((folder / "summary.json").read_text())["test"]
  assert hashlib.sha256(content).hexdigest() in page
  assert f"{len(content):,} bytes" in page
  assert len(content) < 2e6
  assert f"{test['exact_accuracy']:.2%} exact, mse {test['mse']:.4f}" in page
  assert f"{test['digit_accuracy']:.2%} of the digits" in page
  config = json.loads((folder / "config.json").read_text())["config"]
  assert (config["data"]["name"], config["seed"]) == ("mnist", 0)
  assert config["data"]["manual_dir"] == config["data"]["data_dir"] == ""


@pytest.mark.slow
def test_load_needs_neither_data_nor_network(tmp_path, environment):
  """In an empty folder, without a network."""
  code = (
    "import socket\n"
    "def refuse(*_): raise OSError('no network')\n"
    "socket.socket.connect = socket.getaddrinfo = refuse\n"
    "import numpy, seqsum\n"
    "print(seqsum.load().predict(numpy.zeros((3, 28, 28), 'uint8')).shape)"
  )
  done = subprocess.run(
    [sys.executable, "-c", code],
    cwd=tmp_path,
    env=environment | {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
    capture_output=True,
    text=True,
  )
  assert done.stdout == "(3,)\n", done.stderr
  assert re.fullmatch(
    r"seqsum: no --workdir: using the network that comes with seqsum "
    r"\(pretrained, trained on mnist, 98\.\d% of the test sums exact\)\n",
    done.stderr,
  )
  assert not list(tmp_path.iterdir())


def test_digits_on_paper_are_recognized(digits_of, model, tmp_path):
  frames = photos.read_images(
    [save(tmp_path / f"{d}.png", sheet(digits_of[d])) for d in (3, 4, 6, 0)]
  )
  np.testing.assert_array_equal(model.predict(frames), [3, 7, 13, 13])


def test_predict_command_uses_it_by_default(digits_of, tmp_path, run):
  """Warnings are printed and in the JSON."""
  three = save(tmp_path / "3.png", sheet(digits_of[3]))
  two = save(tmp_path / "35.png", beside_each_other(digits_of[[3, 5]]))
  done = run(three, two, "--json", program="seqsum.predict")
  assert done.returncode == 0, done.stderr
  said = json.loads(done.stdout)
  assert (said["run"], said["images"][0]["file"]) == ("pretrained", three)
  np.testing.assert_allclose(said["images"][0]["prediction"], 3)
  assert said["warnings"][0] == f"{two}: {SEPARATE}"
  named, *warned = done.stderr.splitlines()
  assert named.startswith("seqsum: no --workdir: using the network")
  assert warned == [f"seqsum: warning: {line}" for line in said["warnings"]]


@pytest.mark.mnist
def test_accuracy_matches_summary_json(mnist_dir, model):
  """On all single test digits and 10,000 sums of four."""
  from seqsum.data import digits

  test = digits.load("mnist", manual_dir=mnist_dir).test
  singles = test.images[:, None]
  read = np.concatenate(
    [model.predict(singles[i : i + 1000])[:, 0] for i in range(0, 10000, 1000)]
  )
  assert (read == test.labels).mean() >= 0.994  # measured: 0.9946
  order = np.random.default_rng(0).integers(0, 10000, (10, 1000, 4))
  exact = [
    model.predict(test.images[rows])[:, -1] == test.labels[rows].sum(1)
    for rows in order
  ]
  stated = json.loads((trained.PRETRAINED / "summary.json").read_text())
  stated = stated["test"]["by_length"]["4"]["exact_accuracy"]
  assert abs(np.mean(exact) - stated) < 0.01


def copy(folder):
  for path in trained.PRETRAINED.iterdir():
    (folder / path.name).write_bytes(path.read_bytes())
  return folder


def test_damaged_weights_raise_one_line(tmp_path):
  content = (trained.PRETRAINED / weights.FILE).read_bytes()
  manifest = json.loads((trained.PRETRAINED / weights.MANIFEST).read_text())
  other = json.loads(json.dumps(manifest))
  other["arrays"]["params/head/bias"]["sha256"] = "0" * 64
  fewer = json.loads(json.dumps(manifest))
  del fewer["arrays"]["params/head/bias"]
  for name, damaged in (
    (weights.FILE, b""),
    (weights.FILE, content[: len(content) // 2]),
    (weights.FILE, content[:2000] + bytes(99) + content[2099:]),
    (weights.MANIFEST, b"[1]"),
    (weights.MANIFEST, b"\xff"),
    (weights.MANIFEST, json.dumps(other).encode()),
    (weights.MANIFEST, json.dumps(fewer).encode()),
  ):
    folder = copy(tmp_path)
    (folder / name).write_bytes(damaged)
    with pytest.raises(InputError, match=r"weights\.npz: ") as caught:
      seqsum.load(folder)
    assert "\n" not in str(caught.value)


def test_exported_weights_predict_the_same(finished, tmp_path):
  for name, content in exported.pack_weights(finished[0]).items():
    (tmp_path / name).write_bytes(content)
  frames = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1), np.uint8)
  ours, packed = seqsum.load(finished[0]), seqsum.load(tmp_path)
  assert packed.step == ours.step
  np.testing.assert_array_equal(packed.predict(frames), ours.predict(frames))


def on_table(digit):
  """A sheet of paper with a digit, in the middle of a dark table."""
  rng = np.random.default_rng(0)
  picture = 0.25 + 0.02 * rng.standard_normal((480, 640))
  picture[90:390, 120:520] = sheet(digit, height=300, width=400)
  return np.clip(picture, 0, 1)


def at_an_edge(digit):
  """A sheet with a strip of a dark table at its right edge."""
  return np.concatenate([sheet(digit), np.full((480, 60), 0.1)], axis=1)


def beside_each_other(digits):
  parts = [sheet(x, height=200, width=170, side=160) for x in digits]
  return np.concatenate(parts, axis=1)


def on_two_lines(digits):
  return np.concatenate(
    [beside_each_other(digits[:2]), beside_each_other(digits[2:])]
  )


def with_border(digit, width, brightness):
  return np.pad(sheet(digit), width, constant_values=brightness)


def test_pictures_of_more_than_a_digit_warn(digits_of, tmp_path):
  four = digits_of[[3, 1, 4, 8]]
  for picture, doubt in (
    (on_table(digits_of[3]), BORDER),
    (on_table(digits_of[1]), BORDER),
    (at_an_edge(digits_of[3]), BORDER),
    (with_border(digits_of[5], 5, 0.1), BORDER),
    (with_border(digits_of[5], 20, 0.4), BORDER),
    (with_border(digits_of[5], 60, 0.1), BORDER),
    (with_border(digits_of[2], 15, 0.5), BORDER),
    (beside_each_other(four), SEPARATE),
    (beside_each_other(four[:2]), SEPARATE),
    (on_two_lines(four), SEPARATE),
  ):
    path = save(tmp_path / "x.png", picture)
    with pytest.warns(image_files.PictureWarning) as caught:
      photos.read_images([path])
    assert [str(x.message) for x in caught] == [f"{path}: {doubt}"]


def test_a_border_that_hides_the_digit_is_named(digits_of, tmp_path):
  path = save(tmp_path / "x.png", with_border(digits_of[5], 40, 0.2))
  with pytest.raises(InputError, match="shows a border around the paper"):
    photos.read_images(path)


def test_a_closely_cropped_digit_has_no_border(digits_of):
  for digit in digits_of:
    y, x = np.nonzero(digit > 127)
    ink = digit[y.min() : y.max() + 1, x.min() : x.max() + 1] / 255
    large = np.pad(np.kron(ink, np.ones((10, 10))), 10)
    assert not normalize._has_border(large)


def test_read_images_refuses_what_is_no_path():
  with pytest.raises(InputError, match="paths=None: expected a list of files"):
    seqsum.read_images(None)


def test_a_digit_on_its_side_warns(digits_of, model):
  shown = (3, 5, 8)
  names = [f"{d}.png" for d in shown]
  upright = np.stack([normalize.frame(sheet(digits_of[d])) for d in shown])
  assert find_doubtful(model, names, upright) == []
  turns = (3, 1, 3)  # to the right, to the left, to the right
  lying = [np.rot90(x, k) for x, k in zip(upright, turns, strict=True)]
  lying = np.stack(lying)
  said = find_doubtful(model, names, lying)
  assert len(said) == 3
  for line, digit, value in zip(said, shown, (4, 4, 9), strict=True):
    assert re.fullmatch(
      rf"{digit}\.png: predicted {value} with a probability of \d\d%; after a "
      rf"quarter turn {digit} with (100\.0|99\.9)%: is the digit on its side\?",
      line,
    ), line


def test_a_low_probability_warns(digits_of, model):
  """An ambiguous 2 between two clear digits."""
  frames = [normalize.frame(sheet(digits_of[d])) for d in (3, 2, 5)]
  (line,) = find_doubtful(model, ["3", "2", "5"], np.stack(frames))
  assert re.fullmatch(
    r"2: predicted 2 with a probability of 7\d%: check that it shows one "
    "upright digit",
    line,
  ), line


def test_a_regression_gives_no_confidence_warnings(finished, bundled):
  frames = bundled.test.images[:3]
  assert find_doubtful(seqsum.load(finished[0]), list("abc"), frames) == []


@pytest.mark.slow
@pytest.mark.mnist
def test_fewer_than_1_percent_of_correct_digits_warn(mnist_dir, model):
  """MNIST test digits on white paper, one a sheet."""
  from seqsum.data import digits

  test = digits.load("mnist", manual_dir=mnist_dir).test
  count = 1000
  found = [
    normalize.frame_and_warning(
      sheet(image[..., 0], i, light=0.5, noise=0.03, height=240, width=320)
    )
    for i, image in enumerate(test.images[-count:])
  ]
  frames = np.stack([frame for frame, _ in found])
  names = [str(i) for i in range(count)]
  unsure = {int(x.split(":")[0]) for x in find_doubtful(model, names, frames)}
  inks = {i for i, (_, doubt) in enumerate(found) if doubt}
  read = model.predict(frames[:, None])[:, 0]
  wrongly = {i for i in unsure | inks if read[i] == test.labels[-count + i]}
  print(
    f"{len(inks)} inks, {len(unsure)} unsure, {len(wrongly)} wrongly warned"
  )
  assert len(wrongly) < 0.01 * count
