"""Processes that run alone: one at a time, the others stopped."""

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
from seqsum import allocator

ROOT = pathlib.Path(__file__).parent.parent


class Failed(Exception):
  """A process died; the message is the last it had to say."""


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
    tuned: Whether the C library keeps memory, as `allocator` makes it; seqsum
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
    names[allocator.VARIABLE] = allocator.SETTING
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
      raise Failed(f"{self.name}: {self.last_words}") from error
    self._signal(signal.SIGSTOP)
    return answer["result"], answer["seconds"]

  @property
  def last_words(self) -> str:
    """The last line that the process wrote to stderr."""
    self._errors.seek(0)
    lines = self._errors.read().strip().splitlines()
    return lines[-1] if lines else f"exit {self._child.poll()}"

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
    with (folder / f"{kind}.txt").open("w") as errors:
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
          raise Failed((folder / f"{kind}.txt").read_text()[-2000:])
        time.sleep(0.01)
      result[kind] = time.perf_counter() - begin
      if kind == "warm":
        child.kill()
      _, status, usage = os.wait4(child.pid, 0)
      if kind == "cold":
        if status:
          raise Failed((folder / f"{kind}.txt").read_text()[-2000:])
        result["memory"] = usage.ru_maxrss / 1e3
  return result
