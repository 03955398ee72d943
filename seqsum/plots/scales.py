"""Scales of the axes of charts, and places for words beside curves."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from seqsum.training.metrics import number

WIDE = 4.0  # values that differ by this factor are drawn on a logarithmic axis


def linear(axis: Any) -> None:
  """A linear scale whose ticks are written as a person writes numbers."""
  axis._set_axes_scale("linear")
  axis.set_major_formatter(lambda value, _: number(value))


def logarithmic(axis: Any, values: Any) -> None:
  """A logarithmic scale; where some values are 0, it has a 0 at its end.

  Args:
    axis: Matplotlib's, of axes on which the values are drawn already.
    values: Of any shape, at least 0; inf and nan are left out. If none is above
      0, the scale is linear.
  """
  from matplotlib.ticker import (
    FixedLocator,
    LogLocator,
    NullFormatter,
    NullLocator,
  )

  values = np.asarray(values, np.float64)
  values = values[np.isfinite(values)]
  positive = values[values > 0]
  if not positive.size:
    linear(axis)
    axis.set_view_interval(-0.05, 1, ignore=True)
    axis.set_major_locator(FixedLocator([0, 0.5, 1]))
    return
  axis.set_major_formatter(lambda value, _: number(value))
  if positive.size == values.size:
    axis._set_axes_scale("log")
    axis.set_major_formatter(lambda value, _: number(value))
    low, high = sorted(axis.get_view_interval())
    close = high / low < 300  # then 2 and 5 have room beside the powers of ten
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if close else (1,)))
    axis.set_minor_formatter(NullFormatter())
    return
  first = np.floor(np.log10(positive.min()))
  last = np.ceil(np.log10(positive.max()))
  axis._set_axes_scale("symlog", linthresh=10.0**first, linscale=0.5)
  axis.set_major_formatter(lambda value, _: number(value))
  stride = max(1, round((last - first) / 6))
  powers = 10.0 ** np.arange(first, last + 1, stride)
  axis.set_major_locator(FixedLocator([0, *powers]))
  axis.set_minor_locator(NullLocator())


def fitting(axis: Any, values: Any) -> None:
  """A logarithmic scale if the positive values differ much, else a linear one.

  Args:
    axis: As of `logarithmic`.
    values: Of any shape; inf and nan are left out.
  """
  values = np.asarray(values, np.float64)
  values = values[np.isfinite(values)]
  if values.size and values.min() > 0 and values.max() > WIDE * values.min():
    logarithmic(axis, values)
  else:
    linear(axis)


def heights(axes: Any, values: Sequence[float]) -> np.ndarray:
  """Where values lie on the y axis: 0 at its lower end, 1 at its upper one."""
  axes.get_ylim()  # the limits are set by now
  to_axes = axes.transData + axes.transAxes.inverted()
  points = np.stack([np.ones(len(values)), np.asarray(values, float)], axis=-1)
  return to_axes.transform(points.reshape(-1, 2))[:, 1]


def apart(wanted: Sequence[float], gap: float) -> np.ndarray:
  """Places near those wanted, at least `gap` apart, none above 1."""
  order = np.argsort(wanted, kind="stable")
  places = np.asarray(wanted, np.float64)[order]
  for i in range(1, len(places)):
    places[i] = max(places[i], places[i - 1] + gap)
  top = 1.0
  for i in reversed(range(len(places))):
    places[i] = top = min(places[i], top)
    top -= gap
  back = np.empty_like(places)
  back[order] = places
  return back
