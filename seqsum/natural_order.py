"""Sort names as a person would: 2 before 10, t0.25 before t0.5, -1 before 0."""

import os
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

# A minus is a sign at the start of a name and after "_", "=" and "(".
NUMBER = re.compile(r"(?P<sign>(?:^|(?<=[_=(]))-)?(?P<digits>\d+(?:\.\d+)*)")


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
  counters = _counters(paths)
  return sorted(paths, key=lambda path: (_key(path, counters), path))


def _counters(paths: list[str]) -> set[int]:
  """Which number of a name, from 0, has dots that are no decimal points."""
  fractions = {}  # which number -> what stands behind its only dot
  for path in paths:
    for i, match in enumerate(NUMBER.finditer(os.path.basename(path))):
      _, dot, fraction = match["digits"].partition(".")
      if dot and "." not in fraction:
        fractions.setdefault(i, set()).add(fraction)
  return {
    i
    for i, found in fractions.items()
    if len({len(x) for x in found}) > 1
    and any(len(x) > 1 and x.endswith("0") for x in found)
    and not any(len(x) > 1 and x.startswith("0") for x in found)
  }


def _key(path: str, counters: set[int]) -> list[Any]:
  return [_name_key(name, counters) for name in path.split(os.sep)]


def _name_key(name: str, counters: set[int]) -> tuple[list[Any], str]:
  """Text, number, text, ...; and the ending, which counts last."""
  name = name.lower()
  stem, ending = os.path.splitext(name)
  if not ending[1:2].isalpha():  # of t0.25 it is no ending
    stem, ending = name, ""
  parts, end = [], 0
  for i, match in enumerate(NUMBER.finditer(stem)):
    digits = match["digits"]
    if digits.count(".") == 1 and i not in counters:
      numbers = [Decimal(digits)]
    else:
      numbers = [int(x) for x in digits.split(".")]
    if match["sign"]:
      numbers[0] = -numbers[0]
    parts += [stem[end : match.start()], numbers]
    end = match.end()
  return [*parts, stem[end:]], ending
