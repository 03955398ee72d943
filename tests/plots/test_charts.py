"""Every chart, of values that a chart is likely to stumble over."""

import dataclasses
import importlib
import io
import itertools
import json
import math
import pkgutil
import re
import warnings

import numpy as np
import pytest
from etils import epath
from matplotlib.text import Text
from PIL import Image
from short_runs import ROOT, first

from benchmarks import chart
from seqsum import plots, studies, summarization
from seqsum.plots import errors as error_charts
from seqsum.plots import (
  figures,
  filters,
  fold_flow,
  learning,
  prediction,
)
from seqsum.plots import (
  frames as frame_charts,
)
from seqsum.sequences.tasks import TASKS
from seqsum.studies import charts as study_charts
from seqsum.studies import (
  comparison,
  cost_chart,
  divergence,
  plan,
  question_charts,
)
from seqsum.summarization import chart as summary_chart

NAN, INF = math.nan, math.inf
# What stands in the place of every number that a run can make.
VALUES = {
  "some zero": [0.0, 0.25, 3.0],
  "not finite": [NAN, INF, -INF, 2.0],
  "empty": [],
  "zero": [0.0, 0.0, 0.0],
  "single": [0.7],
  "one": [1.0, 1.0, 1.0],
  "nothing finite": [NAN, INF, -INF],
  "extreme": [1e-30, 1e30, 0.0],
}


def line(step, split, value):
  """Of metrics.jsonl, which has inf and nan as null."""
  return {
    "step": step,
    "epoch": step,
    "split": split,
    "mse": error(value),
    "exact_accuracy": share(value),
    "seconds": abs(value) if math.isfinite(value) else 0.0,
  }


def error(value):
  return abs(value) if math.isfinite(value) else None


def share(value):
  return min(1.0, abs(value)) if math.isfinite(value) else None


def history(values):
  splits = ("train", "validation")
  return [line(n, s, x) for n, x in enumerate(values, 1) for s in splits]


def study(values):
  """Lines of results.jsonl: a run of its own variant for each value."""
  lines = []
  for seed, value in enumerate(values):
    measured = {"mse": error(value), "mae": error(value)}
    measured["exact_accuracy"] = share(value)
    lines.append(
      {
        "variant": f"v{seed % 2}",
        "seed": seed,
        "status": "finished" if measured["mse"] is not None else "diverged",
        "diverged_step": 0,
        "test": measured,
        "sequences": 0 if value == 0 else 1,
        "curve": [[1, error(value)]] * len(values),
        "course": [[1, error(value), None, None]],
        "overrides": {
          "model.activation": "relu",
          "model.input_max": 1.0,
          "optimizer.name": "sgd",
          "optimizer.clip_norm": 0.0,
        },
        "parameters": 0 if value == 0 else 10,
        "sequences_per_second": error(value),
        "by_step": {"1": measured | {"count": 1}},
        "by_target": {"0": measured | {"count": 1}},
        "measured": [{"length": 1, **measured}],
      }
    )
  return lines


def with_measured(values, measured):
  return [x | {"measured": measured(n)} for n, x in enumerate(study(values))]


def frames(values, time=2):
  return np.full((len(values), time, 6, 5, 1), 9, np.uint8)


def column(values):
  return np.array(values, np.float32)


def steps(values):
  """[N, 2]: at each step the same."""
  return np.repeat(column(values)[:, None], 2, axis=1)


def lengths(values):
  return np.full(len(values), 2)


def kernel(values):
  kernel = np.zeros((3, 2, 1, 4), np.float32)
  kernel.flat[: len(values)] = values
  return kernel


def probabilities(values, count):
  """[..., count] of each; nan stays."""
  shares = np.clip(np.array(values, np.float32), 0, 1) / count
  return np.repeat(shares[..., None], count, axis=-1)


