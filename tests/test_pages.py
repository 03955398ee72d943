"""The code blocks of the pages work.

Fast tests: bash splits every command of every block; its files, flags, config
and packages are checked. Slow tests: the blocks of each page run from top to
bottom, those labelled `hour` with smaller numbers. Commands that were not run
are printed after the tests (`conftest.py`).
"""

import ast
import importlib
import json
import os
import pathlib
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
import types

import films
import numpy as np
import pages
import pytest
from packaging.requirements import Requirement
from PIL import Image
from short_runs import ROOT

from seqsum.data import digits

BLOCKS = [block for page in pages.PAGES for block in pages.read(page)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# Limits blocks that read all MNIST images to a hundred, and loops to two.
SMALLER = """\
import builtins
from seqsum.data import digits

def first(*args, load=digits.load, **named):
  data = load(*args, **named)
  splits = (type(x)(*(y[:100] for y in x)) for x in (data.train, data.test))
  train, test = splits
  return type(data)(data.name, train, data.validation, test)

digits.load = first
range = lambda *args: builtins.range(*(min(x, 2) for x in args))
"""


def test_all_pages_are_listed():
  found = set(ROOT.glob("*.md")) | set((ROOT / "benchmarks").glob("*.md"))
  for folder in ("configs", "docs", "launch", "seqsum", "tests"):
    found |= set((ROOT / folder).rglob("*.md"))
  names = {str(path.relative_to(ROOT)) for path in found} - {"CHANGELOG.md"}
  assert names == set(pages.PAGES)


@pytest.mark.parametrize(
  ("text", "words"),
  [
    ("Do\n\n    python -m seqsum.main\n", "page.md:3: commands belong in a"),
    ("Do\n\n    import seqsum\n", "page.md:3: commands belong in a"),
    ("```bash\nls\n", "page.md:1: the fence has no end"),
    ("```\nls\n```\n", "page.md:1: '': choose from"),
    ("```bash hours\nls\n```\n", r"page.md:1: \['hours'\]: choose labels"),
    ("```text\npip install x\n```\n", "page.md:1: commands in a block of"),
    ("```text\n.venv/bin/python -m x\n```\n", "commands in a block of text"),
  ],
)
def test_invalid_block_is_refused(text, words):
  with pytest.raises(ValueError, match=words):
    pages.parse("page.md", text)


def test_indented_block_is_dedented():
  text = (
    "A\n\n- b\n\n  ```bash mnist hour\n  ls \\\n      x\n  ```\n\n    prose\n"
  )
  (block,) = pages.parse("page.md", text)
  assert block == ("page.md", 5, "bash", ("mnist", "hour"), "ls \\\n    x\n")


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
  """Block name, program and arguments of every command in a bash block."""
  folder = pages.clone(tmp_path_factory.mktemp("clone"))
  commands = []
  for block in BLOCKS:
    if block.language == "bash":
      done, found, _ = pages.run_bash(block, folder, False, {})
      assert not done.returncode, f"{block.name}: {done.stderr}"
      assert found, f"{block.name}: no command"
      commands += [(block.name, *each) for each in found]
  return commands


def seqsum_flags(command):
  """Yields module and arguments of seqsum's programs in a command."""
  program, *rest = command
  if program in pages.PYTHONS and rest[:1] == ["-m"]:
    if rest[1].startswith("seqsum."):
      yield rest[1:]
  elif program == "seqsum":
    yield ["seqsum.main", *rest]
  elif program == "sbatch":
    script = rest.index("launch/slurm.sbatch")
    if rest[script + 1] != "--commands":
      yield ["seqsum.main", *rest[script + 1 :]]
  elif program == "docker" and rest[0] == "run":
    (image,) = (n for n, x in enumerate(rest) if x.startswith("seqsum:"))
    yield ["seqsum.main", *rest[image + 1 :]]
  elif program == "sky":
    for variable in rest:
      if variable.startswith("ARGS="):
        yield ["seqsum.main", *shlex.split(variable[5:])]


def test_flags_and_configs_of_all_commands_are_valid(commands, tmp_path):
  requests = {}
  for where, *command in commands:
    for request in seqsum_flags(command):
      requests.setdefault(tuple(request), where)
  assert {module for module, *_ in requests} >= {
    "seqsum.main",
    "seqsum.study",
    "seqsum.predict",
    "seqsum.demo",
    "seqsum.export",
    "seqsum.importance",
  }
  clone = pages.clone(tmp_path)
  done = subprocess.run(
    [sys.executable, pages.__file__, "--read_flags"],
    input=json.dumps(list(requests)),
    cwd=clone,
    env=os.environ | {"PYTHONPATH": str(clone)},  # like `python -m`
    capture_output=True,
    text=True,
  )
  assert not done.returncode, done.stderr
  wrong = json.loads(done.stdout.splitlines()[-1])
  wrong = [
    f"{where}: {shlex.join(request)}: {why}"
    for (request, where), why in zip(requests.items(), wrong, strict=True)
    if why
  ]
  assert not wrong, "\n".join(wrong)


def test_flags_of_benchmarks_are_known(commands):
  found = [
    (where, rest[1], rest[2:])
    for where, program, *rest in commands
    if program in pages.PYTHONS
    and rest[:1] == ["-m"]
    and rest[1].startswith("benchmarks.")
  ]
  assert len(found) >= 8
  for where, module, arguments in found:
    try:
      importlib.import_module(module).parse(arguments)
    except SystemExit as error:
      raise AssertionError(f"{where}: {module} {arguments}") from error


def test_tests_named_in_commands_exist(commands):
  found = 0
  for where, program, *rest in commands:
    if program not in pages.PYTHONS:
      continue
    if rest[:2] == ["-m", "pytest"]:
      rest, names = rest[2:], []
      found += 1
      while rest:
        argument = rest.pop(0)
        if argument == "-k":
          names.append(rest.pop(0))
        elif argument in ("-m", "-n", "--dist"):
          rest.pop(0)
        elif argument != "-s":
          path = ROOT / argument
          assert path.exists(), f"{where}: {argument}"
          for name in names:
            assert re.search(rf"def test_\w*{name}", path.read_text()), where
    elif rest[:1] and rest[0].endswith(".py"):
      assert (ROOT / rest[0]).exists(), f"{where}: {rest[0]}"
      found += 1
  assert found >= 10


def test_installed_packages_are_pinned_or_extras(commands):
  pinned = {
    Requirement(line.partition("#")[0]).name.lower()
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if line.partition("#")[0].strip()
  }
  elsewhere = {"skypilot"}  # in a separate environment
  seen = set()
  for where, program, *rest in commands:
    if not program.endswith("pip"):
      continue
    assert rest.pop(0) == "install", where
    while rest:
      word = rest.pop(0)
      if word == "-c":
        assert (ROOT / rest.pop(0)).exists(), where
      elif word == "-e" or word.startswith("-"):
        continue
      elif word.startswith("."):
        extras = Requirement(f"seqsum{word[1:]}").extras
        assert extras <= PROJECT["optional-dependencies"].keys(), where
        seen |= extras
      else:
        assert Requirement(word).name in pinned | elsewhere, f"{where}: {word}"
  assert seen >= {"bench", "demo", "dev", "video"}


def test_launch_files_named_in_commands_exist(commands):
  found = 0
  for where, program, *rest in commands:
    if program in ("sbatch", "kubectl", "docker", "sky"):
      for word in rest:
        if word.startswith("launch/"):
          assert (ROOT / word).is_file(), f"{where}: {word}"
          found += 1
  assert found >= 6


def python_code():
  """Yields name and text of each block of Python and each cell of the tour."""
  for block in BLOCKS:
    if block.language == "python":
      yield block.name, block.text
  tour = json.loads((ROOT / "docs" / "tour.ipynb").read_text())
  for n, cell in enumerate(tour["cells"]):
    if cell["cell_type"] == "code":
      yield f"tour.ipynb:{n}", "".join(cell["source"])


def test_python_code_compiles():
  code = list(python_code())
  assert len(code) >= 12
  for name, text in code:
    compile(text, name, "exec")


def test_names_of_seqsum_in_python_code_exist():
  found, modules = 0, {}
  for name, text in python_code():
    if not name.startswith("tour"):  # the cells share their names
      modules = {}
    tree = ast.parse(text)
    for node in ast.walk(tree):
      if isinstance(node, ast.ImportFrom) and node.module.startswith("seqsum"):
        owner = importlib.import_module(node.module)
        for alias in node.names:
          value = getattr(owner, alias.name, None)
          if value is None:
            value = importlib.import_module(f"{node.module}.{alias.name}")
          if isinstance(value, types.ModuleType):
            modules[alias.asname or alias.name] = value
          found += 1
      elif isinstance(node, ast.Import):
        for alias in node.names:
          if alias.name == "seqsum":
            modules["seqsum"] = importlib.import_module("seqsum")
    for node in ast.walk(tree):
      owner = getattr(node, "value", None)
      if isinstance(node, ast.Attribute) and isinstance(owner, ast.Name):
        module = modules.get(owner.id)
        assert module is None or hasattr(module, node.attr), (
          f"{name}: {node.attr}"
        )
        found += module is not None
  assert found >= 30


def test_config_fields_named_in_pages_exist():
  configs = []
  for path in (ROOT / "configs").rglob("*.py"):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    module = importlib.import_module(name)
    if hasattr(module, "get_config"):
      configs.append(module.get_config())
  found = 0
  for page in pages.PAGES:
    text = (ROOT / page).read_text()
    for field in re.findall(r"(?<![/\w])config\.(\w+(?:\.\w+)*)", text):
      if field == "json":  # a file's name
        continue
      known = False
      for value in configs:
        for key in field.split("."):
          value = value[key] if key in (value or ()) else None
        known |= value is not None
      assert known, f"{page}: config.{field}"
      found += 1
  assert found > 30


def test_files_named_in_pages_exist():
  folders = [".", "benchmarks", "launch", "configs", "configs/studies"]
  for top in ("seqsum", "tests"):
    folders += [top, *(ROOT / top).glob("*/")]
  found = 0
  for page in pages.PAGES:
    text = (ROOT / page).read_text()
    names = re.findall(
      r"(?<![\w/.:])(?:seqsum|tests|benchmarks|configs|launch)/[\w/]+\.\w+"
      r"|(?<=`)\w+\.(?:py|sh|sbatch)(?=`)",
      text,
    )
    for name in names:
      if not name.endswith("/NAME.py"):
        there = [(ROOT / folder / name).exists() for folder in folders]
        assert any(there), f"{page}: {name}"
        found += 1
  assert found > 100


def prepare(page: str, folder: pathlib.Path, run) -> None:
  """Adds the files that a page expects its reader to have."""
  split = digits.load("digits").test
  for name in ("3.png", "4.jpg", "8.jpg", "9.png", "10.jpg", "11.png"):
    which = np.flatnonzero(split.labels == int(name[0]))[0]
    sheet = Image.fromarray(255 - split.images[which, ..., 0])
    sheet.resize((112, 112), Image.Resampling.BICUBIC).save(folder / name)
  (folder / "photos").mkdir()
  shutil.copy(folder / "8.jpg", folder / "photos")
  if mnist := os.environ.get("SEQSUM_MNIST_DIR"):
    for name in ("FOLDER", "FOLDER_WITH_THE_FOUR_MNIST_FILES"):
      (folder / name).symlink_to(mnist)
  if page == "docs/use.md":
    h5py = pytest.importorskip("h5py", reason="pip install -e '.[video]'")
    tests = runpy.run_path(str(ROOT / "tests" / "data" / "test_tvsum.py"))
    name = folder / "eccv16_dataset_tvsum_google_pool5.h5"
    with h5py.File(name, "w") as file:
      for n in range(1, 11):
        for key, value in tests["layout"]().items():
          file[f"video_{n}/{key}"] = value
  if page == "docs/videos.md":
    pytest.importorskip("av", reason="pip install -e '.[video]'")
    pytest.importorskip("onnx", reason="pip install -e '.[onnx]'")
    (folder / "films").mkdir()
    for n, name in enumerate(("beach", "cat", "dinner", "game", "walk")):
      frames = films.scenes([35, 20, 50, 25, 60, 30, 15], seed=n)
      films.write(folder / "films" / f"{name}.mp4", frames)
    films.write_onnx(folder / "googlenet.onnx", width=1024, output="flat")
  if page == "docs/video_benchmarks.md":
    pytest.importorskip("h5py", reason="pip install -e '.[video]'")
    tests = runpy.run_path(
      str(ROOT / "tests" / "data" / "test_video_benchmark.py")
    )
    name = "eccv16_dataset_tvsum_google_pool5.h5"
    tests["write_h5"](folder / name)
    for style in ("json", "txt"):
      tests["write_splits"](folder, style)
    tests["write_annotations"](folder / "ydata-tvsum50-anno.tsv")
    tests["write_mr_hisum"](folder / "mr_hisum.h5")
  if page == "README.md":  # a short version of the run of the quickstart
    text = "python -m seqsum.main --config=configs/sum_tiny.py"
    run(pages.Block(page, 0, "bash", ("hour",), text))
  if page == "docs/beyond.md":  # short versions of two long runs of studies
    for config, workdir in (
      ("fold", "studies/length/runs/fold/0"),
      ("beyond/sum_long", "studies/sum_1024/runs/1024/0"),
    ):
      text = f"python -m seqsum.main --config=configs/{config}.py "
      text += f"--workdir={workdir} --config.sequence.max_len=8"
      run(pages.Block(page, 0, "bash", ("mnist", "hour"), text))


@pytest.mark.slow
@pytest.mark.timeout(1800)  # two minutes on an idle core
@pytest.mark.parametrize("page", pages.PAGES)
def test_blocks_of_a_page_run(page, environment, tmp_path, record_property):
  folder = pages.clone(tmp_path)
  variables = environment | {"PYTHONPATH": str(folder), "WANDB_MODE": "offline"}
  variables.pop("JAX_PLATFORMS", None)  # as on a reader's machine

  def unrun(line):
    record_property("not run", line)

  def run(block):
    done, found, left = pages.run_bash(block, folder, True, variables)
    assert not done.returncode, f"{block.name}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, f"{block.name}\n{done.stderr}"
    for line in left:
      unrun(f"{block.name}: {line}")
    for program, *arguments in found:
      if program.rpartition("/")[2] not in ("python", "python3", "seqsum"):
        unrun(f"{block.name}: {program} {shlex.join(arguments)}")
    return done.stdout

  prepare(page, folder, run)
  for block in pages.read(page):
    reasons = [pages.LABELS[x] for x in block.labels if pages.LABELS[x]]
    lacks_mnist = "mnist" in block.labels and not (folder / "FOLDER").exists()
    if block.language == "text":
      continue
    if reasons:
      unrun(f"{block.name}: the block {reasons[0]}")
    elif block.language == "bash" and not (
      lacks_mnist and "hour" not in block.labels  # else on bundled digits
    ):
      run(block)
    elif lacks_mnist:
      unrun(f"{block.name}: SEQSUM_MNIST_DIR is not set")
    else:
      smaller = SMALLER if "hour" in block.labels else ""
      done = subprocess.run(
        [sys.executable, "-c", smaller + block.text],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
      )
      assert not done.returncode, f"{block.name}\n{done.stderr}"
  if page == "docs/your_own_sequences.md":
    assert len(list((folder / "films").glob("*.mp4"))) == 400
