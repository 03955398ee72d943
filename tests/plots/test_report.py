"""The report: its page, its words, and the choice of pictures."""

import base64
import io
import re
from html.parser import HTMLParser
from unittest import mock

import matplotlib
import numpy as np
import pytest
from drawn import (
  FRAMES,
  HISTORY,
  KERNEL,
  LABELS,
  LENGTHS,
  PREDICTIONS,
  TARGETS,
  history_line,
  pixels,
)
from PIL import Image
from short_runs import summary

from configs import sum_tiny as base
from seqsum import train
from seqsum.plots import (
  addition,
  errors,
  figures,
  frames,
  report,
)
from seqsum.runtime.signals import StopRequest
from seqsum.sequences.addition import Addition
from seqsum.training.evaluate import Predictions

NAMES = ("learning", "agreement", "errors", "sequences", "mistakes", "filters")
VOID = {"meta", "img", "source"}  # elements of the page that have no end tag


def evaluation(**changes):
  fields = {
    "lengths": LENGTHS,
    "labels": LABELS,
    "targets": TARGETS,
    "predictions": PREDICTIONS,
    "losses": np.zeros_like(TARGETS),
    "places": np.zeros((4, 2), int),
  }
  return Predictions(**(fields | changes))


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


def test_report_has_a_page_and_pictures(finished):
  folder, pictures, _ = finished
  files = {f"{name}.png" for name in NAMES} | {"index.html"}
  assert {path.name for path in folder.iterdir()} == files
  for name, png in pictures.items():
    assert (folder / f"{name}.png").read_bytes() == png
    with Image.open(io.BytesIO(png)) as image:
      image.verify()
      assert image.format == "PNG"
      assert image.width == 200 * figures.WIDTH


def test_page_embeds_its_pictures_and_loads_nothing(finished):
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


def test_page_has_the_results_in_words(finished):
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


def test_plural_of_a_task_of_several_words_is_correct(blank, tmp_path):
  text = write(tmp_path, task="sum of distinct digits")[1].text
  assert "of the sums of distinct digits are" in text
  assert "means of rare sums of distinct digits" in text
  assert "digitss" not in text


def test_page_escapes_html(blank, tmp_path):
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


def test_report_of_an_interrupted_run_names_the_epoch(blank, tmp_path):
  started = write(tmp_path, history=HISTORY[:1], best_step=None)[1].text
  assert "During epoch 1 the mean squared error" in started
  assert "unseen validation digits" in started
  assert "This run is not finished" in started
  validated = write(tmp_path, history=HISTORY[:2], best_step=None)[1].text
  assert "After 1 epoch the mean squared error" in validated
  assert "Before any training" in write(tmp_path, history=[])[1].text


@pytest.mark.slow
def test_report_of_a_diverged_run(tmp_path):
  predictions = PREDICTIONS.copy()
  predictions[0], predictions[1], predictions[3] = np.nan, np.inf, -3e38
  _, page = write(
    tmp_path,
    history=[
      history_line(5, "train", None),
      history_line(10, "validation", float("inf")),
    ],
    evaluation=evaluation(predictions=predictions),
    kernels={"before": KERNEL, "after": KERNEL * np.nan},
    references={"guess the mean": float("nan")},
  )
  assert "digits is not finite; 0.0% of the sums" in page.text
  assert "Some weights are not finite" in page.text


def test_largest_errors_come_first(blank, monkeypatch, tmp_path):
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


def test_known_digits_have_a_confusion_matrix(monkeypatch, tmp_path):
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


def test_failing_picture_is_left_out_with_a_warning(
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
def test_run_with_an_unwritable_report_has_a_summary(tmp_path, caplog):
  """Without any error, whose report cannot be written."""
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
  (tmp_path / "report").write_text("another file")
  with StopRequest() as stop:
    assert train.train_and_evaluate(config, tmp_path, stop)
  assert summary(tmp_path)["validation"]["mse"] == 0
  assert summary(tmp_path)["test"]["exact_accuracy"] == 1
  message = f"could not write {tmp_path}/report: FileExistsError"
  assert message in caplog.text


def test_no_sequence_is_shown_twice():
  miss = np.arange(6.0)
  random, worst = report._choose(np.ones(6, int), miss)
  assert sorted(random.tolist()) == [0, 1, 2, 3, 4, 5]
  assert worst.size == 0


def test_exact_sequences_are_no_mistakes():
  miss = np.zeros(50)
  miss[[7, 9]] = 1, np.nan
  _, worst = report._choose(np.ones(50, int), miss)
  assert worst.tolist() == [9, 7]


@pytest.mark.parametrize("has_digits", [True, False])
def test_report_of_additions_shows_them_as_on_paper(
  monkeypatch, tmp_path, has_digits
):
  shown = {}

  def both(chart, *data):
    shown[chart] = data
    return b"", b""

  monkeypatch.setattr(figures.Chart, "light_and_dark", both)
  labels = np.array([[1, 2], [9, 9], [4, 0], [5, 6]], np.int32)
  lengths = np.full(4, 2, np.int32)
  targets = np.asarray(Addition(1).running(labels, lengths))
  predictions = targets.copy()
  predictions[2, :, 0] = 5
  digits = np.where(labels == 4, 5, labels) if has_digits else None
  pictures, page = write(
    tmp_path,
    task="addition",
    evaluation=evaluation(
      labels=labels,
      lengths=lengths,
      targets=targets,
      predictions=predictions,
      digits=digits,
    ),
    read_frames=lambda which: FRAMES[which, :2],
  )
  assert "additions" in pictures
  assert not {"sequences", "mistakes", "flow"} & set(pictures)
  _, _, sums, true_sums, *known = shown[addition.additions]
  assert sums[0].tolist() == [5, 0]
  assert true_sums[0].tolist() == [4, 0]
  assert len(sums) == 4
  assert len(known) == 2 * has_digits
  assert "wrong ones first" in page.text
  assert shown[errors.agreement][2] == "digit of the sum"


def test_additions_are_mostly_wrong_ones_first():
  exact = np.arange(20) >= 10
  shown = report._choose_additions(exact)
  assert exact[shown].tolist() == [False] * 4 + [True] * 2
  assert len(set(shown.tolist())) == 6
  for exact in (np.zeros(20, bool), np.ones(20, bool), np.arange(20) < 1):
    assert len(set(report._choose_additions(exact).tolist())) == 6
  assert len(report._choose_additions(np.ones(3, bool))) == 3
