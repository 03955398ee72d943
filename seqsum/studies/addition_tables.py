"""Markdown tables of studies of multi-digit addition."""

import numpy as np

from seqsum.studies.charts import Lines, by_variant, finished
from seqsum.studies.question_tables import markdown, spread


def additions(lines: Lines) -> str:
  """Exact additions of dealt test images, mean and deviation over seeds.

  Args:
    lines: Runs measured by `probes.reshuffled`, see there for the columns.
  """
  rows = []
  for name, group in by_variant(finished(lines)).items():
    exact, first, digits = (
      np.array([100 * x["measured"][key] for x in group])
      for key in ("exact_accuracy", "first_deal", "digit_accuracy")
    )
    averaged, read = (
      np.array([100 * x["measured"]["averaged"][key] for x in group])
      for key in ("exact_accuracy", "digit_accuracy")
    )
    row = [name, spread(exact, "%"), f"{exact.min():.1f}%", spread(first, "%")]
    means = (
      f"{digits.mean():.2f}%",
      spread(averaged, "%"),
      f"{read.mean():.2f}%",
    )
    rows.append([*row, *means])
  titles = ("", "exact, mean of deals", "worst seed", "one deal", "digits")
  also = ("exact, averaged", "digits, averaged")
  return markdown((*titles, *also), rows) + "\n"


def columns(lines: Lines) -> str:
  """Accuracy of additions, of digits of the sum, and of longer numbers.

  Values are means over runs. Lines are measured by `probes.by_columns`.
  """
  groups = by_variant(finished(lines))
  measured = [m for x in finished(lines) for m in x["measured"]]
  every = sorted({m["columns"] for m in measured})
  of_digits, of_numbers = [], []
  for name, group in groups.items():
    found = [m for x in group for m in x["measured"]]
    own = [m for m in found if m["trained"]]
    exact = [m["exact_accuracy"] for m in own]
    digits = np.mean([m["digits"] for m in own], axis=0)
    cells = (np.mean(exact), min(exact), max(exact), *digits[[0, -2, -1]])
    of_digits.append([name, *(f"{x:.1%}" for x in cells)])
    means = [
      np.mean([m["exact_accuracy"] for m in found if m["columns"] == n])
      for n in every
    ]
    of_numbers.append([name, *(f"{x:.1%}" for x in means)])
  titles = ("", "exact", "worst seed", "best seed")
  of_digit = ("first column", "last column", "leading digit")
  table = markdown((*titles, *of_digit), of_digits)
  others = markdown(("exact with digits", *map(str, every)), of_numbers)
  return f"{table}\n\n{others}\n"