# Of each chart, values -> what it is called with.
CASES = {
  frame_charts.sequences: [
    lambda v: (frames(v), lengths(v), steps(v), steps(v)[::-1]),
    lambda v: (
      frames(v) * steps(v)[..., None, None, None],  # floats
      *(lengths(v), steps(v), steps(v), 0.0),
    ),
  ],
  filters.filters: [lambda v: (kernel(v), kernel(v))],
  learning.learning_curves: [
    lambda v: (history(v), dict(zip("abcd", v, strict=False)), 1),
    lambda v: (history(v[:1]), {}, None, 0.1),
  ],
  error_charts.errors: [
    lambda v: (lengths(v), column(v), column(v)[::-1], "sum"),
    lambda v: (lengths(v), steps(v), steps(v)[::-1], "sum", 0.0),
  ],
  error_charts.agreement: [
    lambda v: (column(v), column(v)[::-1], "sum"),
    lambda v: (column(v), column(v)[::-1], "sum", 0.0),
  ],
  error_charts.confusion: [
    lambda v: (lengths(v), np.arange(len(v))),
    lambda v: (lengths(v), lengths(v)),
  ],
  fold_flow.flow: [
    lambda v: (
      *(
        frames(v),
        lengths(v),
        np.ones((len(v), 2), int),
        probabilities(steps(v), 10),
      ),
      TASKS["sum"],
    )
  ],
  prediction.draw: [
    lambda v: (
      frames([0], len(v))[0],
      *(column(v), np.arange(len(v)), None, "sum"),
    ),
    lambda v: (
      *(frames([0], len(v))[0], column(v), column(v)),
      probabilities(v, len(v)),
      *("speed", False),
    ),
  ],
  prediction._draw_moment: [
    lambda v: (
      *(frames([0], len(v))[0], column(v), column(v)),
      *(probabilities(v, len(v)), "sum", True, min(1.4, len(v))),
    ),
    lambda v: (
      frames([0], len(v))[0],
      *(column(v), column(v), None, "speed", False, 1.0),
    ),
  ],
  summary_chart.draw: [
    lambda v: (frames([0], len(v))[0], column(v), column(v) > 0),
    lambda v: (
      frames([0], 12 * len(v))[0],
      *(np.tile(column(v), 12), np.tile(column(v) > 0, 12)),
      np.tile(column(v), 12),
    ),
  ],
  study_charts.learning: [lambda v: (study(v),)],
  study_charts.final: [lambda v: (study(v),)],
  divergence.courses: [lambda v: (study(v),)],
  cost_chart.cost: [lambda v: (study(v),)],
  question_charts.steps: [lambda v: (study(v),)],
  question_charts.targets: [lambda v: (study(v),)],
  question_charts.lengths: [lambda v: (study(v),)],
  question_charts.pairs: [
    lambda v: (
      with_measured(v, lambda n: {key: [[n]] for key in ("seen", "right")}),
    )
  ],
  question_charts.filters: [
    lambda v: (with_measured(v, lambda _: {"after": kernel(v)}),)
  ],
}


def test_every_chart_has_its_cases():
  charts = set()
  for package in (plots, studies, summarization):
    prefix = f"{package.__name__}."
    for module in pkgutil.iter_modules(package.__path__, prefix):
      found = vars(importlib.import_module(module.name)).values()
      charts |= {x for x in found if isinstance(x, figures.Chart)}
  assert charts == set(CASES)


@pytest.fixture
def small(monkeypatch):
  monkeypatch.setitem(figures.STYLE, "savefig.dpi", 30)
  monkeypatch.setitem(figures.STYLE, "figure.constrained_layout.use", False)


@pytest.mark.parametrize("name", first(VALUES, 3))
@pytest.mark.parametrize(
  "chart", CASES, ids=lambda x: f"{x.__module__}.{x.__name__}"
)
def test_a_chart_takes_whatever_comes(chart, name, small):
  for case in CASES[chart]:
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      png = chart(*case(VALUES[name]))
    with Image.open(io.BytesIO(png)) as image:
      assert image.width > 90
      assert len(image.convert("RGB").getcolors(1 << 20)) > 2  # not blank


def words(figure):
  """The text of everything in a figure that can be seen."""
  found = [x.get_text() for x in figure.findobj(Text) if x.get_visible()]
  return [x for x in found if x]


def boxes(figure, *said):
  """[N] where some words stand, in pixels."""
  return [
    x.get_window_extent() for x in figure.findobj(Text) if x.get_text() in said
  ]


