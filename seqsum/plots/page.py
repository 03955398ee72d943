"""The HTML of a report: captions and pictures filled into `report.html`.

The page embeds its pictures and loads nothing, so it can be mailed, published
and archived as one file.
"""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import NamedTuple

from seqsum.plots.captions import Caption


class Picture(NamedTuple):
  """A picture of a report, as PNG for a light and for a dark page."""

  name: str  # its file is `<name>.png`
  light: bytes
  dark: bytes
  caption: Caption


def render(
  name: str,
  headline: str,
  notes: Sequence[str],
  numbers: Mapping[str, str],
  pictures: Sequence[Picture],
  facts: Mapping[str, str],
) -> str:
  """Returns the page as HTML 5; all text is escaped.

  Args:
    name, headline: The run's name, and its result in one sentence.
    notes: Paragraphs below the headline.
    numbers: Label -> value, in large type.
    pictures: The pictures, in reading order.
    facts: Label -> value, for the table at the end.
  """
  import jinja2  # only a report needs it

  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.filters["base64"] = lambda png: base64.b64encode(png).decode()
  template = resources.files("seqsum.plots").joinpath("report.html")
  return environment.from_string(template.read_text(encoding="utf-8")).render(
    name=name,
    headline=headline,
    notes=notes,
    numbers=numbers,
    pictures=pictures,
    facts=facts,
  )
