"""Child processes that run one at a time; the others are stopped."""

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
  """A child process failed; the message is its name and its exception's line.

  Attributes:
    stderr: The child's stderr.
  """

  def __init__(self, name: str, stderr: str, code: int | None):
    super().__init__(f"{name}: {exception_line(stderr, code)}")
    self.stderr = stderr


@contextlib.contextmanager
def shown():
  """Context that prints a failed child's stderr and exits with its error."""
  try:
    yield
  except Failed as error:
    print(error.stderr.rstrip(), file=sys.stderr)
    sys.exit(str(error))


def exception_line(stderr: str, code: int | None) -> str:
  """Finds the line of a child's stderr that names its error.

  The exception of the last traceback is not always the last line, because JAX
  appends a note of several lines.

  Args:
    stderr: The child's stderr.
    code: The exit code, negative for a signal, None if the child still runs.

  Returns:
    The exception's first line; without a traceback, the last non-blank line;
    without output, the exit code.
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
  """Modules that a peer needs and that are not installed."""
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
  """Environment of a child: CPU only, caches in `folder`, limited threads.

  Args:
    folder: The benchmark's folder.
    threads: Number of cores that the child may use.
    keras: Backend of Keras.
    tuned: Set GLIBC_TUNABLES as `malloc` does. seqsum sets it itself; other
      frameworks do not.
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
  """Pins the calling process to its first `threads` cores."""
  if threads < os.cpu_count():
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


class Process:
  """A worker process that runs only during `ask`, and until `kill`.

  Args:
    name: The peer.
    folder: Folder with data, batches and caches.
    batch: Batch size.
    threads: Number of cores that the worker may use.
    tuned: See `environment`.
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
    # Each peer needs its own work folder: a folder belongs to one config.
    variables["BENCHMARK_WORKDIR"] = tempfile.mkdtemp(dir=folder)
    # Open until `kill`.
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
    """Calls a method of the worker; returns its result and its seconds.

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
    """Sends a signal to the child and its children, such as compilers."""
    if self._child.poll() is None:
      os.killpg(self._child.pid, number)


def time_command(
  folder: pathlib.Path, batch: int, threads: int
) -> dict[str, float]:
  """Measures start-up time and memory of `python -m seqsum.main`.

  Runs configs/sum.py for one epoch of 50 steps, with validation, checkpoints,
  test and report: first with an empty compilation cache, to the end; then with
  the cache, until the first step is logged.

  Returns:
    `cold` and `warm`, seconds from the command to the first finished step, and
    `memory`, the peak resident memory in MB.
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
      "config.log_every": 1,  # log the first step
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
