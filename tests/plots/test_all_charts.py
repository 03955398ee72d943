"""Every chart of every package, with edge cases."""

import importlib
import io
import math
import pkgutil
import warnings

import numpy as np
import pytest
from drawn import study_lines
from PIL import Image
from short_runs import first

from seqsum import plots, studies, summarization
from seqsum.plots import (
  addition,
  figures,
  filters,
  fold_flow,
  learning,
  prediction,
)
from seqsum.plots import errors as error_charts
from seqsum.plots import (
  frames as frame_charts,
)
from seqsum.sequences.tasks import TASKS
from seqsum.studies import charts as study_charts
from seqsum.studies import (
  cost_chart,
  divergence,
  question_charts,
  run_charts,
)
from seqsum.studies.run_comparison import RunFiles
from seqsum.summarization import chart as summary_chart

NAN, INF = math.nan, math.inf
# Values of every number of a run.
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


def history_line(step, split, value):
  """A line of metrics.jsonl, which has null for inf and nan."""
  return {
    "step": step,
    "epoch": step,
    "split": split,
    "mse": abs(value) if math.isfinite(value) else None,
    "exact_accuracy": min(1.0, abs(value)) if math.isfinite(value) else None,
    "seconds": abs(value) if math.isfinite(value) else 0.0,
  }


def history(values):
  splits = ("train", "validation")
  return [
    history_line(n, s, x) for n, x in enumerate(values, 1) for s in splits
  ]


def run(values):
  return RunFiles("a", {"batch_size": 2}, history(values), None, None)


def with_measured(values, measured):
  return [
    x | {"measured": measured(n)} for n, x in enumerate(study_lines(values))
  ]


def make_frames(values, time=2):
  return np.full((len(values), time, 6, 5, 1), 9, np.uint8)


def column(values):
  return np.array(values, np.float32)


def steps(values):
  """[N, 2], the same at both steps."""
  return np.repeat(column(values)[:, None], 2, axis=1)


def lengths(values):
  return np.full(len(values), 2)


def kernel(values):
  kernel = np.zeros((3, 2, 1, 4), np.float32)
  kernel.flat[: len(values)] = values
  return kernel


def probabilities(values, count):
  """[..., count]; nan stays."""
  shares = np.clip(np.array(values, np.float32), 0, 1) / count
  return np.repeat(shares[..., None], count, axis=-1)


def added(values):
  """A measurement of `probes.by_columns`."""
  digits = [min(1.0, abs(x)) if math.isfinite(x) else 0.0 for x in values]
  digits = [*digits, 0.0, 1.0]
  return {"columns": len(digits) - 1, "trained": True, "digits": digits}


# Chart -> functions from values to its arguments.
CASES = {
  frame_charts.sequences: [
    lambda v: (make_frames(v), lengths(v), steps(v), steps(v)[::-1]),
    lambda v: (
      make_frames(v) * steps(v)[..., None, None, None],  # floats
      *(lengths(v), steps(v), steps(v), 0.0),
    ),
  ],
  addition.additions: [
    lambda v: (make_frames(v), lengths(v), steps(v), steps(v)[::-1]),
    lambda v: (
      *(make_frames(v), lengths(v), steps(v), None),
      np.arange(2 * len(v)).reshape(-1, 2) % 10,
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
        make_frames(v),
        lengths(v),
        np.ones((len(v), 2), int),
        probabilities(steps(v), 10),
      ),
      TASKS["sum"],
    )
  ],
  prediction.draw: [
    lambda v: (
      make_frames([0], len(v))[0],
      *(column(v), np.arange(len(v)), None, "sum"),
    ),
    lambda v: (
      *(make_frames([0], len(v))[0], column(v), column(v)),
      probabilities(v, len(v)),
      *("speed", False),
    ),
  ],
  prediction._draw_moment: [
    lambda v: (
      *(make_frames([0], len(v))[0], column(v), column(v)),
      *(probabilities(v, len(v)), "sum", True, min(1.4, len(v))),
    ),
    lambda v: (
      make_frames([0], len(v))[0],
      *(column(v), column(v), None, "speed", False, 1.0),
    ),
  ],
  summary_chart.draw: [
    lambda v: (make_frames([0], len(v))[0], column(v), column(v) > 0),
    lambda v: (
      make_frames([0], 12 * len(v))[0],
      *(np.tile(column(v), 12), np.tile(column(v) > 0, 12)),
      np.tile(column(v), 12),
    ),
  ],
  study_charts.learning: [lambda v: (study_lines(v),)],
  study_charts.final: [lambda v: (study_lines(v),)],
  divergence.courses: [lambda v: (study_lines(v),)],
  cost_chart.cost: [lambda v: (study_lines(v),)],
  question_charts.steps: [lambda v: (study_lines(v),)],
  question_charts.targets: [lambda v: (study_lines(v),)],
  question_charts.lengths: [lambda v: (study_lines(v),)],
  run_charts.learning: [lambda v: ([run(v), run(v[:1])],)],
  question_charts.columns: [
    lambda v: (with_measured(v, lambda n: [added(v)]),),
    lambda v: (with_measured(v, lambda n: [added(v) | {"trained": False}]),),
  ],
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


@pytest.mark.parametrize("name", first(VALUES, 3))
@pytest.mark.parametrize(
  "chart", CASES, ids=lambda x: f"{x.__module__}.{x.__name__}"
)
def test_every_chart_accepts_edge_cases(chart, name, small):
  for case in CASES[chart]:
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      png = chart(*case(VALUES[name]))
    with Image.open(io.BytesIO(png)) as image:
      assert image.width > 90
      assert len(image.convert("RGB").getcolors(1 << 20)) > 2  # not blank
