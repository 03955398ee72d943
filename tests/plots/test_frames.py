"""Charts of frames and filters."""

import io

import matplotlib
import numpy as np
import pytest
from drawn import FRAMES, LENGTHS, PREDICTIONS, TARGETS, pixels, words
from PIL import Image

from seqsum.plots import (
  figures,
  filters,
)
from seqsum.plots import (
  frames as frame_charts,
)


def test_sequences_have_a_legend():
  one = np.ones((1, 2))
  draw = lambda targets, near=0.5: words(
    frame_charts.sequences.figure(
      np.zeros((1, 2, 5, 5, 1), np.uint8), np.array([2]), targets, one, near
    )
  )
  texts = draw(one + [[0, 1]])
  assert {"✓ rounds to the true value", "✗ does not"} <= set(texts)
  assert "true value so far" in texts
  texts = draw(one, near=0.086)
  assert {"✓ within 0.086 of the true value", "✗ is not"} <= set(texts)


def test_constant_target_is_written_once():
  targets = np.full((1, 3), 2.5)
  frames = np.zeros((1, 3, 5, 5, 1), np.uint8)
  figure = frame_charts.sequences.figure(
    frames, np.array([3]), targets, targets - 1, 0.1
  )
  texts = words(figure)
  assert "true value" in texts
  assert "true value so far" not in texts
  assert texts.count("2.50") == 1
  assert texts.count("1.50") == 2  # and a third with its ✗


def test_filters_are_large_enough():
  kernel = np.ones((4, 4, 1, 16))
  figure = filters.filters.figure(kernel, kernel)
  axes = figure.axes[0]
  left, right = axes.transData.transform([(0, 0), (4, 0)])[:, 0] / figure.dpi
  assert right - left > 0.4  # inches, of five


def test_dark_figure_has_dark_colours_and_light_ink():
  frames = np.zeros((1, 1, 9, 9, 1), np.uint8)
  frames[0, 0, 4] = 255  # ink
  frames = np.concatenate([frames, frames])
  value = np.ones((2, 1))
  light, dark = (
    np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)
    for png in frame_charts.sequences.light_and_dark(
      frames, np.array([1, 1]), value, value
    )
  )
  assert light.mean() > 200
  assert dark.mean() < 60
  blue = figures.DARK[figures.BLUE]
  for picture, color in ((light, figures.BLUE), (dark, blue)):
    assert (picture == tuple(bytes.fromhex(color[1:]))).all(-1).any()
  # Ink on paper is light on dark there.
  pen = np.rint(255 * figures.DARK_PEN).astype(int)
  assert (abs(dark - pen).max(-1) <= 1).any()


def test_grey_frames_are_not_inverted_as_rgb():
  frames = np.array([[[0], [200]]], np.uint8)
  as_ink, as_rgb = (
    figures.ink_on_paper(x) for x in (frames, figures.grey_to_rgb(frames))
  )
  assert as_ink[0, 0].mean() > as_ink[0, 1].mean()  # ink on paper
  np.testing.assert_allclose(as_rgb, np.repeat(frames / 255, 3, -1))


STRIPS = (FRAMES, LENGTHS, TARGETS, PREDICTIONS)


def test_exact_predictions_are_blue_and_others_vermilion():
  color = lambda png, hue: (
    (pixels(png) == tuple(bytes.fromhex(hue[1:]))).all(-1).sum()
  )
  draw = lambda error: frame_charts.sequences(*STRIPS[:3], TARGETS + error)
  right, wrong = draw(0.49), draw(0.51)
  legend = color(right, figures.VERMILION)  # has one ✗
  assert 0 < legend < color(wrong, figures.VERMILION)
  assert color(right, figures.BLUE) > color(wrong, figures.BLUE)


def test_padding_is_not_drawn():
  frames, targets = FRAMES.copy(), TARGETS.copy()
  frames[0, 1:], targets[0, 1:] = 255, 7
  other = frame_charts.sequences(frames, LENGTHS, targets, PREDICTIONS)
  assert other == frame_charts.sequences(*STRIPS)


def test_a_long_sequence_shows_its_last_frames():
  frames = np.zeros((1, 13, 7, 5, 1), np.uint8)
  values = np.arange(13.0)[None]
  draw = lambda frames: frame_charts.sequences(
    frames, np.array([13]), values, values
  )
  early, late = frames.copy(), frames.copy()
  early[:, :3], late[:, 3] = 255, 255
  assert draw(early) == draw(frames)
  assert draw(late) != draw(frames)


@pytest.mark.parametrize(("channels", "colors"), [(1, 0), (2, 0), (3, 1)])
def test_three_channels_are_colours(channels, colors):
  frames = np.zeros((1, 1, 7, 5, channels), np.uint8)
  frames[..., 0] = 255
  one = np.ones((1, 1))
  png = frame_charts.sequences(frames, np.array([1]), one, one)
  reds = (pixels(png) == (255, 0, 0)).all(-1)
  assert reds.any() == colors


@pytest.mark.parametrize("shape", [(4, 4, 1, 8), (5, 3, 3, 20), (11, 11, 2, 9)])
def test_filters_of_any_shape_are_drawn(shape):
  kernel = np.zeros(shape, np.float32)
  last = kernel.copy()
  last[-1, -1, -1, -1] = 1
  shown = pixels(filters.filters(last, last))
  strongest = np.asarray(matplotlib.colormaps["RdBu_r"](1.0, bytes=True)[:3])
  found = (shown == strongest).all(-1)
  found[-int(0.6 * 200) :] = False  # the colour bar has it too
  assert found.any()
