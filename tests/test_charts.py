"""Every chart, of values that a chart is likely to stumble over."""

import importlib
import io
import math
import pkgutil
import warnings

import numpy as np
import pytest
from PIL import Image

import seqsum
from seqsum import (
  divergence_study,
  error_charts,
  figures,
  flow,
  learning_chart,
  question_charts,
  reading_chart,
  study_charts,
  summary_chart,
)
from seqsum.tasks import TASKS

NAN, INF = math.nan, math.inf
# What stands in the place of every number that a run can make.
VALUES = {
  "zero": [0.0, 0.0, 0.0, 0.0],
  "one": [1.0, 1.0, 1.0, 1.0],
  "some zero": [0.0, 0.25, 3.0, 0.0],
  "single": [0.7],
  "empty": [],
  "not finite": [NAN, INF, -INF, 2.0],
  "nothing finite": [NAN, NAN, INF, -INF],
  "extreme": [1e-30, 1e30, 0.0, 3.0],
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
  figures.sequences: [
    lambda v: (frames(v), lengths(v), steps(v), steps(v)[::-1]),
    lambda v: (
      frames(v) * steps(v)[..., None, None, None],  # floats
      *(lengths(v), steps(v), steps(v), 0.0),
    ),
  ],
  figures.filters: [lambda v: (kernel(v), kernel(v))],
  learning_chart.learning_curves: [
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
  flow.flow: [
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
  reading_chart.draw: [
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
  divergence_study.courses: [lambda v: (study(v),)],
  question_charts.cost: [lambda v: (study(v),)],
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
  for module in pkgutil.iter_modules(seqsum.__path__):
    if "chart" in module.name or module.name in ("figures", "flow"):
      found = vars(importlib.import_module(f"seqsum.{module.name}")).values()
      charts |= {x for x in found if isinstance(x, figures.Chart)}
  assert charts == set(CASES)


@pytest.fixture
def small(monkeypatch):
  monkeypatch.setitem(figures.STYLE, "savefig.dpi", 30)
  monkeypatch.setitem(figures.STYLE, "figure.constrained_layout.use", False)


@pytest.mark.parametrize("name", VALUES)
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
