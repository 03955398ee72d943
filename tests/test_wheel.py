"""A wheel, installed without its repository, runs from any folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest
from short_runs import QUICK, ROOT

pytestmark = pytest.mark.slow
FILES = (
  "pyproject.toml",
  "README.md",
  "LICENSE",
  "seqsum",
  "configs",
)


def call(*command, cwd, **env):
  kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
  done = subprocess.run(
    command,
    cwd=cwd,
    env=kept | env,
    capture_output=True,
    text=True,
    timeout=300,
  )
  assert done.returncode == 0, done.stdout + done.stderr
  return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
  folder = tmp_path_factory.mktemp("wheel")
  source = folder / "source"  # the build writes here
  source.mkdir()
  ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
  for name in FILES:
    if (ROOT / name).is_dir():
      shutil.copytree(ROOT / name, source / name, ignore=ignore)
    else:
      shutil.copy(ROOT / name, source)
  build = "import setuptools.build_meta as b; b.build_wheel('..')"
  call(sys.executable, "-c", build, cwd=source)
  shutil.rmtree(source)
  (path,) = folder.glob("*.whl")
  return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
  """bin/ of a new environment, which also finds this one's packages."""
  folder = tmp_path_factory.mktemp("venv")
  call(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
  base = {"base": str(folder), "platbase": str(folder)}
  site = sysconfig.get_path("purelib", scheme="venv", vars=base)
  # A .pth file adds folders without processing their .pth files, one of which
  # may lead to this checkout.
  paths = {sysconfig.get_path(x) for x in ("purelib", "platlib")}
  with open(os.path.join(site, "others.pth"), "w") as file:
    file.write("\n".join(sorted(paths)))
  python = folder / "bin" / "python"
  flags = "--quiet", "--no-deps", "--no-index", "--ignore-installed"
  pip = sys.executable, "-m", "pip", "--python", python, "install", *flags
  call(*pip, wheel, cwd=folder)
  return folder / "bin"


def test_wheel_contains_every_config(wheel):
  names = set(zipfile.ZipFile(wheel).namelist())
  configs = {
    f"seqsum/{path.relative_to(ROOT).as_posix()}"
    for path in (ROOT / "configs").rglob("*.py")
  }
  assert configs < names
  top = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
  assert top == {"seqsum"}


def test_wheel_contains_every_file_of_the_package(wheel):
  names = set(zipfile.ZipFile(wheel).namelist())
  files = {
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "seqsum").rglob("*")
    if path.is_file() and "__pycache__" not in path.parts
  }
  assert files < names


def test_run_from_another_folder(installed, tmp_path):
  flags = [flag for flag in QUICK if not flag.startswith("--config=")]
  cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
  assert call(
    installed / "python",
    "-c",
    "import seqsum; print(seqsum.__file__)",
    cwd=tmp_path,
  ).startswith(str(installed.parent))

  call(installed / "seqsum", "--config=sum_tiny", *flags, cwd=tmp_path, **cache)
  summary = json.loads((tmp_path / "runs/sum_tiny/summary.json").read_text())
  assert summary["dataset"] == "digits"
  assert (tmp_path / "runs/sum_tiny/report/index.html").stat().st_size > 1000

  # A config file of a checkout, from a folder outside it.
  shutil.copytree(ROOT / "configs", tmp_path / "checkout" / "configs")
  (tmp_path / "elsewhere").mkdir()
  out = call(
    installed / "python",
    "-m",
    "seqsum.main",
    f"--config={tmp_path}/checkout/configs/sum_tiny.py",
    f"--workdir={tmp_path}/runs/sum_tiny",
    *flags,
    "--eval_only",
    cwd=tmp_path / "elsewhere",
    **cache,
  )
  assert json.loads(out)["mse"] == summary["test"]["mse"]


def test_list_configs_and_studies_from_another_folder(installed, tmp_path):
  listed = call(installed / "seqsum", "--list_configs", cwd=tmp_path)
  lines = dict(line.split(None, 1) for line in listed.splitlines())
  assert len(lines) > 25
  assert lines["studies/loss"] == "Which loss is best?"
  study = installed / "python", "-m", "seqsum.study", "--print_commands"
  # One run of each of five losses with three seeds.
  commands = call(*study, "--study=loss", cwd=tmp_path).splitlines()
  assert len(commands) == 15
  # One that imports from configs.beyond.
  commands = call(*study, "--study=beyond/sum4_few", cwd=tmp_path).splitlines()
  assert len(commands) >= 1
  assert all("seqsum/configs/beyond/sum4_few.py" in x for x in commands)
