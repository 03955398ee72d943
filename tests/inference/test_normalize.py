"""Digits on paper become frames like MNIST's."""

import contextlib

import numpy as np
import pytest
from paper import photo
from scipy import ndimage
from short_runs import ROOT

from seqsum.inference import normalize
from seqsum.runtime.errors import InputError


@pytest.fixture(scope="module")
def one(bundled):
  """[28, 28] uint8, a handwritten three."""
  (threes,) = np.nonzero(bundled.test.labels == 3)
  return bundled.test.images[threes[0], ..., 0]


def test_a_bar_fills_the_box_and_is_centered():
  picture = np.ones((300, 200))
  picture[40:240, 20:50] = 0.1  # 200 high, 30 wide: 20 and 3 pixels
  frame = normalize.frame(picture)[..., 0]
  assert frame.dtype == np.uint8
  rows, columns = np.nonzero(frame > 127)
  assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (20, 3)
  assert frame.max() == 255
  middle = ndimage.center_of_mass(frame.astype(float))
  np.testing.assert_allclose(middle, (14, 14), atol=0.55)


def test_scale_and_position_do_not_matter(one):
  frames = [
    normalize.frame(photo(one, np.random.default_rng(i), side=side))
    for i, side in enumerate((100, 200, 400))
  ]
  for frame in frames[1:]:
    assert np.abs(frame.astype(float) - frames[0]).mean() < 6


@pytest.mark.parametrize("inverted", [False, True])
def test_uneven_light_and_noise_are_removed(one, inverted):
  plain = normalize.frame(photo(one, np.random.default_rng(0)))
  noisy = normalize.frame(
    photo(
      one, np.random.default_rng(0), light=0.7, noise=0.06, inverted=inverted
    )
  )
  assert noisy[:3].max() == noisy[-3:].max() == 0
  assert np.abs(noisy.astype(float) - plain).mean() < 8


def test_a_speck_is_removed(one):
  picture = photo(one, np.random.default_rng(0), side=200)
  clean = normalize.frame(picture)
  picture[5:9, 5:9] = 0.1
  np.testing.assert_allclose(normalize.frame(picture), clean, atol=2)


def test_thin_strokes_are_thickened():
  picture = np.ones((400, 400))
  picture[50:350, 200:203] = 0  # 0.2 of 28 pixels wide
  frame = normalize.frame(picture)[..., 0] / 255
  assert 1.6 < frame.sum(axis=1)[frame.any(axis=1)].mean() < 2.4


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_blank_sheet_raises(level, noise):
  rng = np.random.default_rng(0)
  sheet = np.clip(level + noise * rng.standard_normal((200, 300)), 0, 1)
  with pytest.raises(InputError, match="only paper"):
    normalize.frame(sheet)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 3), (2, 4000)])
def test_tiny_pictures_return_a_frame_or_raise(shape):
  rng = np.random.default_rng(0)
  for picture in (np.ones(shape), rng.uniform(size=shape)):
    with contextlib.suppress(InputError):
      assert normalize.frame(picture).shape == (28, 28, 1)


# Conditions of a photo, and the minimum share of 100 digits that are recognized
# as well as MNIST's own frames. Measured: 100%.
SHEETS = {
  "large": ({}, 0.98),
  "uneven light, noise": ({"light": 0.6, "noise": 0.1}, 0.98),
  "chalk": ({"light": 0.6, "noise": 0.1, "inverted": True}, 0.98),
  "small on the sheet": ({"light": 0.5, "noise": 0.05, "side": 90}, 0.97),
  "a thin pen": ({"light": 0.5, "noise": 0.05, "pen": 0.4}, 0.97),
}


@pytest.mark.slow
@pytest.mark.mnist
def test_mnist_on_paper_is_recognized_like_mnist(mnist_dir, run, tmp_path):
  """By a classifier trained on MNIST only."""
  import seqsum
  from seqsum.data import digits

  done = run(
    f"--config={ROOT}/configs/sum_small.py",
    f"--workdir={tmp_path / 'run'}",
    f"--config.data.manual_dir={mnist_dir}",
    "--config.epochs=1",
    "--config.loss=cross_entropy",
    "--config.sequence.max_len=1",
    "--config.eval_sequences=400",
    "--noreport",
  )
  assert done.returncode == 0, done.stderr
  model = seqsum.load(tmp_path / "run")
  test = digits.load("mnist", manual_dir=mnist_dir).test
  images, labels = test.images[:100], test.labels[:100]

  def is_correct(frames):
    return np.abs(model.predict(frames[:, None])[:, 0] - labels) < 0.5

  right = is_correct(images)
  assert right.mean() > 0.95
  for name, (sheet, share) in SHEETS.items():
    frames = np.stack(
      [
        normalize.frame(photo(image[..., 0], np.random.default_rng(i), **sheet))
        for i, image in enumerate(images)
      ]
    )
    kept = is_correct(frames)[right].mean()
    print(f"{name}: {kept:.1%}")
    assert kept >= share, name
