"""Convolution kernels as rows of small coloured squares -> PNG."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from seqsum.plots.figures import WIDTH, Chart
from seqsum.training.scores import number


@Chart
def filters(figure: Any, before: np.ndarray, after: np.ndarray) -> None:
  """The first layer's kernels before and after training."""
  draw_filters(figure, {"before": before, "after": after})


def draw_filters(figure: Any, kernels: Mapping[str, np.ndarray]) -> None:
  """Draws sets of kernels one below the other, on one colour scale.

  Args:
    kernels: Title -> [kh, kw, C, F] float, all of one shape. The C channels of
      a filter are stacked.
  """
  if not kernels:
    return
  weights = np.abs(np.stack(list(kernels.values())))
  limit = np.max(weights, where=np.isfinite(weights), initial=0) or 1.0
  kh, kw, channels, count = next(iter(kernels.values())).shape
  columns = 8 if count * channels <= 32 else 12
  rows = math.ceil(count / columns) * (channels * kh + 1)
  inch = (columns * (kw + 1) - 1) / (WIDTH - 0.2)  # in weights
  figure.set_size_inches(WIDTH, len(kernels) * (rows / inch + 0.25) + 0.75)
  panels = figure.subplots(len(kernels), 1, squeeze=False)[:, 0]
  for axes, (title, kernel) in zip(panels, kernels.items(), strict=True):
    sheet = np.full((rows - 1, columns * (kw + 1) - 1), np.nan)
    for i in range(count):
      y = i // columns * (channels * kh + 1)
      x = i % columns * (kw + 1)
      tile = kernel[..., i].transpose(2, 0, 1).reshape(channels * kh, kw)
      sheet[y : y + channels * kh, x : x + kw] = tile
    image = axes.imshow(sheet, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axes.set_title(title)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
  bar = figure.colorbar(image, ax=panels, location="bottom", aspect=50)
  end = number(limit, 2)
  bar.set_ticks([-limit, 0, limit], labels=[f"-{end}", "0", end])
  bar.outline.set_visible(False)
  bar.set_label("weight")
