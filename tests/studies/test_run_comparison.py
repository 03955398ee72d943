"""Runs side by side: differences, intervals, unfinished and damaged runs."""

import json
import math
import shutil

import numpy as np
import pytest
from PIL import Image
from short_runs import ROOT, line

from seqsum.runtime.errors import InputError
from seqsum.studies import intervals, run_charts, run_comparison

PRETRAINED = ROOT / "seqsum" / "pretrained"


def make(folder, *, finished=True, steps=(10, 20), **fields):
  """A run's folder without checkpoints; returns it."""
  folder.mkdir(parents=True)
  content = json.loads((PRETRAINED / "config.json").read_text())
  for name, value in fields.items():
    section, _, field = name.rpartition("__")
    (content["config"][section] if section else content["config"])[field] = (
      value
    )
  (folder / "config.json").write_text(json.dumps(content))
  history = [line(n, "validation", mse=1 / n) for n in steps]
  (folder / "metrics.jsonl").write_text(
    "".join(json.dumps(x) + "\n" for x in history)
  )
  if finished:
    shutil.copy(PRETRAINED / "summary.json", folder)
  return folder


def rows(found):
  return {name: values for name, *values in found}


def test_only_what_differs_is_in_the_table(tmp_path):
  runs = run_comparison.read_runs(
    [
      make(tmp_path / "one", data__manual_dir="/home/someone"),
      make(tmp_path / "two", optimizer__learning_rate=0.005, batch_size=16),
    ]
  )
  assert rows(run_comparison.difference_rows(runs)) == {
    "batch_size": ["32", "16"],
    "optimizer.learning_rate": ["0.002", "0.005"],
  }
  assert "someone" not in run_comparison.describe(runs)


def test_equal_runs_have_no_differences(tmp_path):
  runs = run_comparison.read_runs([make(tmp_path / "a"), make(tmp_path / "b")])
  assert "equal configs" in run_comparison.describe(runs)


def test_results_have_intervals_steps_and_seconds():
  (run,) = run_comparison.read_runs([PRETRAINED])
  found = rows(run_comparison.result_rows([run]))
  assert found["test exact"] == ["98.85% (98.62% to 99.04%)"]
  assert found["test sequences"] == ["10,000"]
  assert found["steps"] == ["37,500"]
  assert found["seconds in all"] == [f"{run.summary['wall_seconds']:,.0f}"]
  assert found["test mse"][0].startswith("0.22 (0.1")


@pytest.mark.parametrize(
  ("share", "count", "low", "high"),
  [  # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    (81 / 263, 263, 0.2553, 0.3662),
    (15 / 148, 148, 0.0624, 0.1605),
    (0 / 20, 20, 0.0, 0.1611),
    (1 / 29, 29, 0.0061, 0.1718),
  ],
)
def test_wilson_intervals_are_the_published_ones(share, count, low, high):
  found = intervals.wilson(share, count)
  np.testing.assert_allclose(found, (low, high), atol=5e-5)


def test_mse_interval_covers_the_mean_of_heavy_tailed_errors():
  random, covered, tries = np.random.default_rng(0), 0, 400
  for _ in range(tries):  # the mean of an exponential distribution is 1
    target, error = random.integers(0, 20, 800), random.exponential(size=800)
    groups = {
      str(t): {"count": int((target == t).sum()), "mse": error[target == t]}
      for t in range(20)
    }
    for group in groups.values():
      group["mse"] = float(group["mse"].mean())
    test = {"mse": float(error.mean()), "by_target": groups}
    low, high = intervals.mse_interval(test)
    covered += low <= 1 <= high
  assert 0.92 <= covered / tries <= 0.98


@pytest.mark.parametrize(
  "test",
  [
    {"mse": 1.0},
    {"mse": 1.0, "by_target": {"0": {"mse": 1.0, "count": 9}}},
    {
      "mse": None,
      "by_target": {str(n): {"mse": 1, "count": 9} for n in "a" * 9},
    },
    {
      "mse": 1.0,
      "by_target": {str(n): {"mse": None, "count": 9} for n in range(9)},
    },
  ],
)
def test_mse_without_enough_targets_has_no_interval(test):
  assert intervals.mse_interval(test) is None


