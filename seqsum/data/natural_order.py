"""Sort names as a person would: 2 before 10, t0.25 before t0.5, -1 before 0."""

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

  Whole numbers in a name are compared as numbers, and text without regard to
  case. `0.25` is a decimal number; `1.2.3`, with two or more dots, is three
  whole numbers. So is `1.10` if the names count: 1.9 is there as well, and no
  decimal number would end in 0 only to be longer than another. What is equal
  up to here (1.png and 01.png) is in the order of characters.

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
  """Which numbers have a dot that is not a decimal point.

  Args:
    paths: Their names, from the outermost folder.

  Returns:
    Which name of a path -> which numbers of it, from 0.
  """
  fractions = defaultdict(set)  # which name, which number -> after its only dot
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
  """Text, number, text, ...; and the ending, which counts last."""
  name = name.lower()
  stem, ending = os.path.splitext(name)
  if not ending[1:2].isalpha():  # of t0.25 it is no ending
    stem, ending = name, ""
  parts, end = [], 0
  for i, match in enumerate(NUMBER.finditer(stem)):
    number = match[0]
    if number.count(".") == 1 and i not in counters:
      numbers = [Decimal(number)]
    else:
      numbers = [int(x) for x in number.split(".")]
    parts += [stem[end : match.start()], numbers]
    end = match.end()
  return [*parts, stem[end:]], ending
