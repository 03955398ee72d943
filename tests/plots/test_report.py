import base64
import functools
import io
import re
from html.parser import HTMLParser
from unittest import mock

import matplotlib
import numpy as np
import pytest
from PIL import Image
from short_runs import summary

from configs import sum_tiny as base
from seqsum import train
from seqsum.plots import errors, figures, filters, frames, report
from seqsum.plots.learning import learning_curves
from seqsum.runtime.signals import StopRequest
from seqsum.training.evaluate import Evaluation
from seqsum.training.metrics import number

NAMES = ("learning", "agreement", "errors", "sequences", "mistakes", "filters")
VOID = {"meta", "img", "source"}  # elements of the page that have no end tag
# Four sequences whose final errors are 0, 1/4, 1 and 2.
LENGTHS = np.array([1, 2, 3, 3], np.int32)
LABELS = np.array([[4, 0, 0], [1, 2, 0], [9, 9, 9], [5, 0, 2]], np.int32)
TARGETS = np.cumsum(LABELS, axis=1).astype(np.float32)
PREDICTIONS = TARGETS + np.array([[0], [0.25], [-1], [2]], np.float32)
FRAMES = np.random.default_rng(0).integers(0, 256, (4, 3, 7, 5, 1), np.uint8)
KERNEL = np.random.default_rng(1).normal(size=(4, 3, 1, 8)).astype(np.float32)


def evaluation(**changes):
  fields = {
    "lengths": LENGTHS,
    "labels": LABELS,
    "targets": TARGETS,
    "predictions": PREDICTIONS,
    "losses": np.zeros_like(TARGETS),
    "places": np.zeros((4, 2), int),
  }
  return Evaluation(**(fields | changes))


def line(step, split, mse, epoch=1):
  return {
    "step": step,
    "epoch": epoch,
    "split": split,
    "mse": mse,
    "exact_accuracy": 0.5,
    "seconds": 2.0 * step,
  }


HISTORY = [
  line(5, "train", 30.0),
  line(10, "validation", 20.0),
  line(20, "validation", 2.0, epoch=2),
]


def write(folder, **changes):
  arguments = {
    "name": "sum",
    "task": "sum",
    "history": HISTORY,
    "evaluation": evaluation(),
    "read_frames": lambda which: FRAMES[which],
    "kernels": {"before": KERNEL, "after": 2 * KERNEL},
    "facts": {"data set": "digits"},
    "references": {"the post, 2016": 0.61},
    "best_step": 20,
  }
  with mock.patch.object(report, "MOST_SEQUENCES", 3):
    pictures = report.write_report(folder, **(arguments | changes))
  page = Page()
  page.feed((folder / "index.html").read_text(encoding="utf-8"))
  page.close()
  return pictures, page


class Page(HTMLParser):
  """Reads a page; fails if its elements are not nested properly."""

  def __init__(self):
    super().__init__()
    self.open, self.tags, self.texts, self.addresses = [], [], [], []

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.addresses += [v for k, v in attrs if k in ("src", "href", "srcset")]
    if tag not in VOID:
      self.open.append(tag)

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    if self.open[-1:] != ["style"]:
      self.texts.append(data)

  @property
  def text(self):
    return " ".join(self.texts)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp("finished") / "runs" / "report"
  settings = dict(matplotlib.rcParams)
  pictures, page = write(folder)
  assert dict(matplotlib.rcParams) == settings  # nobody else's are changed
  return folder, pictures, page


def test_leaves_a_page_and_its_pictures(finished):
  folder, pictures, _ = finished
  files = {f"{name}.png" for name in NAMES} | {"index.html"}
  assert {path.name for path in folder.iterdir()} == files
  for name, png in pictures.items():
    assert (folder / f"{name}.png").read_bytes() == png
    with Image.open(io.BytesIO(png)) as image:
      image.verify()
      assert image.format == "PNG"
      assert image.width == 200 * figures.WIDTH


