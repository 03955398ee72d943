"""The page that a run leaves behind: metrics, frames, filters -> index.html.

The page holds its pictures in itself and fetches nothing, so it can be mailed,
published, and opened in ten years.
"""

import base64
import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from seqsum import figures
from seqsum.metrics import is_exact

MOST_STRIPS = 12  # on each of the two pictures of sequences

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
figure img { display: block; width: 100%; height: auto; background: #fff;
  padding: 14px 10px; }
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


FIGURE = """<figure>
<img src="data:image/png;base64,{}" alt="{}">
<figcaption><b>{}</b> {}</figcaption>
</figure>"""


class Figure(NamedTuple):
  """A picture on the page; its file is `<name>.png`."""

  name: str
  png: bytes
  alt: str  # what it is, for those who do not see it
  title: str
  caption: str  # what is to be seen


def write_report(
  folder: epath.PathLike,
  *,
  name: str,
  task: str,
  history: Sequence[Mapping[str, Any]],
  evaluation: Any,
  frames: Callable[[np.ndarray], np.ndarray],
  filters: Mapping[str, np.ndarray],
  facts: Mapping[str, str],
  references: Mapping[str, float],
  best_step: int | None = None,
) -> dict[str, bytes]:
  """Writes `index.html` and the pictures that it shows, as PNG files.

  Args:
    folder: Where to; made if it is not there.
    name: The run's.
    task: What the fold is called, "sum".
    history: Lines of metrics.jsonl, however few; inf and nan as None.
    evaluation: An `evaluate.Evaluation`: of test sequences, or of validation
      sequences if the run is not finished.
    frames: `[M] which sequences -> [M, T, H, W, C] uint8`.
    filters: The first layer's kernels "before" and "after", [kh, kw, C, F].
    facts: Label -> value, for the table at the end.
    references: Name -> mse of others on the same task.
    best_step: The step whose parameters were tested, or None if the run is not
      finished; the page then says so.

  Returns:
    The pictures, name -> PNG.
  """
  lengths = evaluation.lengths
  target = evaluation.final(evaluation.targets)
  prediction = evaluation.final(evaluation.predictions)
  exact = is_exact(prediction, target)
  with np.errstate(all="ignore"):  # a run that diverged has a report too
    miss = np.abs(prediction.astype(np.float64) - target)
    numbers = {
      "mean squared error": figures.number(np.square(miss).mean()),
      "exactly right": f"{exact.mean():.1%}",
      "mean absolute error": figures.number(miss.mean()),
      "sequences": f"{len(exact):,}",
    }
    before, after = filters["before"], filters["after"]
    moved = np.linalg.norm(after - before) / np.linalg.norm(before)

  random, worst = _choose(lengths, miss)
  strips = frames(np.concatenate([random, worst]))

  def draw(which: np.ndarray, strips: np.ndarray) -> bytes:
    return figures.sequences(
      strips,
      lengths[which],
      evaluation.targets[which],
      evaluation.predictions[which],
    )

  shortest, longest = lengths.min(), lengths.max()
  pictures = [
    Figure(
      "learning",
      figures.learning_curves(history, references, best_step),
      "Line charts of mean squared error and exact accuracy over epochs.",
      "Learning.",
      "The error of the training sequences and of sequences of validation "
      "digits, on a logarithmic scale, and the share that is exactly right.",
    ),
    Figure(
      "agreement",
      figures.agreement(target, prediction, task),
      f"Scatter plot of predicted {task} against true {task}.",
      "Predicted and true.",
      "Each point is a sequence; those in the grey band along the diagonal "
      f"round to the true {task}.",
    ),
    Figure(
      "errors",
      figures.errors(lengths, target, prediction, task),
      f"Bars of exact accuracy by length, error and count by true {task}.",
      "Where the errors are.",
      f"{exact[lengths == shortest].mean():.1%} are exactly right at length "
      f"{shortest}, {exact[lengths == longest].mean():.1%} at length "
      f"{longest}; {task}s that are seldom seen rest on few sequences.",
    ),
    Figure(
      "sequences",
      draw(random, strips[: len(random)]),
      "Rows of handwritten digits with a number under each.",
      f"{len(random)} sequences drawn at random.",
      "The network reads one frame after the other and is never told which "
      f"is the last; its last word counts, ✓ if it rounds to the true {task}.",
    ),
    Figure(
      "mistakes",
      draw(worst, strips[len(random) :]),
      "Rows of handwritten digits with a number under each.",
      f"The {len(worst)} largest errors.",
      "Look for the frame at which the prediction leaves the truth.",
    ),
    Figure(
      "filters",
      figures.filters(before, after),
      "Two rows of small coloured squares, before and after.",
      "The first layer's filters, before and after training.",
      f"Training changed the weights by {moved:.0%} of their norm."
      if np.isfinite(moved)
      else "Some weights are not finite; they are left blank.",
    ),
  ]
  split = "validation" if best_step is None else "test"
  notes = []
  if references:
    others = [f"{figures.number(x)} ({who})" for who, x in references.items()]
    notes.append("Mean squared error of others: " + ", ".join(others) + ".")
  if best_step is None:
    notes.append(
      "This run is not finished: these are validation digits. The test digits "
      "are read once, at the end."
    )
  page = _page(
    name,
    f"{_when(history)} the mean squared error on {len(exact):,} sequences of "
    f"unseen {split} digits is {numbers['mean squared error']}; "
    f"{numbers['exactly right']} of the {task}s are exactly right.",
    notes,
    numbers,
    pictures,
    facts,
  )
  folder = epath.Path(folder)
  folder.mkdir(parents=True, exist_ok=True)
  for picture in pictures:
    (folder / f"{picture.name}.png").write_bytes(picture.png)
  (folder / "index.html").write_bytes(page.encode())
  return {picture.name: picture.png for picture in pictures}


def _choose(
  lengths: np.ndarray, miss: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Which sequences to show: some at random, and the worst; [M] each."""
  count = min(MOST_STRIPS, len(miss))
  some = np.random.default_rng(0).choice(len(miss), count, replace=False)
  worst = np.argsort(np.where(np.isnan(miss), np.inf, miss), kind="stable")
  return some[np.argsort(lengths[some], kind="stable")], worst[::-1][:count]


def _when(history: Sequence[Mapping[str, Any]]) -> str:
  """How far training has come, to begin a sentence with."""
  lines = [line for line in history if line["split"] != "test"]
  if not lines:
    return "Before any training"
  epoch, last = lines[-1]["epoch"], lines[-1]["split"]
  if last == "train":  # no validation has closed the epoch
    return f"During epoch {epoch}"
  return f"After {epoch} epoch{'s' * (epoch > 1)}"


def _page(
  name: str,
  headline: str,
  notes: Sequence[str],
  numbers: Mapping[str, str],
  pictures: Sequence[Figure],
  facts: Mapping[str, str],
) -> str:
  """The page, HTML 5; every word that comes from outside is escaped."""

  def join(template: str, rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(template.format(*map(html.escape, row)) for row in rows)

  shown = [
    (base64.b64encode(x.png).decode(), x.alt, x.title, x.caption)
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
