"""Parses and runs the code blocks of the pages.

A block is a fence of bash, python or text. A bash block runs in bash with a
PATH that contains only `SHIMS`, which record their arguments, and `READ`. With
`run=True` the shim of Python also starts seqsum's programs (`start`); all other
commands are only recorded.
"""

import importlib.util
import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
PAGES = (
  "README.md",
  "CONTRIBUTING.md",
  "docs/addition.md",
  "docs/beyond.md",
  "docs/performance.md",
  "docs/reliability.md",
  "docs/runs.md",
  "docs/studies.md",
  "docs/use.md",
  "docs/videos.md",
  "docs/video_benchmarks.md",
  "docs/your_own_sequences.md",
  "launch/README.md",
  "benchmarks/README.md",
  "seqsum/pretrained/README.md",
)
LANGUAGES = ("bash", "python", "text")
LABELS = {  # label after the language: why the block is not run, or ""
  "mnist": "",  # reads the four MNIST files
  "hour": "",  # long training: run with smaller numbers
  "install": "installs packages; .ci/run does",
  "network": "downloads",
  "cloud": "needs a cluster, a cloud or Docker",
  "gpu": "needs a GPU",
}
COMMAND = re.compile(
  r"\s*(\$ |([A-Z_]+=\S+ )*(\S*/)?(python3?|pip|bash|sbatch|kubectl|docker|sky|"
  r"npm|gcloud|git|pre-commit|seqsum)\s|(import|from) \w+)"
)
PYTHONS = ("python", "python3", ".venv/bin/python")
SHIMS = (
  *("python", "python3", "pip", "bash", "pre-commit", "npm", "tar", "seqsum"),
  *("sbatch", "kubectl", "docker", "sky", "hf"),
)
READ = ("id", "wc")  # read-only programs
SMALLER = {  # flags appended in blocks labelled `hour`
  "seqsum.main": (
    "--config.epochs=1",
    "--config.sequences_per_epoch=8",
    "--config.batch_size=8",
    "--config.eval_sequences=8",
    "--config.eval_batch_size=8",
    "--noreport",
  ),
  "seqsum.study": (
    *("--seeds=1", "--sequences=32", "--print_commands"),
    "--workdir=printed",  # the study's own folder may hold what the page reads
  ),
  "seqsum.importance": ("--videos=1",),
}


class Block(NamedTuple):
  """A code block; `line` is the line of its opening fence, from 1."""

  page: str
  line: int
  language: str
  labels: tuple[str, ...]
  text: str

  @property
  def name(self) -> str:
    return f"{self.page}:{self.line}"


def read(page: str) -> list[Block]:
  """Reads the code blocks of a page, in order.

  Raises:
    ValueError: A fence has no end, no language, or an unknown language or
      label; or commands are in a text block or an indented block.
  """
  return parse(page, (ROOT / page).read_text())


def parse(page: str, text: str) -> list[Block]:
  """Parses the code blocks of a page's text; see `read`."""
  blocks, lines = [], text.splitlines()
  n, blank = 0, True
  while n < len(lines):
    where, line = f"{page}:{n + 1}", lines[n]
    if not line.lstrip().startswith("```"):
      if blank and line.startswith(("    ", "\t")) and COMMAND.match(line):
        raise ValueError(f"{where}: commands belong in a fence, ```bash")
      blank = not line.strip()
      n += 1
      continue
    language, *labels = line.strip().removeprefix("```").split() or [""]
    if language not in LANGUAGES:
      raise ValueError(f"{where}: {language!r}: choose from {LANGUAGES}")
    if unknown := set(labels) - set(LABELS):
      raise ValueError(
        f"{where}: {sorted(unknown)}: choose labels from {tuple(LABELS)}"
      )
    indent = len(line) - len(line.lstrip())
    end = n + 1
    while end < len(lines) and lines[end].strip() != "```":
      end += 1
    if end == len(lines):
      raise ValueError(f"{where}: the fence has no end")
    body = [x[indent:] for x in lines[n + 1 : end]]
    if language == "text" and any(COMMAND.match(x) for x in body):
      raise ValueError(f"{where}: commands in a block of text")
    blocks.append(
      Block(page, n + 1, language, tuple(labels), "\n".join(body) + "\n")
    )
    n, blank = end + 1, True
  return blocks


def clone(folder: pathlib.Path) -> pathlib.Path:
  """Copies the repository's files into `folder` and adds the shims."""
  for name in ("configs", "launch", "seqsum", "benchmarks", "tests", ".ci"):
    shutil.copytree(
      ROOT / name,
      folder / name,
      ignore=shutil.ignore_patterns("__pycache__", "results", ".jax_cache"),
    )
  for name in ("pyproject.toml", "constraints.txt"):
    shutil.copy(ROOT / name, folder)
  # Pages write NAME where the reader chooses.
  configs = folder / "configs"
  shutil.copy(configs / "studies" / "tiny.py", configs / "studies" / "NAME.py")
  shutil.copy(configs / "beyond" / "sum2.py", configs / "beyond" / "NAME.py")
  bin, venv = folder / ".bin", folder / ".venv" / "bin"
  for place in (bin, venv):
    place.mkdir(parents=True)
  (venv / "activate").touch()
  for name in SHIMS:
    for place in (bin, venv):
      (place / name).write_text(SHIM)
      (place / name).chmod(0o755)
  for name in READ:
    (bin / name).symlink_to(shutil.which(name))
  return folder


