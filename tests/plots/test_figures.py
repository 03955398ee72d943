"""Properties of all figures."""

import functools
import json
import re

import numpy as np
import pytest
from drawn import (
  FRAMES,
  HISTORY,
  KERNEL,
  LENGTHS,
  PREDICTIONS,
  TARGETS,
  history_line,
)
from short_runs import ROOT

from benchmarks import chart
from seqsum.plots import (
  errors,
  filters,
  frames,
)
from seqsum.plots.learning import learning_curves

FINAL = np.arange(40.0)
ONES = np.ones(40, int)
LOST = history_line(15, "train", None) | {"exact_accuracy": None}
STRIPS = (FRAMES, LENGTHS, TARGETS, PREDICTIONS)
DATA = {
  learning_curves: (HISTORY, {}, 10),
  frames.sequences: STRIPS,
  errors.errors: (ONES, FINAL, FINAL, "sum"),
  errors.agreement: (FINAL, FINAL, "sum"),
  filters.filters: (KERNEL, -KERNEL),
}
drawn = functools.cache(lambda draw: draw(*DATA[draw]))


@pytest.mark.parametrize("draw", DATA)
def test_pictures_are_deterministic(draw, small):
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
def test_pictures_change_with_their_data(draw, data, small):
  assert draw(*data) != drawn(draw)


def test_chart_of_peers_has_readable_numbers(tmp_path):
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
