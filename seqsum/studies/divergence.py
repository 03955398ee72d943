"""Which networks diverge immediately: a chart and a table.

Both compare runs by activation, scale of the pixels, optimizer, and gradient
clipping.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from seqsum.plots.figures import BLUE, GREY, VERMILION, WIDTH, Chart
from seqsum.studies.charts import SMALL, Line, Lines, finished
from seqsum.studies.question_tables import markdown
from seqsum.training.scores import number


def _activation(line: Line) -> str:
  cell = line["overrides"].get("model.cell_activation", "tanh")
  convolutions = line["overrides"]["model.activation"]
  if convolutions == cell:
    return f"{cell} everywhere"
  return f"{convolutions} in the convolutions"


def _pixels(line: Line) -> str:
  return f"0..{line['overrides']['model.input_max']:g}"


def _optimizer(line: Line) -> str:
  clipped = line["overrides"]["optimizer.clip_norm"] > 0
  return line["overrides"]["optimizer.name"] + ", clipped" * clipped


def _group(lines: Lines, *by: Any) -> dict[tuple[str, ...], list[Line]]:
  groups: dict[tuple[str, ...], list[Line]] = {}
  for line in lines:
    groups.setdefault(tuple(key(line) for key in by), []).append(line)
  return groups


@Chart
def courses(figure: Any, lines: Lines) -> None:
  """The training error of every run; a cross where it becomes inf or nan.

  Values are means over `log_every` steps.
  """
  if not lines:
    return
  activations = list(dict.fromkeys(map(_activation, lines)))
  pixels = list(dict.fromkeys(map(_pixels, lines)))
  colors = {"rmsprop": BLUE, "sgd": VERMILION}
  names = {"rmsprop": "RMSProp", "sgd": "SGD"}
  figure.set_size_inches(WIDTH, 1.0 + 1.45 * len(activations))
  panels = figure.subplots(
    len(activations), len(pixels), sharex=True, sharey=True, squeeze=False
  )
  cells = _group(lines, _activation, _pixels)
  for row, activation in zip(panels, activations, strict=True):
    row[0].set_ylabel("training mse")
    for axes, pixel in zip(row, pixels, strict=True):
      corner = {"ha": "right", "va": "top", "fontsize": SMALL}
      axes.text(0.98, 0.97, activation, transform=axes.transAxes, **corner)
      for line in cells.get((activation, pixel), ()):
        name, _, clipped = _optimizer(line).partition(",")
        color = colors.get(name, GREY)
        step, mse = np.array(line["course"], float).reshape(-1, 4).T[:2]
        style = {"ls": (0, (2, 1.2))} if clipped else {}
        axes.plot(step, mse, lw=0.9, alpha=0.6, color=color, **style)
        if line["status"] == "diverged":
          top = {"transform": axes.get_xaxis_transform(), "color": color}
          at = line["diverged_step"] or 0, 0.95
          axes.plot(*at, "x", ms=7, mew=1.6, **top)
  for axes, pixel in zip(panels[0], pixels, strict=True):
    axes.set_title(f"pixels in {pixel}")
  for axes in panels[-1]:
    axes.set_xlabel("training step")
  panels[0, 0].set(ylim=(1, 1e9), yscale="log")
  panels[0, 0].set_yticks(
    (1, 1e3, 1e6, 1e9), ("1", "1 thousand", "1 million", "1 billion")
  )
  panels[0, 0].minorticks_off()
  from matplotlib.lines import Line2D

  keys = [
    Line2D([], [], color=c, label=names[name]) for name, c in colors.items()
  ]
  keys += [
    Line2D([], [], color=GREY, ls=(0, (2, 1.2)), label="clipped to norm 1"),
    Line2D([], [], color=GREY, marker="x", ls="", label="inf or nan"),
  ]
  figure.legend(handles=keys, loc="outside lower center", ncols=2)


def table(lines: Lines) -> str:
  """How many runs diverged or got stuck, and the largest norms, as Markdown.

  A run is stuck if its test mse is at least 99% of that of guessing the mean.
  """
  rows = []
  groups = _group(lines, _activation, _pixels, _optimizer)
  for names, group in groups.items():
    good = finished(group)
    ends = sorted(x["diverged_step"] for x in group if x not in good)
    stuck = sum(
      x["test"]["mse"] >= 0.99 * x["guess_the_mean_mse"] for x in good
    )
    course = [row for line in group for row in line["course"]]
    norms = np.array(course, np.float64).reshape(-1, 4)
    rows.append(
      [
        *names,
        f"{len(ends)} of {len(group)}",
        ", ".join(f"{step:,}" for step in ends) or "-",
        f"{stuck} of {len(good)}",
        _range(x["test"]["mse"] for x in good),
        *(_largest(norms[:, i]) for i in (1, 2, 3)),
      ]
    )
  titles = (
    *("activation", "pixels", "optimizer", "diverged", "at step", "stuck"),
    *("test mse", "largest training mse", "entering the GRU, rms", "gradient"),
  )
  return markdown(titles, rows) + "\n"


def _range(values: Iterable[float]) -> str:
  """The smallest and the largest finite value."""
  finite = [x for x in values if np.isfinite(x)]
  if not finite:
    return "-"
  return " to ".join(dict.fromkeys(number(f(finite), 2) for f in (min, max)))


def _largest(values: np.ndarray) -> str:
  finite = values[np.isfinite(values)]
  return number(float(finite.max()), 2) if finite.size else "-"
