import io

import numpy as np
import pytest
from PIL import Image

from seqsum.summarization import chart


def pixels(png):
  return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def blue(png):
  """Number of pixels in the color of kept frames."""
  return (np.abs(pixels(png) - (0, 0x72, 0xB2)).sum(-1) < 12).sum()


@pytest.mark.parametrize(
  ("count", "channels"), [(1, 1), (10, 3), (40, 1), (41, 3), (1234, 2)]
)
def test_kept_frames_are_blue(count, channels):
  frames = np.full((count, 14, 20, channels), 40, np.uint8)
  scores = np.linspace(0.2, 0.9, count)
  kept = np.zeros(count, bool)
  none = chart.draw(frames, scores, kept)
  assert pixels(none).shape[1] == 1000
  kept[count // 2] = True
  some = chart.draw(frames, scores, kept)
  kept[-1] = True
  kept[0] = True
  more = chart.draw(frames, scores, kept)
  assert blue(none) + 300 < blue(some)
  assert blue(some) < blue(more) or count == 1


@pytest.mark.parametrize("count", [8, 80])
def test_scores_and_truth_change_the_chart(count):
  frames = np.zeros((count, 8, 8, 1), np.uint8)
  kept = np.zeros(count, bool)
  scores = np.linspace(-1, 1, count)
  shown = {
    chart.draw(frames, scores, kept),
    chart.draw(frames, scores[::-1], kept),
    chart.draw(frames, scores, kept, scores),
    chart.draw(frames, scores, kept, 2 * scores),
    chart.draw(frames, np.zeros(count), kept),
    chart.draw(frames + np.uint8(99), scores, ~kept),
  }
  assert len(shown) == 6


def test_a_chart_of_a_video_has_times():
  frames = np.zeros((50, 8, 8, 3), np.uint8)
  scores, kept = np.linspace(0, 1, 50), np.arange(50) % 20 == 9
  drawn = {
    chart.draw(frames, scores, kept),
    chart.draw(frames, scores, kept, seconds=np.arange(50.0)),
    chart.draw(frames, scores, kept, seconds=100 * np.arange(50.0)),
    chart.draw(frames, scores, kept, seconds=np.zeros(50)),
  }
  assert len(drawn) == 4
  assert [chart._clock(x) for x in (0, 59.6, 3723)] == [
    "0:00",
    "1:00",
    "1:02:03",
  ]


def test_frames_that_are_not_shown_are_not_read():
  rng = np.random.default_rng(0)
  for count in (12, 70):
    scores, kept = rng.uniform(size=count), rng.uniform(size=count) < 0.3
    frames = rng.integers(0, 256, (count, 8, 8, 3), np.uint8)
    read = np.zeros_like(frames)
    shown = chart.shown(scores, kept)
    read[shown] = frames[shown]
    whole, part = (chart.draw(x, scores, kept) for x in (frames, read))
    assert whole == part


def test_best_frame_of_each_run_by_hand():
  scores = np.array([3, 5, 4, 9, 1, 2, 7, 7])
  kept = np.array([1, 1, 1, 0, 1, 0, 1, 1], bool)
  assert chart._best(scores, kept).tolist() == [1, 4, 6]
  assert chart._best(scores, ~kept).tolist() == [3, 5]
  assert chart._best(scores, np.zeros(8, bool)).tolist() == []
  assert chart._best(scores, np.ones(8, bool)).tolist() == [3]


def test_at_most_ten_best_frames_are_shown():
  scores = np.arange(60)
  kept = np.arange(60) % 2 == 0
  best = chart._best(scores, kept)
  assert best.tolist() == list(range(40, 60, 2))
