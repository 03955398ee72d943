"""Learning curves of several runs in one figure."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from seqsum.plots import scales
from seqsum.plots.figures import WIDTH, Chart
from seqsum.studies.charts import COLORS, DASHES, ROW, SMALL
from seqsum.studies.run_comparison import RunFiles


@Chart
def learning(figure: Any, runs: Sequence[RunFiles]) -> None:
  """Validation mse and exact accuracy against training sequences.

  A cross marks the end of a run that diverged; a run without validations is
  left out.
  """
  runs = [run for run in runs if run.validations]
  if not runs:
    return
  longest = max(run.sequences for run in runs)
  unit = 1000 if longest >= 10_000 else 1
  rows = -(-len(runs) // 2)
  figure.set_size_inches(WIDTH, 5.2 + ROW * rows)
  error, exact = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
  drawn = []
  looks = itertools.cycle(itertools.product(DASHES, COLORS))
  for run, (dash, color) in zip(runs, looks, strict=False):
    name = _shorten(run.name)
    if run.status != "finished":
      name += f"\n{run.status}"
    look = {"ls": dash, "color": color, "lw": 1.8, "marker": "o", "ms": 3}
    lines = run.validations
    x = np.array([line["step"] for line in lines]) * run.batch_size / unit
    mse, share = (
      np.array([line[key] for line in lines], np.float64)  # a null becomes nan
      for key in ("mse", "exact_accuracy")
    )
    drawn += mse.tolist()
    error.plot(x, mse, label=name, **look)
    exact.plot(x, 100 * share, clip_on=False, **look)
    if run.diverged and not run.summary:
      top = {"transform": error.get_xaxis_transform(), "clip_on": False}
      error.plot(run.sequences / unit, 0.97, "x", color=color, **top)
  scales.logarithmic(error.yaxis, drawn)
  error.set_ylabel("validation mse")
  exact.set_ylabel("exact (%)")
  exact.set_xlabel(f"training sequences{' (thousands)' if unit > 1 else ''}")
  scales.linear(exact.yaxis)
  exact.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
  exact.set_xlim(0, 1.03 * longest / unit or 1)
  exact.margins(y=0.1)
  figure.legend(loc="outside upper left", ncols=2, fontsize=SMALL)


def _shorten(name: str) -> str:
  """A name that fits into half the figure's width."""
  # Matplotlib reads $...$ as mathematics, and omits names that begin with _.
  name = name.replace("$", r"\$")
  name = name if len(name) <= 30 else f"...{name[-27:]}"
  return f" {name}" if name.startswith("_") else name
