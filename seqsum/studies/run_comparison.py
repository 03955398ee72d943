"""Runs side by side: what differs between their configs, and their results."""

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from etils import epath

from seqsum.runs import folder, run_files
from seqsum.runs.history import read_lines
from seqsum.runtime import files
from seqsum.runtime.errors import InputError
from seqsum.studies.intervals import (
  FEWEST_TARGETS,
  mse_interval,
  tested,
  wilson,
)
from seqsum.studies.question_tables import markdown
from seqsum.training.scores import number

TASK = ("data.kind", "task.name")  # fields of which metrics depend
TESTED = (  # fields that determine the test sequences
  *("data.name", "sequence.min_len", "sequence.max_len"),
  *("eval_sequences", "eval_batch_size"),
)


@dataclasses.dataclass(frozen=True)
class RunFiles:
  """What the files of a run's folder hold.

  Attributes:
    name: The shortest end of the folder's path that no other run has.
    facts: Dotted config fields, and those of `dataset`, `devices` and
      `versions`, without paths of the machine.
    history: Lines of metrics.jsonl, without the test line.
    summary: summary.json; None if the run is not finished.
    diverged: diverged.json; None if the run did not diverge.
  """

  name: str
  facts: dict[str, Any]
  history: list[dict[str, Any]]
  summary: dict[str, Any] | None
  diverged: dict[str, Any] | None

  @property
  def test(self) -> dict[str, Any] | None:
    """The test line."""
    return self.summary and self.summary["test"]

  @property
  def status(self) -> str:
    """'finished', 'diverged at step N' or 'not finished'."""
    if self.summary is not None:
      return "finished"
    if self.diverged is not None:
      return f"diverged at step {self.diverged['step']:,}"
    return "not finished"

  @property
  def validations(self) -> list[dict[str, Any]]:
    return [line for line in self.history if line["split"] == "validation"]

  @property
  def step(self) -> int:
    """The last training step that a file has."""
    steps = [line["step"] for line in self.history]
    end = self.diverged or self.test or {"step": 0}
    return max([end["step"], *steps])

  @property
  def batch_size(self) -> int:
    return self.facts["batch_size"]

  @property
  def sequences(self) -> int:
    """Training sequences until `step`."""
    return self.step * self.batch_size


def read_runs(workdirs: Sequence[epath.PathLike]) -> list[RunFiles]:
  """Reads the folders of runs; the files are not changed.

  Raises:
    InputError: A folder has no run, is named twice, or a file is damaged.
  """
  paths = [files.absolute_path(path) for path in workdirs]
  for path in paths:
    if paths.count(path) > 1:
      raise InputError(f"{path} is named twice; name each run once")
  return [
    _read(path, name) for path, name in zip(paths, _names(paths), strict=True)
  ]


def _read(path: epath.Path, name: str) -> RunFiles:
  written = folder.read_config(path)
  facts = dict(files.flatten(written["config"]))
  for field in folder.MACHINE_FIELDS:
    facts.pop(field, None)
  if type(facts.get("batch_size")) is not int:
    raise InputError(
      f"{path / 'config.json'}: has no config.batch_size; "
      f"{run_files.REMEDIES['config.json']}"
    )
  for part in ("dataset", "devices", "versions"):
    if isinstance(written.get(part), dict):
      facts |= files.flatten(written[part], f"{part}.")
  lines = read_lines(path / "metrics.jsonl")
  return RunFiles(
    name,
    facts,
    [line for line in lines if line["split"] != "test"],
    run_files.read_json(path / "summary.json", run_files.SUMMARY),
    run_files.read_json(path / "diverged.json", run_files.DIVERGED),
  )


def _names(paths: Sequence[epath.Path]) -> list[str]:
  """The shortest end of each path that differs from those of the others."""
  for count in range(1, max(len(path.parts) for path in paths)):
    names = ["/".join(path.parts[-count:]) for path in paths]
    if len(set(names)) == len(names):
      return names
  return [os.fspath(path) for path in paths]


