"""A file imports only from floors below its own."""

import ast
import pathlib

import seqsum

FLOORS = (
  {"allocator", "errors", "launchers", "shapes", "stopping", "streams"},
  {"bucket", "config_files"},
  {"run_files"},
  {
    "array_cache",
    "attribution",
    "augment",
    "cluster",
    "folder",
    "hdf5",
    "idx",
    "keyshots",
    "mesh",
    "metrics",
    "natural_order",
    "normalize",
    "npz",
    "packing",
    "permutation",
    "pixels",
    "rank_correlation",
    "tasks",
  },
  {
    "batches",
    "board",
    "cells",
    "contents",
    "distribution",
    "lock",
    "machine",
    "mnist",
    "optdigits",
    "scales",
    "scenes",
    "targets",
  },
  {
    "filter_similarity",
    "fixed",
    "given",
    "long_sum",
    "saving",
    "tfds_images",
    "weights",
  },
  {
    "checkpoint",
    "convolution",
    "cores",
    "digits",
    "figures",
    "images",
    "losses",
    "optimizers",
    "page",
    "pooling",
    "progress",
    "sequences",
    "writer",
  },
  {
    "clips",
    "command",
    "eccv16",
    "encoder",
    "error_charts",
    "learning_chart",
    "schedule",
    "study_charts",
    "summary_chart",
  },
  {
    "clip_folder",
    "film",
    "flow",
    "model",
    "question_tables",
    "recorded",
    "videos",
  },
  {
    "divergence_study",
    "network",
    "reading_chart",
    "recipe",
    "recordings",
    "report",
  },
  {"question_charts"},
  {"step"},
  {"parallel", "reading"},
  {"evaluate", "experiment"},
  {"splits"},
  {"session"},
  {"overview", "plan", "results", "trackers", "trained"},
  {
    "comparison",
    "divergence",
    "drawing",
    "judging",
    "probes",
    "rates",
    "sharing",
  },
  {"train"},
  {"demo", "export", "importance", "main", "predict", "study"},
)
FILES = sorted(pathlib.Path(seqsum.__file__).parent.glob("*.py"))


def imports(path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.ImportFrom) and node.module == "seqsum":
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
      first, _, rest = node.module.partition(".")
      if first == "seqsum":
        yield rest
    elif isinstance(node, ast.Import):
      for alias in node.names:
        if alias.name.startswith("seqsum."):
          yield alias.name.removeprefix("seqsum.")


def test_every_file_has_a_floor():
  names = [path.stem for path in FILES if not path.stem.startswith("__")]
  assert sorted(names) == sorted(name for floor in FLOORS for name in floor)


def test_imports_go_down():
  floor = {name: i for i, names in enumerate(FLOORS) for name in names}
  wrong = [
    (path.stem, name)
    for path in FILES
    if path.stem in floor
    for name in imports(path)
    if floor[name] >= floor[path.stem]
  ]
  assert not wrong
