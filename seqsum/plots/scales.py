"""Axis scales, and positions of labels beside curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seqsum.training.scores import number

WIDE = 4.0  # a ratio of values above which `fitting` is logarithmic


def is_logarithmic(values: Any) -> bool:
  """Whether `logarithmic` of these values is not linear after all."""
  values = np.asarray(values, np.float64)
  return bool((np.isfinite(values) & (values > 0)).any())


def linear(axis: Any) -> None:
  """Sets a linear scale, with ticks such as 10,000 and 0.25."""
  _set_scale(axis, "linear")


def _set_scale(axis: Any, name: str, **options: float) -> None:
  axis._set_axes_scale(name, **options)  # resets the formatter
  axis.set_major_formatter(lambda value, _: number(value))


def logarithmic(axis: Any, values: Any) -> None:
  """Sets a logarithmic scale, which includes 0 if a value is 0.

  The scale is linear if no value is positive. Call it after the values, >= 0,
  were drawn; inf and nan are ignored.
  """
  from matplotlib import ticker

  values = np.asarray(values, np.float64)
  values = values[np.isfinite(values)]
  positive = values[values > 0]
  if not positive.size:
    linear(axis)
    axis.set_view_interval(-0.05, 1, ignore=True)
    axis.set_major_locator(ticker.FixedLocator([0, 0.5, 1]))
    return
  if positive.size == values.size:
    _set_scale(axis, "log")
    low, high = sorted(axis.get_view_interval())
    close = high / low < 300  # 2 and 5 fit between powers of ten
    subs = (1, 2, 5) if close else (1,)
    axis.set_major_locator(ticker.LogLocator(subs=subs))
    axis.set_minor_formatter(ticker.NullFormatter())
    return
  first = np.floor(np.log10(positive.min()))
  last = np.ceil(np.log10(positive.max()))
  _set_scale(axis, "symlog", linthresh=10.0**first, linscale=0.5)
  stride = max(1, round((last - first) / 6))
  powers = 10.0 ** np.arange(first, last + 1, stride)
  axis.set_major_locator(ticker.FixedLocator([0, *powers]))
  axis.set_minor_locator(ticker.NullLocator())


def fitting(axis: Any, values: Any) -> None:
  """Sets a logarithmic scale if all values are positive and differ widely.

  Else the scale is linear. Call it after the values were drawn; inf and nan are
  ignored.
  """
  values = np.asarray(values, np.float64)
  values = values[np.isfinite(values)]
  if values.size and values.min() > 0 and values.max() > WIDE * values.min():
    logarithmic(axis, values)
  else:
    linear(axis)


def heights(axes: Any, values: Sequence[float]) -> np.ndarray:
  """Positions of values on the y axis, in axes coordinates (0..1)."""
  axes.get_ylim()  # applies pending autoscaling
  to_axes = axes.transData + axes.transAxes.inverted()
  points = np.stack([np.ones(len(values)), np.asarray(values, float)], axis=-1)
  return to_axes.transform(points.reshape(-1, 2))[:, 1]


def spread_out(positions: np.ndarray, gap: float) -> np.ndarray:
  """Moves positions until they are at least `gap` apart and none is above 1."""
  order = np.argsort(positions, kind="stable")
  moved = np.asarray(positions, np.float64)[order]
  for i in range(1, len(moved)):
    moved[i] = max(moved[i], moved[i - 1] + gap)
  top = 1.0
  for i in reversed(range(len(moved))):
    moved[i] = top = min(moved[i], top)
    top -= gap
  return moved[np.argsort(order)]