def test_an_error_of_0_has_its_place_on_the_axis():
  done = [line(1, "train", 4.0), line(2, "validation", 0.0)]
  figure = learning.learning_curves.figure(done, {"guess": 9.0}, 2)
  axes = figure.axes[0]
  assert {"best\n0", "guess\n9"} <= set(words(figure))
  low, high = axes.get_ylim()
  assert low < 0 < 9 < high
  assert 0 in axes.get_yticks()
  named, _ = boxes(figure, "best\n0", "0")[:2]
  zero = axes.transData.transform((0, 0))[1]
  assert named.y0 < zero < named.y1  # the word is beside its point


def test_the_mean_error_has_its_standard_error():
  targets = np.repeat([3.0, 8.0], [25, 4])
  errors = np.concatenate([np.arange(25) / 25, [1, 2, 3, 4]])
  ones = np.ones(29, int)
  figure = error_charts.errors.figure(ones, targets, targets + errors, "sum")
  _, dots, _ = figure.axes
  (lines,) = [x for x in dots.collections if len(x.get_segments()) == 2]
  for (low, high), some in zip(
    lines.get_segments(), (errors[:25], errors[25:]), strict=True
  ):
    error = some.std(ddof=1) / math.sqrt(len(some))
    np.testing.assert_allclose(low[1], some.mean() - error, rtol=1e-6)
    np.testing.assert_allclose(high[1], some.mean() + error, rtol=1e-6)
  hollow = [x for x in dots.lines if x.get_markerfacecolor() == "white"]
  assert [x.get_xdata().tolist() for x in hollow] == [[8.0]]
  assert "hollow: of fewer than 10" in dots.get_title("left")


@pytest.mark.parametrize("each", [1, 20])
def test_the_error_has_most_of_the_room(each):
  """Also where all means are of few sequences, or none is."""
  targets = np.repeat(np.linspace(0, 3, 60), each)
  lengths = 3 + np.arange(len(targets)) % 6
  figure = error_charts.errors.figure(
    lengths, targets, targets + 0.02 * lengths, "value", 0.086
  )
  bars, dots, counts = (x.get_position().height for x in figure.axes)
  assert dots > 0.3
  assert bars > 0.15
  assert counts > 0.05


def test_by_target_a_band_is_the_standard_error():
  lines = study([1.0])
  lines[0]["by_target"] = {
    "3": {"mse": 5.0, "mae": 2.0, "exact_accuracy": 0, "count": 4},
    "4": {"mse": 9.0, "mae": 3.0, "exact_accuracy": 0, "count": 100},
  }
  axes = question_charts.targets.figure(lines).axes[0]
  (band,) = axes.collections
  edges = band.get_paths()[0].vertices
  at = edges[edges[:, 0] == 3, 1]
  # The variance of the error is 5 - 2**2, of four.
  np.testing.assert_allclose((at.min(), at.max()), (1.5, 2.5))
  hollow = [x for x in axes.lines if x.get_markerfacecolor() == "white"]
  assert [x.get_xdata().tolist() for x in hollow] == [[3.0]]


def test_wrong_predictions_have_a_legend():
  one = np.ones((1, 2))
  draw = lambda targets, near=0.5: words(
    frame_charts.sequences.figure(
      np.zeros((1, 2, 5, 5, 1), np.uint8), np.array([2]), targets, one, near
    )
  )
  said = draw(one + [[0, 1]])
  assert {"✓ rounds to the true value", "✗ does not"} <= set(said)
  assert "true value so far" in said
  said = draw(one, near=0.086)
  assert {"✓ within 0.086 of the true value", "✗ is not"} <= set(said)


def test_a_constant_target_is_named_once():
  targets = np.full((1, 3), 2.5)
  frames = np.zeros((1, 3, 5, 5, 1), np.uint8)
  figure = frame_charts.sequences.figure(
    frames, np.array([3]), targets, targets - 1, 0.1
  )
  said = words(figure)
  assert "true value" in said
  assert "true value so far" not in said
  assert said.count("2.50") == 1
  assert said.count("1.50") == 2  # and a third with its ✗


