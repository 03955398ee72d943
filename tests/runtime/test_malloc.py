import os
import platform
import subprocess
import sys

import pytest

from seqsum.runtime import malloc

SCRIPT = """
import os
from seqsum.runtime import malloc
before = os.getpid()
malloc.restart_with_tunables()
print(before, os.environ.get(malloc.VARIABLE), *__import__('sys').argv[1:])
"""


def clean_environment() -> dict[str, str]:
  """Variables of a program on the CPU that sets GLIBC_TUNABLES itself."""
  variables = os.environ | {"JAX_PLATFORMS": "cpu"}
  variables.pop(malloc.VARIABLE, None)
  return variables


def start(**env):
  process = subprocess.Popen(
    [sys.executable, "-c", SCRIPT, "--a=b c"],
    env=clean_environment() | env,
    stdout=subprocess.PIPE,
    text=True,
  )
  out, _ = process.communicate(timeout=30)
  return process.pid, out


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_the_process_restarts_with_the_same_arguments_and_id():
  pid, out = start()
  assert out.startswith(f"{pid} glibc.malloc.hugetlb=1")
  assert out.endswith("--a=b c\n")


def test_a_variable_of_the_user_is_kept():
  _, out = start(GLIBC_TUNABLES="glibc.malloc.check=0")
  assert "glibc.malloc.check=0 " in out


@pytest.fixture
def machine(tmp_path, monkeypatch):
  """A function that adds device files and plugins to an empty machine."""
  for name in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "CUDA_VISIBLE_DEVICES"):
    monkeypatch.delenv(name, raising=False)
  devices = {
    name: [f"{tmp_path}{path}" for path in paths]
    for name, paths in malloc.DEVICES.items()
  }
  monkeypatch.setattr(malloc, "DEVICES", devices)
  monkeypatch.syspath_prepend(tmp_path)

  def add(*names):
    for name in names:
      path = tmp_path / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text("[jax_plugins]\na = pjrt_cuda\n")

  return add


CARD, CUDA = "dev/nvidia0", "jax_plugins/xla_cuda12/__init__.py"


@pytest.mark.parametrize(
  ("files", "variables", "uses_cpu"),
  [
    ([], {}, True),
    ([CARD], {}, True),  # the CPU's JAX on a machine with a card
    ([CUDA], {}, True),  # JAX with CUDA on a machine without a card
    ([CARD, CUDA], {}, False),
    ([CARD, "a-1.dist-info/entry_points.txt"], {}, False),
    ([CARD, "libtpu/__init__.py"], {}, True),
    (["dev/accel0", "libtpu/__init__.py"], {}, False),
    (["dev/vfio/0", "libtpu/__init__.py"], {}, False),
    (["dev/kfd", "jax_plugins/xla_rocm7/__init__.py"], {}, False),
    ([CARD, CUDA], {"JAX_PLATFORMS": "cpu"}, True),
    ([CARD, CUDA], {"JAX_PLATFORMS": "cuda,cpu"}, False),
    ([CUDA], {"JAX_PLATFORMS": "cuda,cpu"}, True),
    ([CARD, CUDA], {"JAX_PLATFORM_NAME": "CPU"}, True),
    ([CARD, CUDA], {"CUDA_VISIBLE_DEVICES": ""}, True),
    ([CARD, CUDA], {"CUDA_VISIBLE_DEVICES": "1"}, False),
  ],
)
def test_the_backend_is_known_without_jax(
  machine, monkeypatch, files, variables, uses_cpu
):
  machine(*files)
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  assert malloc.uses_cpu() == uses_cpu


def test_a_program_that_will_use_a_gpu_is_not_restarted(machine, monkeypatch):
  machine(CARD, CUDA)
  monkeypatch.delenv(malloc.VARIABLE, raising=False)
  monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("restarted"))
  malloc.restart_with_tunables()
  assert malloc.VARIABLE not in os.environ


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_trim_returns_freed_memory():
  script = """
import re
from seqsum.runtime import malloc
def resident():
  with open("/proc/self/status") as f:
    return int(re.search(r"VmRSS:\\s+(\\d+)", f.read())[1]) >> 10
malloc.restart_with_tunables()
blocks = [bytearray(1 << 16) for _ in range(3200)]  # 200 MB
del blocks
kept = resident()
malloc.trim()
print(kept - resident())
"""
  done = subprocess.run(
    [sys.executable, "-c", script],
    env=clean_environment(),
    capture_output=True,
    text=True,
    check=True,
    timeout=30,
  )
  assert int(done.stdout) > 150