def describe(runs: Sequence[RunFiles]) -> str:
  """Tables of the differences and the results, and notes, as Markdown."""
  titles = ("", *(run.name for run in runs))
  differences = difference_rows(runs)
  parts = ["# " + " and ".join(_escape(run.name) for run in runs)]
  parts += ["## Differences"]
  if differences:
    parts += [_table(("field", *titles[1:]), differences)]
  else:
    parts += ["The runs have equal configs, data, devices and versions."]
  parts += ["## Results", _table(titles, result_rows(runs))]
  return "\n\n".join([*parts, *notes(runs)]) + "\n"


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """A Markdown table, padded so that it can be read in a terminal."""
  table = [[_escape(cell) for cell in row] for row in (titles, *rows)]
  widths = [max(map(len, column)) for column in zip(*table, strict=True)]
  head, *body = [
    [
      cell.rjust(width) if n else cell.ljust(width)
      for n, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    for row in table
  ]
  return markdown(head, body)


def _escape(text: str) -> str:
  """Text of a cell: names and values must not end it or the line."""
  text = " ".join(str(text).split()).replace("|", "\\|")
  return "".join(x if x.isprintable() else "?" for x in text)


def difference_rows(runs: Sequence[RunFiles]) -> list[list[str]]:
  """Rows (field, value of each run) of the facts that are not equal.

  An exported run has no devices, and older ones lack some of their fields;
  only values that are there are compared.
  """
  fields = dict.fromkeys(field for run in runs for field in run.facts)
  rows = []
  for field in fields:
    values = [_show(run.facts.get(field, "absent")) for run in runs]
    found = set(values)
    if field.startswith(("devices.", "versions.")):
      found -= {"absent"}
    if len(found) > 1:
      rows.append([field, *values])
  return rows


def _show(value: Any) -> str:
  if isinstance(value, float):
    return f"{value:g}" if value == float(f"{value:g}") else repr(value)
  text = "''" if value == "" else str(value)
  return text if len(text) <= 40 else f"{text[:28]}...{text[-9:]}"


def result_rows(runs: Sequence[RunFiles]) -> list[list[str]]:
  """Rows (name, value of each run) of the results; 'none' where unknown."""

  def row(name: str, show: Callable[[RunFiles], str | None]) -> list[str]:
    return [name, *(show(run) or "none" for run in runs)]

  def summed(name: str, key: str, show: Callable[[Any], str]) -> list[str]:
    values = [(run.summary or {}).get(key) for run in runs]
    return [name, *("none" if x is None else show(x) for x in values)]

  def of_test(name: str, show: Callable[[Any], str]) -> list[str]:
    lines = [run.test for run in runs]
    return [name, *("none" if x is None else show(x) for x in lines)]

  count, seconds = "{:,}".format, "{:,.0f}".format
  rows = [
    row("status", lambda run: run.status),
    summed("dataset", "dataset", str),
    of_test("test mse", _mse),
    of_test("test mae", lambda test: number(test["mae"])),
    of_test("test exact", _exact),
    of_test("test sequences", lambda test: count(tested(test))),
    summed("mse of guessing the mean", "guess_the_mean_mse", number),
    row("last validation mse", lambda run: _last(run, "mse")),
    row("last validation exact", lambda run: _last(run, "exact_accuracy")),
    summed("best step", "best_step", count),
    row("steps", lambda run: count(run.step)),
    row("training sequences", lambda run: count(run.sequences)),
    summed("parameters", "parameters", count),
    summed("seconds of training", "train_seconds", seconds),
    row("seconds in all", _seconds),
    summed("sequences/s", "sequences_per_second", seconds),
  ]
  return [row for row in rows if set(row[1:]) != {"none"}]


def _last(run: RunFiles, key: str) -> str | None:
  if not run.validations:
    return None
  value = run.validations[-1][key]
  if key == "mse" or value is None:
    return number(value)
  return f"{value:.2%}"


def _seconds(run: RunFiles) -> str | None:
  end = run.summary or run.diverged
  if end is not None:
    return f"{end['wall_seconds']:,.0f}"
  return f"{run.history[-1]['seconds']:,.0f}" if run.history else None


def _exact(test: Mapping[str, Any]) -> str:
  share, count = test["exact_accuracy"], tested(test)
  if share is None or not count:
    return number(share)
  low, high = wilson(share, count)
  return f"{share:.2%} ({low:.2%} to {high:.2%})"


def _mse(test: Mapping[str, Any]) -> str:
  text, interval = number(test["mse"]), mse_interval(test)
  if interval is None:
    return text
  return f"{text} ({number(interval[0])} to {number(interval[1])})"


def notes(runs: Sequence[RunFiles]) -> list[str]:
  """Paragraphs: which values are comparable, and how intervals are made."""
  found = []
  by_task = {tuple(run.facts.get(x) for x in TASK) for run in runs}
  if len(by_task) > 1:
    found.append(
      "The runs have different tasks: their mse, mae and exact accuracy "
      "measure different things."
    )
  elif len({tuple(run.facts.get(x) for x in TESTED) for run in runs}) > 1:
    found.append(
      "The runs were not tested on the same sequences: "
      + ", ".join(x for x in TESTED if len({r.facts.get(x) for r in runs}) > 1)
      + " differ."
    )
  if unfinished := [x.name for x in runs if x.status == "not finished"]:
    found.append(
      "Not finished, so without test metrics: " + ", ".join(unfinished) + "."
    )
  if lost := [x.name for x in runs if not x.validations]:
    found.append(
      "Without validation lines, so not in the figure: " + ", ".join(lost) + "."
    )
  if any(run.test for run in runs):
    found.append(
      "Parentheses: 95% intervals over the test sequences, for the exact "
      "sequences by Wilson's score, for mse from its values by target "
      f"(at least {FEWEST_TARGETS} of them; see docs/runs.md). They do not "
      "include the variation between seeds; for that, run a study "
      "(docs/studies.md)."
    )
  return found
