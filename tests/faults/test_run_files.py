"""Damaged files of a run: one line with the remedy; nothing is deleted."""

import json
import os
import shutil

import pytest
from etils import epath
from short_runs import line

from seqsum import train
from seqsum.inference import trained
from seqsum.runs.session import open_session
from seqsum.runs.writer import MetricsWriter
from seqsum.runtime.errors import InputError
from seqsum.runtime.signals import StopRequest
from seqsum.studies import comparison
from seqsum.studies.plan import Run

FILES = ("config.json", "summary.json", "diverged.json", "metrics.jsonl")
SUMMARY = {
  "test": line(40, "test"),
  "validation": line(40, "validation"),
  "best_step": 40,
  "parameters": 1000,
  "dataset": "digits",
  "sequences": 320,
  "wall_seconds": 2.0,
  "sequences_per_second": 160.0,
  "guess_the_mean_mse": 60.0,
  "references": {},
}
DIVERGED = {
  "step": 7,
  "checkpoint": 5,
  "parameters": 1000,
  "dataset": "digits",
  "wall_seconds": 2.0,
}


def config():
  from configs.sum_tiny import get_config

  return get_config()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
  """A run's folder with all files except checkpoints."""
  folder = tmp_path_factory.mktemp("good") / "run"
  with open_session(config(), folder):
    pass
  (folder / "summary.json").write_text(json.dumps(SUMMARY))
  (folder / "diverged.json").write_text(json.dumps(DIVERGED))
  text = "".join(json.dumps(line(step)) + "\n" for step in (4, 8, 12))
  (folder / "metrics.jsonl").write_text(text)
  return folder


@pytest.fixture
def folder(good, tmp_path):
  return shutil.copytree(good, tmp_path / "run")


def change(path, **values):
  *lines, last = path.read_text().splitlines()
  text = "\n".join(lines + [last]) if path.suffix == ".json" else last
  changed = json.loads(text) | values
  for key in [key for key, value in changed.items() if value is KEY_GONE]:
    del changed[key]
  path.write_text("".join(x + "\n" for x in [*lines, json.dumps(changed)]))
  if path.suffix == ".json":
    path.write_text(json.dumps(changed))


KEY_GONE = object()
FIRST = {  # a required key
  "config.json": "dataset",
  "summary.json": "test",
  "diverged.json": "step",
  "metrics.jsonl": "step",
}


def in_place(make):
  def damage(path):
    path.unlink()
    make(path)

  return damage


# How a file is damaged, and what the message must contain.
DAMAGES = {
  "emptied": (lambda path: path.write_bytes(b""), "it is empty"),
  "cut off": (
    lambda path: path.write_bytes(path.read_bytes()[:40] + b"\n"),
    "is not JSON: ",
  ),
  "a list": (lambda path: path.write_text("[1]\n"), "JSON list, not an object"),
  "not UTF-8": (
    lambda path: path.write_bytes(path.read_bytes()[:9] + b"\xff\n"),
    "byte 9 is not UTF-8 text",
  ),
  "a byte order mark": (
    lambda path: path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes()),
    "begins with a byte order mark",
  ),
  "nested": (
    lambda path: path.write_text(100_000 * "[" + "\n"),
    "nested too deeply",
  ),
  "nested less": (
    lambda path: path.write_text('{"a":' + 900 * "[" + 900 * "]" + "}\n"),
    "nested too deeply",
  ),
  "NaN": (
    lambda path: path.write_text('{"a": NaN}\n'),
    "NaN is not a JSON value",
  ),
  "zeros": (lambda path: path.write_bytes(bytes(512) + b"\n"), "is not JSON: "),
  "a key missing": (
    lambda path: change(path, **{FIRST[path.name]: KEY_GONE}),
    "has no '{key}'",
  ),
  "another type": (
    lambda path: change(path, **{FIRST[path.name]: "a string"}),
    'has {key}="a string", expected ',
  ),
  "a FIFO": (in_place(os.mkfifo), "is not a regular file"),
  "a folder": (in_place(os.mkdir), "cannot be read (Is a directory)"),
}


def run_of(folder):
  return Run("x", 0, {}, config(), 100, epath.Path(folder))


def train_again(folder):
  train.train_and_evaluate(config(), folder, StopRequest())


# The functions that read each file for the commands.
READERS = {
  # main, main --eval_only and study; predict, demo, export and importance
  "config.json": (lambda x: open_session(config(), x), trained.load),
  "summary.json": (train_again, lambda x: comparison.collect(run_of(x))),
  "diverged.json": (train_again, lambda x: comparison.collect(run_of(x))),
  "metrics.jsonl": (
    lambda x: MetricsWriter(epath.Path(x)),
    trained.load,
    lambda x: comparison.collect(run_of(x)),
  ),
}


def content(folder):
  return {
    path.name: path.read_bytes() if path.is_file() else path.lstat().st_mode
    for path in folder.iterdir()
    if path.name != ".lock"
  }


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_reported_in_one_line(folder, name, damage):
  if (name, damage) == ("metrics.jsonl", "emptied"):
    return  # no lines yet
  if name == "diverged.json":
    (folder / "summary.json").unlink()
  path = folder / name
  spoil, words = DAMAGES[damage]
  spoil(path)
  before = content(folder)
  for read in READERS[name]:
    with pytest.raises(InputError) as caught:
      read(folder)
    message = str(caught.value)
    assert message.startswith(f"{path}: "), message
    assert "\n" not in message
    assert words.format(key=FIRST[name]) in message
    assert "move it away" in message or "restore it" in message
    assert before.items() <= content(folder).items()  # nothing is deleted


def test_a_damaged_line_is_reported_by_its_number(folder):
  change(folder / "metrics.jsonl", mse="low")
  with pytest.raises(InputError, match=r'line 3 has mse="low", expected a num'):
    MetricsWriter(epath.Path(folder))


@pytest.mark.parametrize(
  ("section", "value"),
  [
    ("model", 3),
    ("model", {}),
    ("epochs", "many"),
    ("epochs", -1),
    ("sequence", {"max_len": [1]}),
    ("optimizer", []),
  ],
)
def test_a_damaged_config_is_reported_in_one_line(folder, section, value):
  path = folder / "config.json"
  change(path, config=json.loads(path.read_text())["config"] | {section: value})
  with pytest.raises(InputError) as caught:
    trained.load(folder)
  message = str(caught.value)
  assert message.startswith(f"{path}: not a config of this version of seqsum: ")
  assert "\n" not in message