def test_the_filters_are_as_large_as_other_pictures():
  kernel = np.ones((4, 4, 1, 16))
  figure = filters.filters.figure(kernel, kernel)
  axes = figure.axes[0]
  left, right = axes.transData.transform([(0, 0), (4, 0)])[:, 0] / figure.dpi
  assert right - left > 0.4  # inches, of five


def test_numbers_of_a_flow_stand_clear_of_it():
  labels = np.array([[9, 2, 8, 5]])
  shares = np.eye(10)[labels]
  shares[0, 2] = 0
  shares[0, 2, [8, 3]] = 0.6, 0.4
  frames = np.zeros((1, 4, 28, 28, 1), np.uint8)
  figure = fold_flow.flow.figure(
    frames, np.array([4]), labels, shares, TASKS["sum"]
  )
  axes = figure.axes[0]
  named = boxes(figure, "9", "11", "19 60%", "14 40%", "24 60%", "19 40%")
  named = [x for x in named if axes.bbox.contains(x.x1, (x.y0 + x.y1) / 2)]
  assert len(named) >= 5
  for curve in axes.lines:
    (start, end) = axes.transData.transform(np.array(curve.get_data()).T)
    for share in np.linspace(0, 1, 200):
      x, y = start + share * (end - start)
      assert not any(box.contains(x, y) for box in named)


def test_names_stand_clear_of_the_front_and_of_each_other():
  lines = []
  for n, (cost, mse) in enumerate(
    [
      *((1e4, 14), (1.2e5, 7), (1.5e5, 4), (1.7e5, 2.7), (9e5, 2.1)),
      *((1e6, 2.0), (3e5, 3.5), (3.01e5, 3.3), (4e5, 3.0), (6e5, 3.3)),
    ]
  ):
    lines += study([mse])
    lines[-1] |= {"variant": f"a network {n}", "parameters": cost}
  figure = cost_chart.cost.figure(lines)
  axes = figure.axes[0]
  named = boxes(figure, *(f"a network {n}" for n in range(10)))
  assert len(named) == 20  # all are there, by parameters and by time
  named = [x for x in named if axes.bbox.contains(x.x0, x.y0)]
  (front, *_) = axes.lines
  corners = axes.transData.transform(np.array(front.get_data(orig=False)).T)
  for i, box in enumerate(named):
    assert not any(box.contains(*point) for point in corners)
    assert not any(box.overlaps(x) for x in named[i + 1 :])
  steps = np.repeat(corners, 2, axis=0)
  steps = np.stack([steps[1:, 0], steps[:-1, 1]], axis=1)  # across, then down
  for a, b in itertools.pairwise(steps):
    for share in np.linspace(0, 1, 300):
      point = a + share * (b - a)
      assert not any(box.contains(*point) for box in named)


def test_curves_on_each_other_are_all_seen():
  lines = []
  for variant in ("gru", "lstm", "simple"):
    lines += study([1.0])
    lines[-1]["variant"] = variant
    lines[-1]["measured"] = [
      {"length": n, "exact_accuracy": 0.5, "mae": 1.0 * n} for n in (1, 2, 4)
    ]
  png = question_charts.lengths(lines)
  with Image.open(io.BytesIO(png)) as image:
    pixels = np.asarray(image.convert("RGB"))[300:]  # without the legend
  for color in study_charts.COLORS[:3]:
    rgb = tuple(bytes.fromhex(color[1:]))
    assert (pixels == rgb).all(-1).sum() > 300


def test_the_lowest_box_is_whole_and_the_axis_starts_at_0():
  frames = np.zeros((2, 8, 8, 1), np.uint8)
  shares = np.eye(10)[[7, 8]]
  figure = prediction.draw.figure(
    frames, np.array([7.0, 8.0]), np.arange(10.0), shares, "sum"
  )
  axes = figure.axes[0]
  low, high = axes.get_ylim()
  assert low < 0 < 8.5 < high
  drawn = min(x.get_y() for x in axes.patches if x.get_facecolor()[3])
  assert low < drawn


def test_the_table_of_digits_by_hand():
  labels, digits = np.array([[0, 0, 0, 9], [0, 0, 1, 9]])
  figure = error_charts.confusion.figure(labels, digits)
  axes = figure.axes[0]
  said = {x.get_position(): x.get_text() for x in axes.texts}
  assert said == {(0, 0): "2", (1, 0): "1", (9, 9): "1"}  # across, down
  assert axes.get_title("left") == "4 digits, 75.00% right"


