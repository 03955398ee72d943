"""Run programs like `python -m`, without the seconds of their imports.

A process imports the programs' packages once and forks for each program, before
JAX starts threads. Each fork has its own flags, folder, environment, output and
exit code.

Run as a program, this file reads one JSON object a line, one for each program,
and prints their exit codes.
"""

import gc
import json
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile
from typing import Self

from seqsum.runtime import malloc

ROOT = pathlib.Path(__file__).parent.parent


class Warm:
  """A context in which the process runs.

  Args:
    environment: Variables of the process and of all programs.
  """

  def __init__(self, environment: dict[str, str]):
    # Set, so that `malloc.restart_with_tunables` does not restart programs.
    environment = {malloc.VARIABLE: malloc.SETTING} | environment
    self._process = subprocess.Popen(
      [sys.executable, "-m", "tests.warm"],
      cwd=ROOT,
      env=environment,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
    self._environment = environment

  def run(
    self, program: str, *flags: str, cwd: os.PathLike, **env: str
  ) -> subprocess.CompletedProcess:
    """Like `subprocess.run` of `python -m program`, with captured output."""
    with tempfile.TemporaryDirectory() as folder:
      out, err = (pathlib.Path(folder, name) for name in ("out", "err"))
      job = {
        "argv": [program, *flags],
        "cwd": os.fspath(cwd),
        "out": os.fspath(out),
        "err": os.fspath(err),
        "environment": self._environment | env,
      }
      self._process.stdin.write(json.dumps(job) + "\n")
      self._process.stdin.flush()
      code = int(self._process.stdout.readline())
      return subprocess.CompletedProcess(
        job["argv"], code, out.read_text(), err.read_text()
      )

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self._process.stdin.close()
    self._process.stdout.close()
    self._process.wait()


def become(argv, cwd, out, err, environment):
  """Turn this process into `python -m argv[0] argv[1:]`."""
  os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
  for number, path in (1, out), (2, err):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
  os.environ.clear()
  os.environ.update(environment)
  os.chdir(cwd)
  sys.path[0] = cwd
  sys.argv = argv
  runpy.run_module(argv[0], run_name="__main__", alter_sys=True)


def serve():
  """Fork for each line; return only in the forks."""
  import matplotlib.backends.backend_agg
  import matplotlib.figure
  import matplotlib.font_manager  # noqa: F401

  import seqsum.inference.trained
  import seqsum.studies.charts
  import seqsum.train  # noqa: F401

  gc.freeze()  # else the collector of a fork copies all pages
  for line in iter(sys.stdin.readline, ""):
    if (child := os.fork()) == 0:
      become(**json.loads(line))
      return
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
  serve()
