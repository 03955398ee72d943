"""Config files found by name, and imported from any folder."""

import os
import shutil
import subprocess
import sys

import pytest
from absl import flags
from short_runs import ROOT

from seqsum.runtime import cli, config_files
from seqsum.runtime.errors import InputError

CONFIGS = ROOT / "configs"


@pytest.mark.parametrize(
  ("flag", "value", "path"),
  [
    ("config", "sum_tiny", "sum_tiny.py"),
    ("config", "beyond/sum8", "beyond/sum8.py"),
    ("config", "configs/studies/loss.py", "studies/loss.py"),
    ("config", "configs/sum_tiny.py", "sum_tiny.py"),
    ("config", "configs/sum_tiny", "sum_tiny.py"),
    ("study", "loss", "studies/loss.py"),
    ("study", "length", "studies/length.py"),
    ("study", "beyond/length", "beyond/length.py"),
    ("study", "configs/studies/loss.py", "studies/loss.py"),
  ],
)
def test_a_name_is_found_from_any_folder(
  flag, value, path, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  assert config_files.find(flag, value) == str(CONFIGS / path)


def test_a_file_of_the_working_directory_comes_first(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "configs").mkdir()
  for name in ("configs/sum_tiny.py", "own.py", "noending"):
    (tmp_path / name).write_text("")
    assert config_files.find("config", name) == name
  # seqsum's names come before files without an ending.
  (tmp_path / "sum_tiny").write_text("")
  found = config_files.find("config", "sum_tiny")
  assert found == str(CONFIGS / "sum_tiny.py")


@pytest.mark.parametrize(
  ("flag", "value", "words"),
  [
    ("config", "sum_tny", "did you mean 'sum_tiny'"),
    ("config", "loss", "there is no such file"),
    ("config", "", "--config=: there is no such file"),
    ("study", "los", "--list_configs lists"),
    ("config", "configs/none.py", "--config=configs/none.py: there is no"),
    ("config", "../configs/sum_tiny.py", "there is no such file"),
    ("config", "sum_tiny.py", "did you mean 'sum_tiny'"),
  ],
)
def test_missing_files_are_one_line(flag, value, words, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(InputError) as error:
    config_files.find(flag, value)
  assert words in str(error.value)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", ["studies/loss", "configs/studies/loss"])
def test_the_name_of_a_study_is_no_config(value, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(
    InputError, match=r"use python -m seqsum\.study --study=loss"
  ):
    config_files.find("config", value)


def test_the_list_has_each_file_and_its_first_line():
  listed = dict(x.split(None, 1) for x in config_files.describe().splitlines())
  files = [p for p in CONFIGS.rglob("*.py") if p.stem != "__init__"]
  assert len(listed) == len(files) > 25
  for path in files:
    name = path.relative_to(CONFIGS).with_suffix("").as_posix()
    first = path.read_text().split('"""')[1].splitlines()[0]
    assert listed[name] == first != ""
  assert listed["sum_tiny"].startswith("The sum in under a minute")


def test_a_missing_flag_is_an_error_with_the_list():
  words = str(config_files.missing("config", "sum_tiny"))
  assert words.startswith("--config is missing: try --config=sum_tiny")
  assert "product, running_sum, sum, sum_small," in words
  assert "--list_configs" in words
  words = str(config_files.missing("study", "tiny"))
  assert words.startswith("--study is missing: try --study=tiny")
  assert "length, loss, operation" in words


def test_names_are_found_in_both_forms_of_a_flag(monkeypatch):
  tiny = str(CONFIGS / "sum_tiny.py")
  monkeypatch.setattr(flags, "FLAGS", {"config": None})
  for given in (["--config=sum_tiny"], ["-config", "sum_tiny"]):
    argv = ["seqsum", "1.png", *given, "--config.seed=1"]
    assert cli.find_config_files(argv) == [
      "seqsum",
      "1.png",
      f"--config={tiny}",
      "--config.seed=1",
    ]


# Prints a value of configs/sum.py, and where `configs` was imported from.
LOAD = """if True:
  import runpy, sys
  from seqsum.runtime import config_files
  config = runpy.run_path(config_files.find("config", sys.argv[1]))
  import configs
  print(config["get_config"]().eval_batch_size, configs.__file__)
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
  """A folder for PYTHONPATH with seqsum as the wheel installs it."""
  folder = tmp_path_factory.mktemp("site-packages")
  ignore = shutil.ignore_patterns("__pycache__")
  shutil.copytree(ROOT / "seqsum", folder / "seqsum", ignore=ignore)
  shutil.copytree(CONFIGS, folder / "seqsum" / "configs", ignore=ignore)
  return folder


def load(value, cwd, installed):
  done = subprocess.run(
    [sys.executable, "-c", LOAD, value],
    cwd=cwd,
    env=os.environ | {"PYTHONPATH": str(installed)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  value, file = done.stdout.split()
  return int(value), file


def other_configs(folder, value):
  """Writes a folder of configs whose sum.py has another value."""
  shutil.copytree(CONFIGS, folder)
  text = (folder / "sum.py").read_text()
  assert "eval_batch_size = 200" in text
  text = text.replace("batch_size = 200", f"batch_size = {value}")
  (folder / "sum.py").write_text(text)


def test_a_name_is_found_in_the_wheel(installed, tmp_path):
  home = installed / "seqsum" / "configs" / "__init__.py"
  assert load("sum_small", tmp_path, installed) == (200, str(home))


def test_a_file_imports_its_own_package(installed, tmp_path):
  """Not `configs` of the working directory, nor of seqsum."""
  other_configs(tmp_path / "one" / "configs", 11)
  other_configs(tmp_path / "two" / "configs", 22)
  value = str(tmp_path / "two" / "configs" / "sum_small.py")
  assert load(value, tmp_path / "one", installed) == (
    22,
    str(tmp_path / "two" / "configs" / "__init__.py"),
  )


@pytest.mark.parametrize("namespace", [False, True])
def test_a_file_without_a_package_imports_seqsums(
  installed, tmp_path, namespace
):
  if namespace:  # a folder of that name that is not a package
    (tmp_path / "configs").mkdir()
  name = "configs/mine.py" if namespace else "mine.py"
  (tmp_path / name).write_text("from configs.sum import get_config\n")
  home = installed / "seqsum" / "configs" / "__init__.py"
  assert load(name, tmp_path, installed) == (200, str(home))


def test_an_import_that_fails_is_one_line():
  with pytest.raises(InputError) as error, cli.flag_errors():
    from configs.sum import nothing  # noqa: F401
  assert str(error.value).startswith("a config file's import failed: cannot")
  assert "\n" not in str(error.value)


def test_a_study_whose_import_fails_is_one_line(tmp_path):
  from seqsum.studies import plan

  path = tmp_path / "study.py"
  path.write_text("from configs.sum import nothing\n")
  with pytest.raises(
    InputError, match=r"study.py: cannot be read \(cannot import"
  ):
    plan.load(path)
