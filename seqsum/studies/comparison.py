"""Results of a study: results.jsonl, table.md and figures."""

import json
from collections.abc import Iterable, Mapping
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
from seqsum.training.scores import number

METRICS = ("loss", "mse", "mae", "exact_accuracy")
OPTIONAL_METRICS = ("mse_of_mean", "digit_accuracy")  # of some models
PARTS = ("by_length", "by_step", "by_target")  # of the test line
COURSE = ("mse", "encoded_rms", "gradient_norm")
RATES = "rates.json"  # of `throughput.measure`


def collect(run: Run) -> dict[str, Any] | None:
  """Reads a run's folder; returns its line of results.jsonl.

  Some of its keys:
    curve: [[sequences seen, validation mse], ...].
    clock: [[wall-clock seconds, validation exact accuracy], ...].
    course: [[step, training mse, rms of the encoder's output, norm of the
      gradient], ...], if config.log_norms.
    measured: What `plan.Study.measure` returned; measured_by tells its name.
    seconds: Wall-clock time of the whole run.
    sequences: Training sequences, until the run diverged if it did.

  Returns:
    None if the run neither finished nor diverged.
  """
  read = lambda name, shape: run_files.read_json(run.folder / name, shape)
  summary = read("summary.json", run_files.SUMMARY)
  end = read("diverged.json", run_files.DIVERGED)
  last = end if summary is None else summary
  if last is None:
    return None
  batch_size = run.config.batch_size
  history = read_lines(run.folder / "metrics.jsonl")
  validations = [line for line in history if line["split"] == "validation"]
  done = summary or {}  # a run that diverged has no results
  # Finite parameters may still predict inf or nan.
  is_finished = summary is not None and summary["test"]["mse"] is not None
  more = read("measured.json", run_files.MEASURED) or {}
  return {
    "variant": run.variant,
    "seed": run.seed,
    "overrides": run.overrides,
    "status": "finished" if is_finished else "diverged",
    "diverged_step": None if summary else last["step"],
    "test": summary and _metrics(summary["test"]),
    "validation": summary and _metrics(summary["validation"] or {}),
    "best_step": done.get("best_step"),
    "sequences": run.sequences if summary else last["step"] * batch_size,
    "sequences_per_second": done.get("sequences_per_second"),
    "guess_the_mean_mse": done.get("guess_the_mean_mse"),
    "parameters": last["parameters"],
    "seconds": last["wall_seconds"],
    "dataset": last["dataset"],
    "curve": [[line["step"] * batch_size, line["mse"]] for line in validations],
    "clock": [
      [line["seconds"], line["exact_accuracy"]] for line in validations
    ],
    "course": [
      [line["step"], *(line[name] for name in COURSE)]
      for line in history
      if COURSE[-1] in line
    ],
    **{name: done.get("test", {}).get(name) for name in PARTS},
    "measured": more.get("measured"),
    "measured_by": more.get("by"),
  }


def _metrics(line: Mapping[str, Any]) -> dict[str, Any]:
  """The metrics of a line of metrics.jsonl, without those by length or step."""
  optional = [name for name in OPTIONAL_METRICS if name in line]
  return {name: line.get(name) for name in (*METRICS, *optional)}


def describe(line: Mapping[str, Any]) -> str:
  """Returns a run's result in one line."""
  if line["status"] == "diverged":
    return f"diverged at step {line['diverged_step']:,}"
  test = line["test"]
  return (
    f"test mse {number(test['mse'])}, {test['exact_accuracy']:.1%} exact, "
    f"{line['seconds']:,.0f} s"
  )


def write(study: Study, lines: Lines, runs: int, workdir: epath.Path) -> str:
  """Writes results.jsonl, table.md and figures, each atomically.

  Args:
    lines: Lines of the runs that finished or diverged.
    runs: Number of all runs.
    workdir: The study's folder. If it has a rates.json, that replaces the
      sequences per second of the runs.

  Returns:
    The table.
  """
  rates = run_files.read_json(workdir / RATES) or {}
  rate = lambda x: rates.get(x["variant"], x["sequences_per_second"])
  lines = [line | {"sequences_per_second": rate(line)} for line in lines]
  text = "".join(json.dumps(files.to_json(line)) + "\n" for line in lines)
  files.write_atomically(workdir / "results.jsonl", text)
  table = write_table(study.question, lines, runs)
  if study.conclude and lines:
    table += "\n" + study.conclude(lines)
  files.write_atomically(workdir / "table.md", table)
  names = study.display_names
  renamed = [
    line | {"variant": names.get(line["variant"], line["variant"])}
    for line in lines
  ]
  for name in study.figures if lines else ():
    files.write_atomically(workdir / f"{name}.png", FIGURES[name](renamed))
  return table


def write_table(question: str, lines: Lines, runs: int) -> str:
  """Returns the table of a study, as Markdown; see `write`."""
  optional = [
    name
    for name in OPTIONAL_METRICS
    if any(name in x["test"] for x in finished(lines))
  ]
  titles = (
    *("variant", "mse", "mae", "exactly right", *map(_title, optional)),
    *("diverged", "parameters", "seconds", "sequences/s"),
  )
  rows = []
  for name, group in by_variant(lines).items():
    diverged = len(group) - len(finished(group))
    rows.append(
      [
        name,
        *(_cell(group, x) for x in ("mse", "mae", "exact_accuracy", *optional)),
        f"{diverged} of {len(group)}",
        " or ".join(f"{n:,}" for n in _unique(group, "parameters")),
        f"{np.mean([line['seconds'] for line in group]):,.0f}",
        _rate(group),
      ]
    )
  data = " and ".join(_unique(lines, "dataset")) or "no"
  if ":" not in data:  # else files of sequences
    data += " digits"
  return "\n".join(
    [
      question,
      "",
      markdown(titles, rows),
      "",
      f"{len(lines)} of {runs} runs, tested on {data}. Mean ± standard "
      "deviation over the seeds that did not diverge (the worst seed); mean "
      "wall-clock seconds of a run; sequences per second while training.",
      "",
    ]
  )


def _title(name: str) -> str:
  return name.replace("_accuracy", "s right").replace("_", " ")


def _unique(lines: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
  return list(dict.fromkeys(line[key] for line in lines))


def _rate(group: Lines) -> str:
  found = [x["sequences_per_second"] for x in finished(group)]
  return f"{np.mean(found):,.0f}" if found else "none"


def _cell(group: Lines, name: str) -> str:
  """Mean, sample standard deviation and worst value of a test metric."""
  values = tested([x for x in group if name in (x["test"] or {})], name)
  unit, worst = "", np.max
  if "accuracy" in name:
    values, unit, worst = 100 * values, "%", np.min
  if not values.size:
    return "none"
  text = f"{number(values.mean())}{unit}"
  if values.size > 1:
    deviation = number(values.std(ddof=1), 2)
    text += f" ± {deviation} ({number(worst(values))}{unit})"
  return text
