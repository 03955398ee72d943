"""Data for charts, and the texts, boxes and pixels of drawn figures."""

import io
import math

import numpy as np
from matplotlib.text import Text
from PIL import Image

# Four sequences whose final errors are 0, 1/4, 1 and 2.
LENGTHS = np.array([1, 2, 3, 3], np.int32)
LABELS = np.array([[4, 0, 0], [1, 2, 0], [9, 9, 9], [5, 0, 2]], np.int32)
TARGETS = np.cumsum(LABELS, axis=1).astype(np.float32)
PREDICTIONS = TARGETS + np.array([[0], [0.25], [-1], [2]], np.float32)
FRAMES = np.random.default_rng(0).integers(0, 256, (4, 3, 7, 5, 1), np.uint8)
KERNEL = np.random.default_rng(1).normal(size=(4, 3, 1, 8)).astype(np.float32)


def history_line(step, split, mse, epoch=1):
  return {
    "step": step,
    "epoch": epoch,
    "split": split,
    "mse": mse,
    "exact_accuracy": 0.5,
    "seconds": 2.0 * step,
  }


HISTORY = [
  history_line(5, "train", 30.0),
  history_line(10, "validation", 20.0),
  history_line(20, "validation", 2.0, epoch=2),
]


def _finite(value):
  return abs(value) if math.isfinite(value) else None


def _fraction(value):
  return min(1.0, abs(value)) if math.isfinite(value) else None


def study_lines(values):
  """Lines of results.jsonl, a run for each value, of two variants."""
  lines = []
  for seed, value in enumerate(values):
    measured = {"mse": _finite(value), "mae": _finite(value)}
    measured["exact_accuracy"] = _fraction(value)
    lines.append(
      {
        "variant": f"v{seed % 2}",
        "seed": seed,
        "status": "finished" if measured["mse"] is not None else "diverged",
        "diverged_step": 0,
        "test": measured,
        "sequences": 0 if value == 0 else 1,
        "curve": [[1, _finite(value)]] * len(values),
        "course": [[1, _finite(value), None, None]],
        "overrides": {
          "model.activation": "relu",
          "model.input_max": 1.0,
          "optimizer.name": "sgd",
          "optimizer.clip_norm": 0.0,
        },
        "parameters": 0 if value == 0 else 10,
        "sequences_per_second": _finite(value),
        "by_step": {"1": measured | {"count": 1}},
        "by_target": {"0": measured | {"count": 1}},
        "measured": [{"length": 1, **measured}],
      }
    )
  return lines


def words(figure):
  """All visible text of a figure."""
  found = [x.get_text() for x in figure.findobj(Text) if x.get_visible()]
  return [x for x in found if x]


def boxes(figure, *texts):
  """[N] bounding boxes of some texts, in pixels."""
  return [
    x.get_window_extent() for x in figure.findobj(Text) if x.get_text() in texts
  ]


def pixels(png):
  """[H, W, 3] uint8."""
  return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