def test_the_page_holds_its_pictures_and_fetches_nothing(finished):
  folder, pictures, page = finished
  assert page.open == []  # every element was closed
  head = "data:image/png;base64,"
  shown = [base64.b64decode(x.removeprefix(head)) for x in page.addresses]
  assert shown[1::2] == [pictures[name] for name in NAMES]
  for light, dark in zip(shown[1::2], shown[::2], strict=True):
    corners = [pixels(png)[0, 0].tolist() for png in (light, dark)]
    assert corners == [[255, 255, 255], [0x1D, 0x21, 0x26]]
    assert pixels(light).shape == pixels(dark).shape
  text = (folder / "index.html").read_text(encoding="utf-8")
  text = re.sub(r'"data:image/png;base64,[^"]*"', "", text)
  for fetched in ("http:", "https:", "//", "url(", "@import"):
    assert fetched not in text
  assert not {"script", "link", "iframe"} & set(page.tags)


@pytest.fixture
def blank(monkeypatch):
  """Pages without pictures, where only the words matter."""
  monkeypatch.setattr(figures.Chart, "light_and_dark", lambda *_: (b"", b""))


def test_says_in_words_what_a_run_came_to(finished):
  text = finished[2].text
  assert (
    "After 2 epochs the mean squared error on 4 sequences of unseen test "
    "digits is 1.27; 50.0% of the sums are exactly right." in text
  )
  assert "0.812" in text  # the mean absolute error
  assert "Mean squared error of others: 0.61 (the post, 2016)." in text
  assert "100.0% are exactly right at length 1, 0.0% at length 3" in text
  assert "by 100% of their norm" in text
  assert "not finished" not in text


def test_a_sum_of_something_has_sums_of_it(blank, tmp_path):
  text = write(tmp_path, task="sum of distinct digits")[1].text
  assert "of the sums of distinct digits are" in text
  assert "means of rare sums of distinct digits" in text
  assert "digitss" not in text


def test_nobody_writes_html_but_us(blank, tmp_path):
  evil = '</title></td><script>alert("1")</script>&amp;'
  _, page = write(
    tmp_path,
    name=evil,
    task=evil,
    facts={evil: evil},
    references={evil: 1.0},
  )
  assert "script" not in page.tags
  assert page.open == []
  assert page.texts.count(evil) == 3  # the run, a label and its value
  assert f"1 ({evil})" in page.text


def test_an_interrupted_run_says_so(blank, tmp_path):
  started = write(tmp_path, history=HISTORY[:1], best_step=None)[1].text
  assert "During epoch 1 the mean squared error" in started
  assert "unseen validation digits" in started
  assert "This run is not finished" in started
  validated = write(tmp_path, history=HISTORY[:2], best_step=None)[1].text
  assert "After 1 epoch the mean squared error" in validated
  assert "Before any training" in write(tmp_path, history=[])[1].text


def test_a_run_that_diverged_has_a_report(tmp_path):
  predictions = PREDICTIONS.copy()
  predictions[0], predictions[1], predictions[3] = np.nan, np.inf, -3e38
  _, page = write(
    tmp_path,
    history=[line(5, "train", None), line(10, "validation", float("inf"))],
    evaluation=evaluation(predictions=predictions),
    kernels={"before": KERNEL, "after": KERNEL * np.nan},
    references={"guess the mean": float("nan")},
  )
  assert "digits is not finite; 0.0% of the sums" in page.text
  assert "Some weights are not finite" in page.text


def test_the_worst_come_first(blank, monkeypatch, tmp_path):
  shown = []
  predictions = PREDICTIONS.copy()
  predictions[1] = np.nan  # worse than any number

  def both(chart, *data):
    if chart is frames.sequences:
      shown.append(data)
    return b"", b""

  monkeypatch.setattr(figures.Chart, "light_and_dark", both)
  write(tmp_path, evaluation=evaluation(predictions=predictions))
  random, worst = shown
  assert len({strip.tobytes() for strip in random[0]}) == 3
  for values, sequences in zip(
    worst[:4], (FRAMES, LENGTHS, TARGETS, predictions), strict=True
  ):
    np.testing.assert_array_equal(values, sequences[[1, 3, 2]])


FINAL = np.arange(40.0)
ONES = np.ones(40, int)
LOST = line(15, "train", None) | {"exact_accuracy": None}
STRIPS = (FRAMES, LENGTHS, TARGETS, PREDICTIONS)
DATA = {
  learning_curves: (HISTORY, {}, 10),
  frames.sequences: STRIPS,
  errors.errors: (ONES, FINAL, FINAL, "sum"),
  errors.agreement: (FINAL, FINAL, "sum"),
  filters.filters: (KERNEL, -KERNEL),
}
drawn = functools.cache(lambda draw: draw(*DATA[draw]))


