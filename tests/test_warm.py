"""A program that `warm` forks is as one that Python starts."""

import os
import subprocess
import sys

import pytest
from runs import ROOT
from warm import Warm

PROGRAM = """
import os, sys
sys.stderr.write(os.environ['SEQSUM_WORD'])
print(sys.argv[1:], os.getcwd(), __name__, 'seqsum.train' in sys.modules)
sys.exit({end})
"""


@pytest.mark.parametrize(
  ("end", "code", "last"),
  [("0", 0, ""), ("3", 3, ""), ("'no'", 1, "no\n"), ("1 / 0", 1, "division")],
)
def test_a_fork_is_as_a_process_of_its_own(tmp_path, end, code, last):
  (tmp_path / "program.py").write_text(PROGRAM.format(end=end))
  environment = os.environ | {"SEQSUM_WORD": "word", "PYTHONPATH": str(ROOT)}
  command = [sys.executable, "-m", "program", "--flag=a b"]
  cold = subprocess.run(
    command, cwd=tmp_path, env=environment, capture_output=True, text=True
  )
  with Warm(environment) as warm:
    forked = warm.run("program", "--flag=a b", cwd=tmp_path)
  expected = f"['--flag=a b'] {tmp_path} __main__ "
  assert (cold.stdout, forked.stdout) == (
    f"{expected}False\n",
    f"{expected}True\n",
  )
  assert cold.returncode == forked.returncode == code
  for err in (cold.stderr, forked.stderr):
    assert err.startswith("word")
    assert last in err
