"""Charts of studies."""

import dataclasses
import itertools

import numpy as np
import pytest
from drawn import boxes, pixels, study_lines
from etils import epath
from short_runs import ROOT

from seqsum.studies import charts as study_charts
from seqsum.studies import (
  comparison,
  cost_chart,
  plan,
  question_charts,
)


def test_band_by_target_is_the_standard_error():
  lines = study_lines([1.0])
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


def test_labels_overlap_neither_the_front_nor_each_other():
  lines = []
  for n, (cost, mse) in enumerate(
    [
      *((1e4, 14), (1.2e5, 7), (1.5e5, 4), (1.7e5, 2.7), (9e5, 2.1)),
      *((1e6, 2.0), (3e5, 3.5), (3.01e5, 3.3), (4e5, 3.0), (6e5, 3.3)),
    ]
  ):
    lines += study_lines([mse])
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


def lines_by_length(accuracies):
  """Lines of a study by length, a run for each (variant, exact accuracy)."""
  lines = []
  for variant, exact in accuracies:
    lines += study_lines([1.0])
    lines[-1]["variant"] = variant
    lines[-1]["measured"] = [
      {"length": n, "exact_accuracy": exact, "mae": n * (1.1 - exact)}
      for n in (1, 2, 4)
    ]
  return lines


def test_equal_curves_are_all_visible():
  lines = lines_by_length([("gru", 0.5), ("lstm", 0.5), ("simple", 0.5)])
  image = pixels(question_charts.lengths(lines))[300:]  # without the legend
  for color in study_charts.COLORS[:3]:
    rgb = tuple(bytes.fromhex(color[1:]))
    assert (image == rgb).all(-1).sum() > 300


def test_means_by_length_do_not_hide_the_seeds():
  others = [(f"v{n}", 0.0) for n in range(1, 5)]
  lines = lines_by_length([("v0", 0.9), ("v0", 0.94), *others])
  axes = question_charts.lengths.figure(lines).axes[0]
  middle, _ = axes.transData.transform((2**0.5, 0))  # between two markers
  image = pixels(question_charts.lengths(lines))
  scale = image.shape[1] / axes.figure.bbox.width
  bottom, top = (len(image) - scale * y for y in axes.bbox.intervaly)
  column = image[round(top) : round(bottom) - 5, round(scale * middle)]
  drawn = (column < 250).any(-1)
  # Two seeds and their mean, and the equal curves of the others.
  assert (drawn[1:] & ~drawn[:-1]).sum() + drawn[0] == 4


@pytest.mark.parametrize("name", ["v", "a network with quite a long name"])
def test_legend_of_lengths_is_above_the_curves(name):
  lines = lines_by_length([(f"{name} {n}", 1.0) for n in range(7)])
  figure = question_charts.lengths.figure(lines)
  (legend,) = figure.legends
  box = legend.get_window_extent()
  assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
  assert box.y1 <= figure.bbox.y1
  assert all(x.bbox.y1 <= box.y0 for x in figure.axes)
  assert len(boxes(figure, *(f"{name} {n}" for n in range(7)))) == 7


def test_accuracy_by_column_has_a_panel_for_each_number_of_digits():
  lines = study_lines([1.0, 1.0, 1.0])
  for line, (name, digits) in zip(
    lines,
    [
      ("GRU, 1 digit", [1.0, 0.9]),
      ("GRU, 2 digits", [0.8, 0.6, 0.7]),
      ("carry, 2 digits", [1.0, 1.0, 1.0]),
    ],
    strict=True,
  ):
    line["variant"] = name
    line["measured"] = [
      {"columns": 30, "trained": False, "digits": [0.0] * 31},
      {"columns": len(digits) - 1, "trained": True, "digits": digits},
    ]
  figure = question_charts.columns.figure(lines)
  one, two = figure.axes
  assert [x.get_title("left") for x in (one, two)] == ["N = 1", "N = 2"]
  np.testing.assert_allclose(one.lines[-1].get_ydata(), [100, 90])
  np.testing.assert_allclose(two.lines[1].get_ydata(), [80, 60, 70])
  assert [x.get_text() for x in two.get_xticklabels()] == ["1", "L"]
  (legend,) = figure.legends
  assert [x.get_text() for x in legend.get_texts()] == ["GRU", "carry"]
  assert one.lines[-1].get_color() == two.lines[1].get_color()


def test_figures_of_a_study_have_display_names(monkeypatch, tmp_path):
  seen = []
  monkeypatch.setitem(
    question_charts.FIGURES, "final", lambda lines: seen.extend(lines) or b""
  )
  study_of_losses = plan.load(ROOT / "configs" / "studies" / "loss.py")
  lines = study_lines([1.0, 2.0])
  for one, variant in zip(lines, ("log_cosh", "mse"), strict=True):
    one |= {"variant": variant, "seconds": 1.0, "dataset": "digits"}
  study_of_losses = dataclasses.replace(study_of_losses, figures=("final",))
  table = comparison.write(study_of_losses, lines, 2, epath.Path(tmp_path))
  assert [x["variant"] for x in seen] == ["log-cosh", "squared error"]
  assert "| log_cosh |" in table  # the name that commands take


@pytest.mark.parametrize(
  "path",
  sorted((ROOT / "configs").glob("studies/[a-z]*.py"))
  + sorted((ROOT / "configs").glob("beyond/[a-z]*.py")),
  ids=lambda path: path.stem,
)
def test_display_names_belong_to_variants_and_differ(path):
  study = plan.load(path)
  assert set(study.display_names) <= set(study.variants)
  named = [study.display_names.get(name, name) for name in study.variants]
  assert len(set(named)) == len(named)
  if {"final", "learning", "targets", "cost"} & set(study.figures):
    assert not any("_" in name for name in named)
