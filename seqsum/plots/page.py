"""How a report is laid out: words and pictures -> one page of HTML.

The page holds its pictures in itself and fetches nothing, so it can be mailed,
published, and opened in ten years.
"""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #5c6670;
  --line: #dfe3e8; --page: #fbfbfc; --card: #ffffff; --accent: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a3abb5;
  --line: #343a42; --page: #15181c; --card: #1d2126; --accent: #56b4e9; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 17px/1.55 -apple-system, "Segoe UI", Roboto, "Helvetica Neue",
  Arial, sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 1080px; margin: 0 auto; padding: 3rem 1.25rem 4rem; }
header { max-width: 56rem; }
.run { color: var(--accent); font-weight: 600; margin: 0; }
h1 { font-size: clamp(1.5rem, 4.2vw, 2.2rem); line-height: 1.22; margin: .3em 0;
  letter-spacing: -.015em; text-wrap: balance; }
header p { color: var(--soft); margin: .4em 0; }
dl { display: grid; gap: 1px; margin: 2rem 0; padding: 0;
  grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); }
dl div { border-top: 2px solid var(--accent); padding: .6rem 0; }
dl dd { font-size: 1.7rem; font-weight: 650; margin: 0;
  font-variant-numeric: tabular-nums; letter-spacing: -.02em; }
dl dt { color: var(--soft); font-size: .9rem; }
section { columns: 2 26rem; column-gap: 1.5rem; }
figure { margin: 0 0 1.5rem; break-inside: avoid; background: var(--card);
  border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
figure img { display: block; width: 100%; height: auto; padding: 14px 10px; }
figcaption { padding: .8rem 1rem 1rem; font-size: .94rem; line-height: 1.45;
  border-top: 1px solid var(--line); color: var(--soft); }
figcaption b { color: var(--ink); }
h2 { font-size: 1.2rem; margin: 2rem 0 .6rem; }
table { border-collapse: collapse; width: 100%; font-size: .94rem; }
th, td { text-align: left; vertical-align: top; padding: .45rem 1rem .45rem 0;
  border-top: 1px solid var(--line); overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 500; width: 12rem; }
@media (max-width: 600px) { main { padding: 1.5rem .75rem; }
  figure img { padding: 10px 2px; } th { width: 8rem; } }
"""

# A browser decodes the picture that its theme asks for.
FIGURE = """<figure>
<picture>
<source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,{}">
<img src="data:image/png;base64,{}" alt="{}">
</picture>
<figcaption><b>{}</b> {}</figcaption>
</figure>"""


class Picture(NamedTuple):
  """A picture on the page; its file is `<name>.png`."""

  name: str
  png: bytes  # on a light page
  dark: bytes  # on a dark one
  alt: str  # what it is, for those who do not see it
  title: str
  caption: str  # what is to be seen


def page(
  name: str,
  headline: str,
  notes: Sequence[str],
  numbers: Mapping[str, str],
  pictures: Sequence[Picture],
  facts: Mapping[str, str],
) -> str:
  """The page, HTML 5; every word that comes from outside is escaped.

  Args:
    name: The run's.
    headline: What it came to, in a sentence.
    notes: Paragraphs below the headline.
    numbers: Label -> value, set large.
    pictures: In the order of reading.
    facts: Label -> value, for the table at the end.
  """

  def join(template: str, rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(template.format(*map(html.escape, row)) for row in rows)

  shown = [
    (*(base64.b64encode(png).decode() for png in (x.dark, x.png)), *x[3:])
    for x in pictures
  ]
  return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{html.escape(name)} · seqsum</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<p class="run">{html.escape(name)}</p>
<h1>{html.escape(headline)}</h1>
{join("<p>{}</p>", [[note] for note in notes])}
</header>
<dl>
{join("<div><dt>{}</dt><dd>{}</dd></div>", numbers.items())}
</dl>
<section>
{join(FIGURE, shown)}
</section>
<h2>How it was made</h2>
<table>
{join('<tr><th scope="row">{}</th><td>{}</td></tr>', facts.items())}
</table>
</main>
</body>
</html>
"""
