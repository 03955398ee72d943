import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import os
from seqsum.runtime import malloc
before = os.getpid()
malloc.restart_with_tunables()
print(before, os.environ.get(malloc.VARIABLE), *__import__('sys').argv[1:])
"""


def start(**env):
  process = subprocess.Popen(
    [sys.executable, "-c", SCRIPT, "--a=b c"],
    env={k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"} | env,
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
    env={k: v for k, v in os.environ.items() if k != "GLIBC_TUNABLES"},
    capture_output=True,
    text=True,
    check=True,
    timeout=30,
  )
  assert int(done.stdout) > 150