def test_a_dark_page_has_a_dark_figure():
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


@pytest.mark.parametrize("with_distribution", first([True, False]))
def test_an_animation_shows_the_frames_one_by_one(with_distribution):
  frames = np.random.default_rng(0).integers(0, 255, (3, 28, 28, 1), np.uint8)
  shares = np.eye(28)[[3, 9, 21]] if with_distribution else None
  gif = prediction.animate(
    frames, np.array([3.0, 9.0, 21.0]), np.arange(28.0), shares, "sum"
  )
  assert len(gif) < 2_000_000
  with Image.open(io.BytesIO(gif)) as film:
    assert film.n_frames == 15
    film.seek(14)
    assert film.info["duration"] == 2500
    last = film.convert("RGB")
    film.seek(4)
    assert film.info["duration"] == 700
    assert film.convert("RGB").tobytes() != last.tobytes()
  one = prediction._draw_moment.figure(
    frames, np.array([3.0, 9.0, 21.0]), np.arange(28.0), shares, "sum", True, 2
  )
  assert len(one.axes[0].images) == 2  # the third is yet to come
  assert "9" in [x.get_text() for x in one.axes[1].texts]


def test_a_study_s_figures_have_its_labels(monkeypatch, tmp_path):
  seen = []
  monkeypatch.setitem(
    question_charts.FIGURES, "final", lambda lines: seen.extend(lines) or b""
  )
  study_of_losses = plan.load(ROOT / "configs" / "studies" / "loss.py")
  lines = study([1.0, 2.0])
  for one, variant in zip(lines, ("log_cosh", "mse"), strict=True):
    one |= {"variant": variant, "seconds": 1.0, "dataset": "digits"}
  study_of_losses = dataclasses.replace(study_of_losses, figures=("final",))
  table = comparison.write(study_of_losses, lines, lines, epath.Path(tmp_path))
  assert [x["variant"] for x in seen] == ["log-cosh", "squared error"]
  assert "| log_cosh |" in table  # the name that commands take


@pytest.mark.parametrize(
  "path",
  sorted((ROOT / "configs").glob("studies/[a-z]*.py"))
  + sorted((ROOT / "configs").glob("beyond/[a-z]*.py")),
  ids=lambda path: path.stem,
)
def test_labels_are_of_variants_and_differ(path):
  study = plan.load(path)
  assert set(study.labels) <= set(study.variants)
  named = [study.labels.get(name, name) for name in study.variants]
  assert len(set(named)) == len(named)
  if {"final", "learning", "targets", "cost"} & set(study.figures):
    assert not any("_" in name for name in named)


def test_peers_are_drawn_with_commas_and_clear_numbers(tmp_path):
  results = json.loads((ROOT / "benchmarks/results/peers.json").read_text())
  drawn = chart.draw(results, tmp_path / "peers.png")
  for axes in drawn.axes:
    ticks = [x.get_text() for x in axes.get_xticklabels()]
    assert "1,000" in ticks
    assert not any(re.search(r"\d{4}", x) for x in ticks)
    limits = [
      axes.transData.transform((x.get_xdata()[0], 0))[0]
      for x in axes.lines
      if x.get_linestyle() == "--"
    ]
    assert len(limits) == 2
    rates = [x for x in axes.texts if re.fullmatch(r"[\d,]+", x.get_text())]
    assert len(rates) == 10
    for box in (x.get_window_extent() for x in rates):
      assert not any(box.x0 < limit < box.x1 for limit in limits)


def test_grey_frames_that_are_no_ink_are_drawn_as_they_are():
  frames = np.array([[[0], [200]]], np.uint8)
  as_ink, as_they_are = (
    figures.ink_on_paper(x) for x in (frames, figures.grey_to_rgb(frames))
  )
  assert as_ink[0, 0].mean() > as_ink[0, 1].mean()  # ink on paper
  np.testing.assert_allclose(as_they_are, np.repeat(frames / 255, 3, -1))
