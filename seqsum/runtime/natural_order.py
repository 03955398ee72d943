"""Natural sort order: 2 before 10, t0.25 before t0.5, -1 before 0."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

# A minus is a sign at the start of a name and after "_", "=" and "(".
NUMBER = re.compile(r"(?:(?:^|(?<=[_=(]))-)?(?P<digits>\d+(?:\.\d+)*)")


def sort(paths: Iterable[str]) -> list[str]:
  """Sorts paths in natural order, folder by folder.

  Whole numbers in a name compare as numbers, text compares without case. `0.25`
  is a decimal number; `1.2.3`, with two or more dots, is three whole numbers.
  `1.10` is two whole numbers if the names of the folder count up: 1.9 is there
  as well, and some number is longer than another and ends in 0. Names that are
  equal so far (1.png and 01.png) are in the order of their characters.

  Args:
    paths: Files, folders or names.
  """
  paths = list(paths)
  split = {path: path.split(os.sep) for path in paths}
  counters = _counters(split.values())

  def key(path: str) -> tuple[list[Any], str]:
    names = enumerate(split[path])
    return [_key(name, counters.get(i, set())) for i, name in names], path

  return sorted(paths, key=key)


def _counters(paths: Iterable[list[str]]) -> dict[int, set[int]]:
  """Finds numbers whose dot separates whole numbers.

  Args:
    paths: Paths as lists of names, outermost folder first.

  Returns:
    Position of a name in its path -> positions of such numbers in the name.
  """
  fractions = defaultdict(set)  # (name, number) -> digits after the only dot
  for path in paths:
    for i, name in enumerate(path):
      for j, match in enumerate(NUMBER.finditer(name)):
        _, dot, fraction = match["digits"].partition(".")
        if dot and "." not in fraction:
          fractions[i, j].add(fraction)
  counters = defaultdict(set)
  for (i, j), found in fractions.items():
    if (
      len({len(x) for x in found}) > 1
      and any(len(x) > 1 and x.endswith("0") for x in found)
      and not any(len(x) > 1 and x.startswith("0") for x in found)
    ):
      counters[i].add(j)
  return counters


def _key(name: str, counters: set[int]) -> tuple[list[Any], str]:
  """The sort key of a name: [text, numbers, text, ...] and the ending."""
  name = name.lower()
  stem, ending = os.path.splitext(name)
  if not ending[1:2].isalpha():  # t0.25 has no ending
    stem, ending = name, ""
  parts: list[Any] = []
  end = 0
  for i, match in enumerate(NUMBER.finditer(stem)):
    number = match[0]
    if number.count(".") == 1 and i not in counters:
      numbers: list[Any] = [Decimal(number)]
    else:
      numbers = [int(x) for x in number.split(".")]
    parts += [stem[end : match.start()], numbers]
    end = match.end()
  return [*parts, stem[end:]], ending
