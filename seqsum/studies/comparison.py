"""What a study comes to: results.jsonl, table.md and figures."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from seqsum.runs import run_files
from seqsum.runs.history import read_lines
from seqsum.runtime import files
from seqsum.studies.charts import Lines, by_variant, finished, tested
from seqsum.studies.plan import Run, Study
from seqsum.studies.question_charts import FIGURES
from seqsum.studies.question_tables import markdown
from seqsum.training.metrics import number

METRICS = ("loss", "mse", "mae", "exact_accuracy")
SOME = ("mse_of_mean", "digit_accuracy")  # that some models have
PARTS = ("by_length", "by_step", "by_target")  # of the test line
COURSE = ("mse", "encoded_rms", "gradient_norm")
RATES = "rates.json"  # sequences a second of each variant, measured by turns


def collect(run: Run) -> dict[str, Any] | None:
  """A run's line of results.jsonl, read from its folder.

  `curve` is [[sequences seen, validation mse], ...], and `clock` [[seconds
  since the run began, share of the validation that is exact], ...]; `seconds`
  are all that the run took; `sequences` of a run that diverged end with the
  step at which it did. `course` is [[step, training mse, rms of what enters the
  recurrence, norm of the gradient], ...], if the config has the last two
  measured.

  Returns:
    None if the run has not come to its end.
  """
  path = run.folder / "summary.json"
  summary = run_files.read_json(path, run_files.SUMMARY)
  path = run.folder / "diverged.json"
  end = run_files.read_json(path, run_files.DIVERGED)
  if summary is None and end is None:
    return None
  batch_size = run.config.batch_size
  history = read_lines(run.folder / "metrics.jsonl")
  validations = [line for line in history if line["split"] == "validation"]
  curve = [[line["step"] * batch_size, line["mse"]] for line in validations]
  clock = [[line["seconds"], line["exact_accuracy"]] for line in validations]
  course = [
    [line["step"], *(line[name] for name in COURSE)]
    for line in history
    if COURSE[-1] in line
  ]
  parts = summary["test"] if summary else {}
  line = {
    "variant": run.variant,
    "seed": run.seed,
    "overrides": run.overrides,
    "status": "diverged",
    "diverged_step": None,
    "test": None,
    "validation": None,
    "best_step": None,
    "sequences": run.sequences,
    "sequences_per_second": None,
    "guess_the_mean_mse": None,
  }
  if summary is None:
    line |= {
      "diverged_step": end["step"],
      "sequences": end["step"] * batch_size,
    }
  else:
    # Finite parameters may still say something that is not.
    if summary["test"]["mse"] is not None:
      line["status"] = "finished"
    for split in ("test", "validation"):
      measured = summary[split] or {}
      names = (*METRICS, *(name for name in SOME if name in measured))
      line[split] = {name: measured.get(name) for name in names}
    line["best_step"] = summary["best_step"]
    for name in ("sequences_per_second", "guess_the_mean_mse"):
      line[name] = summary[name]
  last = summary or end
  more = run_files.read_json(run.folder / "measured.json", run_files.MEASURED)
  return line | {
    "parameters": last["parameters"],
    "seconds": last["wall_seconds"],
    "dataset": last["dataset"],
    "curve": curve,
    "clock": clock,
    "course": course,
    **{name: parts.get(name) for name in PARTS},
    "measured": more and more["measured"],
  }


def say(line: Mapping[str, Any]) -> str:
  """A run's line in few words."""
  if line["status"] == "diverged":
    return f"diverged at step {line['diverged_step']:,}"
  test = line["test"]
  return (
    f"test mse {number(test['mse'])}, {test['exact_accuracy']:.1%} exact, "
    f"{line['seconds']:,.0f} s"
  )


def write(
  study: Study, lines: Lines, runs: Sequence[Run], workdir: epath.Path
) -> str:
  """Rewrites what a study leaves, each file whole.

  Args:
    study: The study.
    lines: Of the runs that have come to their end.
    runs: All of them.
    workdir: The study's folder. If it has a rates.json, that says how many
      sequences a second a variant trains on.

  Returns:
    The table.
  """
  rates = run_files.read_json(workdir / RATES) or {}
  lines = [
    line | {"sequences_per_second": rates[line["variant"]]}
    if line["variant"] in rates
    else line
    for line in lines
  ]
  text = "".join(json.dumps(files.to_json(line)) + "\n" for line in lines)
  files.write_atomically(workdir / "results.jsonl", text)
  table = write_table(study.question, lines, len(runs))
  if study.conclude and lines:
    table += "\n" + study.conclude(lines)
  files.write_atomically(workdir / "table.md", table)
  labelled = [
    line | {"variant": study.labels.get(line["variant"], line["variant"])}
    for line in lines
  ]
  for name in study.figures if lines else ():
    files.write_atomically(workdir / f"{name}.png", FIGURES[name](labelled))
  return table


def write_table(question: str, lines: Lines, runs: int) -> str:
  """The study as a Markdown table.

  Args:
    question: The study's.
    lines: Of the runs that have come to their end.
    runs: How many there are in all.
  """
  some = [
    name for name in SOME if any(name in x["test"] for x in finished(lines))
  ]
  titles = (
    *("variant", "mse", "mae", "exactly right", *map(_spell, some)),
    *("diverged", "parameters", "seconds", "sequences/s"),
  )
  rows = []
  for name, group in by_variant(lines).items():
    exact = 100 * tested(group, "exact_accuracy")
    lost = len(group) - len(finished(group))
    rows.append(
      [
        name,
        _cell(tested(group, "mse"), max),
        _cell(tested(group, "mae"), max),
        _cell(exact, min, "%"),
        *(_some_cell(group, name) for name in some),
        f"{lost} of {len(group)}",
        " or ".join(f"{n:,}" for n in _unique(group, "parameters")),
        f"{np.mean([line['seconds'] for line in group]):,.0f}",
        _rate(group),
      ]
    )
  data = " and ".join(_unique(lines, "dataset")) or "no"
  return "\n".join(
    [
      question,
      "",
      markdown(titles, rows),
      "",
      f"{len(lines)} of {runs} runs, tested on {data} digits. Mean ± standard "
      "deviation over the seeds that did not diverge (the worst of them); mean "
      "seconds of a run, all told; sequences a second, of training alone.",
      "",
    ]
  )


def _spell(name: str) -> str:
  return name.replace("_accuracy", "s right").replace("_", " ")


def _some_cell(group: Lines, name: str) -> str:
  """The cell of a metric that some runs have."""
  runs = [line for line in group if name in (line["test"] or {})]
  if "accuracy" in name:
    return _cell(100 * tested(runs, name), min, "%")
  return _cell(tested(runs, name), max)


def _unique(lines: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
  return list(dict.fromkeys(line[key] for line in lines))


def _rate(group: Lines) -> str:
  found = [x["sequences_per_second"] for x in finished(group)]
  return f"{np.mean(found):,.0f}" if found else "none"


def _cell(values: np.ndarray, worst: Any, unit: str = "") -> str:
  """Mean, deviation (of a sample: N - 1 below the line) and worst."""
  if not values.size:
    return "none"
  said = f"{number(values.mean())}{unit}"
  if values.size > 1:
    deviation = number(values.std(ddof=1), 2)
    said += f" ± {deviation} ({number(worst(values))}{unit})"
  return said
