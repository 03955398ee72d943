"""A program forked by `warm` behaves like one started by Python."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
sys.stderr.write(os.environ['XDG_CACHE_HOME'])
print(sys.argv[1:], os.getcwd(), __name__, 'jax' in sys.modules)
sys.exit({end})
"""


@pytest.mark.parametrize(
  ("end", "code", "last"),
  [("0", 0, ""), ("3", 3, ""), ("'no'", 1, "no\n"), ("1 / 0", 1, "by zero\n")],
)
def test_forked_program_behaves_like_a_started_one(
  warm, environment, tmp_path, end, code, last
):
  (tmp_path / "program.py").write_text(PROGRAM.format(end=end))
  command = [sys.executable, "-m", "program", "--flag=a b"]
  cold = subprocess.run(
    command, cwd=tmp_path, env=environment, capture_output=True, text=True
  )
  forked = warm.run("program", "--flag=a b", cwd=tmp_path)
  for done, is_imported in ((cold, False), (forked, True)):
    assert done.returncode == code
    expected = f"['--flag=a b'] {tmp_path} __main__ {is_imported}\n"
    assert done.stdout == expected
    assert done.stderr.startswith(environment["XDG_CACHE_HOME"])
    assert done.stderr.endswith(last)