def test_unfinished_and_diverged_runs_are_used_as_far_as_they_go(tmp_path):
  half = make(tmp_path / "half", finished=False)
  lost = make(tmp_path / "lost", finished=False)
  end = {"step": 25, "checkpoint": 20, "parameters": 7, "dataset": "digits"}
  (lost / "diverged.json").write_text(json.dumps(end | {"wall_seconds": 5.0}))
  runs = run_comparison.read_runs([PRETRAINED, half, lost])
  found = rows(run_comparison.result_rows(runs))
  assert found["status"] == ["finished", "not finished", "diverged at step 25"]
  assert found["steps"] == ["37,500", "20", "25"]
  assert found["seconds in all"][1:] == ["20", "5"]
  assert found["test exact"][1:] == ["none", "none"]
  assert found["last validation mse"] == ["none", "0.05", "0.05"]
  text = run_comparison.describe(runs)
  assert "without test metrics: half." in text
  assert "not in the figure: pretrained." in text


@pytest.mark.parametrize(
  ("field", "value", "words"),
  [
    ("task__name", "product", "different tasks"),
    ("sequence__max_len", 6, "same sequences: sequence.max_len differ"),
  ],
)
def test_incomparable_runs_are_named(tmp_path, field, value, words):
  folders = make(tmp_path / "a"), make(tmp_path / "b", **{field: value})
  text = run_comparison.describe(run_comparison.read_runs(folders))
  assert words in text


def test_names_are_the_shortest_distinct_ends_of_paths(tmp_path):
  folders = [make(tmp_path / x) for x in ("a/run", "b/run")]
  runs = run_comparison.read_runs(folders)
  assert [run.name for run in runs] == ["a/run", "b/run"]


def test_names_and_values_stay_in_their_cell(tmp_path):
  folders = make(tmp_path / "a|b\nc"), make(tmp_path / "d", data__name="x|y\n")
  text = run_comparison.describe(run_comparison.read_runs(folders))
  table = [row for row in text.splitlines() if row.startswith("|")]
  assert {row.replace("\\|", "").count("|") for row in table} == {4}


def test_a_run_named_twice_is_refused(tmp_path):
  folder = make(tmp_path / "run")
  with pytest.raises(InputError, match="is named twice"):
    run_comparison.read_runs([folder, f"{folder}/"])


def test_chart_has_a_curve_and_a_name_for_each_run(tmp_path):
  folders = [make(tmp_path / f"_run{n}$", steps=(n, 9)) for n in range(1, 9)]
  half = make(tmp_path / "half", finished=False)
  runs = run_comparison.read_runs([*folders, half, PRETRAINED])
  figure = run_charts.learning.figure(runs)
  error, exact = figure.axes
  assert len(error.lines) == len(exact.lines) == 9  # one has no validations
  looks = {(x.get_color(), x.get_linestyle()) for x in error.lines}
  assert len(looks) == 9
  names = [text.get_text() for text in figure.legends[0].get_texts()]
  assert len(names) == 9
  assert names[-1] == "half\nnot finished"
  x, y = error.lines[0].get_data()
  np.testing.assert_allclose((x, y), ([0.032, 0.288], [1, 1 / 9]))
  assert "thousands" in exact.get_xlabel()
  boxes = [t.get_window_extent() for t in figure.legends[0].get_texts()]
  boxes += [axes.get_tightbbox() for axes in figure.axes]
  for n, box in enumerate(boxes):
    assert not any(box.overlaps(other) for other in boxes[:n])
    assert box.x0 >= 0
    assert box.x1 <= math.ceil(figure.bbox.x1)


@pytest.mark.slow
def test_the_command_writes_a_page_and_a_picture(run, tmp_path):
  folder, out = (
    make(tmp_path / "other", optimizer__ema_decay=0.9),
    tmp_path / "o",
  )
  flags = str(PRETRAINED), str(folder), f"--out={out}"
  done = run(*flags, program="seqsum.compare")
  assert done.returncode == 0, done.stderr
  page = (out / "compare.md").read_text()
  text, _, _ = page.rpartition("\n![")
  assert done.stdout.startswith(text)
  assert "| optimizer.ema_decay" in text
  with Image.open(out / "compare.png") as image:
    assert image.width == 1000


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ([], "two or more runs"),
    ([str(PRETRAINED)], "two or more runs"),
    ([str(PRETRAINED), "nowhere"], "nowhere: no run is there"),
    ([str(PRETRAINED), "s3://bucket/run"], "s3:// is not supported"),
  ],
)
def test_bad_input_is_one_line(run, tmp_path, arguments, words):
  done = run(*arguments, cwd=tmp_path, program="seqsum.compare")
  assert done.returncode == 1
  (complaint,) = done.stderr.splitlines()
  assert words in complaint
  assert not list(tmp_path.iterdir())


def test_a_damaged_file_is_one_line(tmp_path):
  folder = make(tmp_path / "run")
  (folder / "metrics.jsonl").write_text("{]\n")
  with pytest.raises(InputError, match=r"metrics\.jsonl: line 1 is not JSON"):
    run_comparison.read_runs([PRETRAINED, folder])
