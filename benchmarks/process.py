"""Processes that run alone: one at a time, the others stopped."""

import contextlib
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.worker import PEERS
from seqsum.runtime import malloc

ROOT = pathlib.Path(__file__).parent.parent


class Failed(Exception):
  """A child process failed. The message is its name and its exception's line.

  Attributes:
    stderr: All that the child wrote to stderr.
  """

  def __init__(self, name: str, stderr: str, code: int | None):
    super().__init__(f"{name}: {exception_line(stderr, code)}")
    self.stderr = stderr


@contextlib.contextmanager
def shown():
  """Prints what a child that failed wrote, and exits with its exception."""
  try:
    yield
  except Failed as error:
    print(error.stderr.rstrip(), file=sys.stderr)
    sys.exit(str(error))


def exception_line(stderr: str, code: int | None) -> str:
  """The line of a child's stderr that names what went wrong.

  That is the exception of the last traceback, which need not be the last line:
  JAX appends a note of several lines to its exceptions.

  Args:
    stderr: All that the child wrote there.
    code: Its exit code, negative for a signal, None if it still runs.

  Returns:
    The exception's first line; without a traceback, the last line that is not
    blank; without any, the exit code.
  """
  lines = [line for line in stderr.splitlines() if line.strip()]
  starts = [n for n, line in enumerate(lines) if line.startswith("Traceback (")]
  if starts:
    for line in lines[starts[-1] + 1 :]:
      if not line[0].isspace():  # frames are indented, the exception is not
        return line
  if code and code < 0:
    return f"ended by {signal.Signals(-code).name}"
  return lines[-1] if lines else f"exit code {code}"


def missing(name: str) -> list[str]:
  """What a peer needs and is not installed."""
  module, variant = PEERS[name]
  needs = {
    "peer_seqsum": ["jax", "flax"],
    "peer_torch": ["torch"],
    "peer_keras": ["keras", variant],
  }[module]
  return [x for x in needs if importlib.util.find_spec(x) is None]


def environment(
  folder: pathlib.Path, threads: int, keras: str = "", tuned: bool = True
) -> dict[str, str]:
  """Variables for a child: CPU only, caches in `folder`, so many threads.

  Args:
    folder: The benchmark's.
    threads: How many cores the child may use.
    keras: Its backend.
    tuned: Whether the C library keeps memory, as `malloc` makes it; seqsum
      does so by itself, others only if their user knows.
  """
  names = {
    "CUDA_VISIBLE_DEVICES": "",
    "JAX_PLATFORMS": "cpu",
    "KERAS_BACKEND": keras,
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
    "BENCHMARK_COMPILATION_CACHE": str(folder / "xla"),
  }
  if threads < os.cpu_count():
    names |= dict.fromkeys(
      [
        "MKL_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "TF_NUM_INTEROP_THREADS",
        "TF_NUM_INTRAOP_THREADS",
      ],
      str(threads),
    )
  if tuned:
    names[malloc.VARIABLE] = malloc.SETTING
  return os.environ | names


def pin(threads: int):
  """Keeps a child on the first cores, before it counts them."""
  if threads < os.cpu_count():
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class Process:
  """A worker. It exists from its start to `kill`, and runs within `ask` only.

  Args:
    name: The peer.
    folder: Where data, batches and caches are.
    batch: Its size.
    threads: How many cores it may use.
    tuned: As `environment` has it.
  """

  def __init__(
    self,
    name: str,
    folder: pathlib.Path,
    batch: int,
    threads: int,
    tuned: bool = True,
  ):
    self.name = name
    variables = environment(folder, threads, PEERS[name][1], tuned)
    variables["BENCHMARK_DATA"] = (folder / "name").read_text()
    variables["BENCHMARK_DATA_DIR"] = str(folder)
    # A run's folder belongs to one config: one each.
    variables["BENCHMARK_WORKDIR"] = tempfile.mkdtemp(dir=folder)
    # Kept open as long as the process lives, closed in `kill`.
    self._errors = tempfile.TemporaryFile("w+", dir=folder)  # noqa: SIM115
    self._child = subprocess.Popen(
      [
        sys.executable,
        "-m",
        "benchmarks.worker",
        name,
        str(folder / f"{batch}.npz"),
      ],
      cwd=ROOT,
      env=variables,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=self._errors,
      text=True,
      bufsize=1,
      start_new_session=True,
      preexec_fn=lambda: pin(threads),
    )

  def ask(self, method: str, *arguments) -> tuple[Any, float]:
    """A method's result and how many seconds it took.

    Raises:
      Failed: The process died.
    """
    self._signal(signal.SIGCONT)
    try:
      print(json.dumps([method, *arguments]), file=self._child.stdin)
      answer = json.loads(self._child.stdout.readline())
    except (BrokenPipeError, json.JSONDecodeError) as error:
      self._child.wait(10)
      self._errors.seek(0)
      raise Failed(
        self.name, self._errors.read(), self._child.returncode
      ) from error
    self._signal(signal.SIGSTOP)
    return answer["result"], answer["seconds"]

  def kill(self) -> None:
    self._signal(signal.SIGKILL)
    self._child.wait()
    self._child.stdin.close()
    self._child.stdout.close()
    self._errors.close()

  def _signal(self, number: int) -> None:
    """To the child and to what it started, such as compilers."""
    if self._child.poll() is None:
      os.killpg(self._child.pid, number)


def time_command(
  folder: pathlib.Path, batch: int, threads: int
) -> dict[str, float]:
  """How `python -m seqsum.main` starts and how much memory it takes.

  One epoch of 50 steps, everything else as configs/sum.py has it: validation,
  checkpoints, test, report. It is started with no compiled programs at hand and
  runs to its end; then again, until its first step is written down.

  Returns:
    Seconds from the command to the first finished step, `cold` and `warm`, and
    `memory`, the most it ever had resident, in MB.
  """
  result = {}
  for kind in ("cold", "warm"):
    workdir = pathlib.Path(tempfile.mkdtemp(dir=folder))
    lines = workdir / "metrics.jsonl"
    options = {
      "config": "configs/sum.py",
      "workdir": workdir,
      "compilation_cache": folder / "command",
      "config.data.name": (folder / "name").read_text(),
      "config.data.data_dir": folder,
      "config.batch_size": batch,
      "config.epochs": 1,
      "config.sequences_per_epoch": 50 * batch,
      "config.log_every": 1,  # so that the first step leaves a line
    }
    options = [f"--{name}={value}" for name, value in options.items()]
    output = folder / f"{kind}.txt"
    with output.open("w") as errors:
      begin = time.perf_counter()
      child = subprocess.Popen(
        [sys.executable, "-m", "seqsum.main", *options],
        cwd=ROOT,
        env=environment(folder, threads),
        stdout=errors,
        stderr=errors,
        preexec_fn=lambda: pin(threads),
      )
      while not (lines.exists() and lines.stat().st_size):
        if child.poll() is not None:
          raise Failed("seqsum.main", output.read_text(), child.returncode)
        time.sleep(0.01)
      result[kind] = time.perf_counter() - begin
      if kind == "warm":
        child.kill()
      _, status, usage = os.wait4(child.pid, 0)
      if kind == "cold":
        if status:
          code = os.waitstatus_to_exitcode(status)
          raise Failed("seqsum.main", output.read_text(), code)
        result["memory"] = usage.ru_maxrss / 1e3
  return result