@pytest.fixture
def small(monkeypatch):
  """Half the time, for pictures that are only compared with each other."""
  monkeypatch.setitem(figures.STYLE, "savefig.dpi", 60)
  monkeypatch.setitem(figures.STYLE, "figure.constrained_layout.use", False)


@pytest.mark.parametrize("draw", DATA)
def test_a_picture_is_a_function_of_its_data(draw, small):
  assert draw(*DATA[draw]) == drawn(draw)


@pytest.mark.parametrize(
  ("draw", "data"),
  [
    (learning_curves, ([], {}, 10)),
    (learning_curves, (HISTORY[:1], {}, 10)),
    (learning_curves, (HISTORY, {}, 20)),
    (learning_curves, (HISTORY, {"post": 0.61}, 10)),
    (learning_curves, ([*HISTORY[:2], LOST, HISTORY[2]], {}, 10)),
    (frames.sequences, (255 - FRAMES, *STRIPS[1:])),
    (frames.sequences, (*STRIPS[:2], TARGETS + 1, PREDICTIONS)),
    (frames.sequences, (*STRIPS[:3], PREDICTIONS + 1)),
    (errors.errors, (ONES, FINAL, FINAL + 0.4, "sum")),  # all still exact
    (errors.errors, (ONES + np.arange(40) % 2, FINAL, FINAL, "sum")),
    (errors.errors, (ONES, FINAL // 2, FINAL // 2, "sum")),
    (errors.agreement, (FINAL, FINAL + 0.1, "sum")),
    (errors.agreement, (FINAL, FINAL, "product")),
    (filters.filters, (KERNEL, KERNEL)),
    (filters.filters, (-KERNEL, -KERNEL)),
  ],
)
def test_a_picture_shows_its_data(draw, data, small):
  assert draw(*data) != drawn(draw)


def test_what_cannot_be_drawn_is_told(small):
  draw = lambda *predictions: errors.agreement(
    np.arange(len(predictions)) % 2, np.array(predictions), "sum"
  )
  for far in (1e9, -1e9):  # an arrow at the edge, where its target is
    assert draw(far, np.nan) != draw(np.nan, far)
  assert draw(np.nan, np.nan) == draw(np.nan, np.inf)
  assert draw(np.nan, np.nan) != draw(np.nan, np.nan, np.nan)  # a count


def test_products_are_drawn_though_they_are_many(small):
  targets = np.arange(1000.0) ** 2 // 150
  ones = np.ones(1000, int)
  assert targets.max() > 6000
  few = errors.errors(ones, targets, targets + 0.1, "product")
  assert few != errors.errors(ones, targets, targets + 0.3, "product")
  near = errors.agreement(targets, targets, "product")
  assert near != errors.agreement(targets, targets * 1.5, "product")


def pixels(png):
  """[H, W, 3] uint8."""
  return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_what_is_right_is_blue_and_what_is_wrong_is_not():
  color = lambda png, hue: (
    (pixels(png) == tuple(bytes.fromhex(hue[1:]))).all(-1).sum()
  )
  draw = lambda error: frames.sequences(*STRIPS[:3], TARGETS + error)
  right, wrong = draw(0.49), draw(0.51)
  legend = color(right, figures.VERMILION)  # has one ✗
  assert 0 < legend < color(wrong, figures.VERMILION)
  assert color(right, figures.BLUE) > color(wrong, figures.BLUE)


def test_padding_is_not_shown():
  frames, targets = FRAMES.copy(), TARGETS.copy()
  frames[0, 1:], targets[0, 1:] = 255, 7
  other = frames.sequences(frames, LENGTHS, targets, PREDICTIONS)
  assert other == frames.sequences(*STRIPS)


def test_a_long_sequence_shows_its_last_frames():
  frames = np.zeros((1, 13, 7, 5, 1), np.uint8)
  values = np.arange(13.0)[None]
  draw = lambda frames: frames.sequences(frames, np.array([13]), values, values)
  early, late = frames.copy(), frames.copy()
  early[:, :3], late[:, 3] = 255, 255
  assert draw(early) == draw(frames)
  assert draw(late) != draw(frames)


@pytest.mark.parametrize(("channels", "colors"), [(1, 0), (2, 0), (3, 1)])
def test_three_channels_are_colours(channels, colors):
  frames = np.zeros((1, 1, 7, 5, channels), np.uint8)
  frames[..., 0] = 255
  one = np.ones((1, 1))
  png = frames.sequences(frames, np.array([1]), one, one)
  reds = (pixels(png) == (255, 0, 0)).all(-1)
  assert reds.any() == colors


@pytest.mark.parametrize("shape", [(4, 4, 1, 8), (5, 3, 3, 20), (11, 11, 2, 9)])
def test_filters_of_any_shape_are_all_drawn(shape):
  kernel = np.zeros(shape, np.float32)
  last = kernel.copy()
  last[-1, -1, -1, -1] = 1
  shown = pixels(filters.filters(last, last))
  strongest = np.asarray(matplotlib.colormaps["RdBu_r"](1.0, bytes=True)[:3])
  found = (shown == strongest).all(-1)
  found[-int(0.6 * 200) :] = False  # the colour bar has it too
  assert found.any()


@pytest.mark.parametrize(
  ("value", "words"),
  [
    (0.2149, "0.215"),
    (67.12, "67.1"),
    (1234567.0, "1,234,567"),
    (3e31, "3e+31"),
    (np.nan, "not finite"),
    (-np.inf, "not finite"),
    (None, "not finite"),
  ],
)
def test_numbers_are_written_as_a_person_would(value, words):
  assert number(value) == words


def test_numbers_of_two_digits_have_no_exponent():
  assert [number(x, 2) for x in (0.123, 45.6, 213.0, 4380.2)] == [
    *("0.12", "46", "213", "4,380")
  ]


def test_digits_that_are_known_have_a_table(monkeypatch, tmp_path):
  shown = {}

  def both(chart, *data):
    shown[chart] = data
    return b"", b""

  monkeypatch.setattr(figures.Chart, "light_and_dark", both)
  assert "digits" not in write(tmp_path)[0]  # a sum is all that is known
  read = LABELS + (LABELS == 4)
  assert "digits" in write(tmp_path, evaluation=evaluation(digits=read))[0]
  labels, taken = shown[errors.confusion]
  assert labels.tolist() == [4, 1, 2, 9, 9, 9, 5, 0, 2]  # no padding
  assert taken.tolist() == [5, 1, 2, 9, 9, 9, 5, 0, 2]
  # A classifier of digits: sequences of one.
  ones = {
    "lengths": np.ones(4, np.int32),
    "labels": LABELS[:, :1],
    "targets": TARGETS[:, :1],
    "predictions": np.array([[4.2], [np.nan], [8.6], [-3]], np.float32),
    "losses": np.zeros((4, 1)),
  }
  assert "digits" in write(tmp_path, evaluation=evaluation(**ones))[0]
  assert [x.tolist() for x in shown[errors.confusion]] == [
    [4, 9, 5],
    [4, 9, 0],
  ]


def test_a_picture_that_fails_is_left_out_with_a_warning(
  monkeypatch, tmp_path, caplog
):
  def draw(*_):
    raise ZeroDivisionError("of a picture")

  monkeypatch.setattr(errors, "errors", figures.Chart(draw))
  with caplog.at_level("WARNING", "absl"):
    pictures, page = write(tmp_path)
  assert list(pictures) == [name for name in NAMES if name != "errors"]
  assert len(page.addresses) == 2 * len(pictures)
  assert "errors.png is left out" in caplog.text
  assert "ZeroDivisionError: of a picture" in caplog.text


@pytest.mark.slow
def test_a_run_without_a_report_has_its_summary(tmp_path, caplog):
  """One that learns all there is, and cannot write its report."""
  config = base.get_config()
  config.update_from_flattened_dict(
    {
      "epochs": 1,
      "sequences_per_epoch": 640,
      "batch_size": 16,
      "eval_sequences": 8,
      "eval_batch_size": 8,
      "loss": "cross_entropy",
      "sequence.max_len": 1,
      "sequence.digits": (0, 1),
    }
  )
  (tmp_path / "report").write_text("a file of somebody else's")
  with StopRequest() as stop:
    assert train.train_and_evaluate(config, tmp_path, stop)
  assert summary(tmp_path)["validation"]["mse"] == 0
  assert summary(tmp_path)["test"]["exact_accuracy"] == 1
  said = caplog.text
  assert f"{tmp_path}/report is not written: FileExistsError" in said
