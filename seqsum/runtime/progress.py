"""Progress bar of long programs, and lines of text above it."""

import sys
from typing import Any, Self

from tqdm import tqdm


class ProgressBar:
  """A bar with the time left, if stderr is a terminal.

  Args:
    total: Number of units until the end.
    unit: Name of a unit, plural.
    **options: Of tqdm.
  """

  def __init__(self, total: int, unit: str, **options: Any):
    self._bar = tqdm(
      total=total,
      unit=f" {unit}",
      dynamic_ncols=True,
      disable=not sys.stderr.isatty(),
      **options,
    )

  @staticmethod
  def print(text: str) -> None:
    """Prints a line, above the bar if there is one."""
    with tqdm.external_write_mode(file=sys.stdout):
      print(text, flush=True)

  def advance(self, units: int) -> None:
    self._bar.update(units)

  def skip(self, units: int) -> None:
    """Removes units from the total: they need no time."""
    self._bar.total -= units
    self._bar.refresh()

  def describe(self, left: str | None = None, right: str | None = None) -> None:
    """Sets the text on the left or the right of the bar."""
    if left is not None:
      self._bar.set_description(left, refresh=False)
    if right is not None:
      self._bar.set_postfix_str(right)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def close(self) -> None:
    self._bar.close()