SHIM = f"""\
#!/bin/sh
printf '%s\\0' "$#" "$0" "$@" >> "$PAGES_LOG"
case "${{0##*/}}-$PAGES_RUN" in
  python-1 | python3-1 | seqsum-1)
    exec {shlex.quote(sys.executable)} {shlex.quote(__file__)} "$0" "$@" ;;
esac
"""


def run_bash(
  block: Block, folder: pathlib.Path, run: bool, environment: dict[str, str]
) -> tuple[subprocess.CompletedProcess, list[list[str]], list[str]]:
  """Runs a block of bash in a clone.

  Args:
    block: The block.
    folder: A clone.
    run: Whether to start seqsum's programs.
    environment: Environment variables.

  Returns:
    The process; the program and arguments of each command; with `run`, each
    command that was not started, with the reason.
  """
  log, unrun = folder / ".log", folder / ".unrun"
  for file in (log, unrun):
    file.write_text("")
  done = subprocess.run(
    [shutil.which("bash"), "-euo", "pipefail", "-c", block.text],
    cwd=folder,
    env=environment
    | {
      "PATH": str(folder / ".bin"),
      "PAGES_LOG": str(log),
      "PAGES_UNRUN": str(unrun),
      "PAGES_RUN": str(int(run)),
      "PAGES_SMALLER": str(int("hour" in block.labels)),
      "PAGES_MNIST": str(int("mnist" in block.labels)),
    },
    capture_output=True,
    text=True,
  )
  commands, words = [], log.read_text().split("\0")[:-1]
  while words:
    count = int(words.pop(0)) + 1
    program, *arguments = words[:count]
    program = program.removeprefix(f"{folder / '.bin'}/")
    commands.append([program, *arguments])
    words = words[count:]
  return done, commands, unrun.read_text().splitlines()


def start(program: str, *arguments: str) -> int:
  """Starts a Python program of a block if it is seqsum's.

  Returns:
    The exit code; 0 if it was not started.
  """
  flags = list(arguments)
  if program.rpartition("/")[2] == "seqsum":
    module = "seqsum.main"
  elif flags[:1] == ["-m"] and flags[1].startswith("seqsum."):
    module, flags = flags[1], flags[2:]
  else:
    return unrun(arguments, "not a program of seqsum")
  for flag in flags:
    name, _, value = flag.partition("=")
    if name == "--tracker" and not importlib.util.find_spec(value):
      return unrun(arguments, f"{value} is not installed")
  if module == "seqsum.push" and not importlib.util.find_spec("safetensors"):
    return unrun(arguments, "the extra hub is not installed")
  if os.environ["PAGES_SMALLER"] == "1":
    flags += SMALLER.get(module, ())
    if module == "seqsum.study":
      unrun(arguments, "a study: only its commands were printed")
  if module == "seqsum.main" and os.environ["PAGES_MNIST"] == "1":
    mnist = os.environ.get("SEQSUM_MNIST_DIR")
    flags.append(
      f"--config.data.manual_dir={mnist}"
      if mnist
      else "--config.data.name=digits"
    )
  command = [sys.executable, "-m", module, *flags]
  if module == "seqsum.demo":
    return visit(command)
  return subprocess.run(command).returncode


def unrun(arguments: tuple[str, ...], why: str) -> int:
  with open(os.environ["PAGES_UNRUN"], "a") as file:
    print(f"python {shlex.join(arguments)}: {why}", file=file)
  return 0


def visit(command: list[str]) -> int:
  """Starts a server, loads its page and ends it by Ctrl-C."""
  with subprocess.Popen(
    [*command, "--port=0"], stdout=subprocess.PIPE, text=True
  ) as server:
    try:
      address = None
      while address is None and (line := server.stdout.readline()):
        address = re.search(r"http://127\.0\.0\.1:\d+", line)
      with urllib.request.urlopen(address[0]) as answer:
        page = answer.read()
    finally:
      server.send_signal(signal.SIGINT)
      server.communicate(timeout=60)
  return 0 if b"<canvas" in page and server.returncode in (0, 130) else 1


def read_flags(requests: list[list[str]]) -> list[str]:
  """Parses the flags of seqsum's programs and builds their configs.

  Run this in a separate process, because each program defines `--workdir`.

  Args:
    requests: For each program, its module and its arguments.

  Returns:
    For each program an error message, or an empty string.
  """
  from absl import flags

  from seqsum.training import checks

  wrong = dict.fromkeys(range(len(requests)), "")
  for module in {module for module, *_ in requests}:
    importlib.import_module(module)
    for n, (name, *arguments) in enumerate(requests):
      if name != module:
        continue
      try:
        # config_flags finds the overrides of a config in sys.argv.
        sys.argv = [name, *arguments]
        flags.FLAGS(sys.argv)
        if module == "seqsum.main":
          config = flags.FLAGS["config"].value
          if not isinstance(config, str):
            checks.check_config(config)
      except Exception as error:
        wrong[n] = f"{type(error).__name__}: {error}"
      flags.FLAGS.unparse_flags()
      for flag in list(flags.FLAGS):
        if flag.startswith("config."):
          delattr(flags.FLAGS, flag)
    for flag in list(flags.FLAGS.flags_by_module_dict()[module]):
      if flag.name in flags.FLAGS:
        delattr(flags.FLAGS, flag.name)
  return [wrong[n] for n in range(len(requests))]


if __name__ == "__main__":
  if sys.argv[1] == "--read_flags":
    print(json.dumps(read_flags(json.load(sys.stdin))))
  else:
    sys.exit(start(*sys.argv[1:]))
