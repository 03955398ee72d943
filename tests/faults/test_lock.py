"""The lock of a folder."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from etils import epath
from short_runs import QUICK, ROOT

from seqsum.runtime import lock
from seqsum.runtime.errors import InputError


def test_a_second_lock_is_refused_until_the_first_is_released(tmp_path):
  folder = epath.Path(tmp_path)
  with lock.take(folder):
    with pytest.raises(InputError, match=rf"process {os.getpid()} on .*: wait"):
      lock.take(folder)
    with pytest.raises(InputError, match="is in use by"):
      lock.take(folder)
  with lock.take(folder):
    pass


HOLDER = """
import sys, time
from etils import epath
from seqsum.runtime import lock
held = lock.take(epath.Path(sys.argv[1]))
print("held", flush=True)
time.sleep(300)
"""


@pytest.mark.slow
def test_a_lock_ends_with_its_process(tmp_path):
  folder = epath.Path(tmp_path)
  holder = subprocess.Popen(
    [sys.executable, "-c", HOLDER, str(tmp_path)],
    stdout=subprocess.PIPE,
    cwd=ROOT,
  )
  try:
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(InputError, match=f"in use by process {holder.pid} on"):
      lock.take(folder)
  finally:
    holder.kill()
    holder.communicate()
  assert (folder / lock.NAME).read_text().startswith(f"process {holder.pid} on")
  with lock.take(folder):  # the file still exists, but locks nothing
    pass


def test_a_file_left_behind_locks_nothing(tmp_path):
  (tmp_path / lock.NAME).write_text(f"process {os.getpid()} on here\n")
  with lock.take(epath.Path(tmp_path)):
    pass


def test_object_storage_has_no_lock():
  with lock.take(epath.Path("gs://nobody/nothing")):
    pass


@pytest.mark.slow
def test_commands_are_refused_in_a_locked_folder(run, finished, tmp_path):
  study = "--study=configs/studies/tiny.py"
  new, ended = epath.Path(tmp_path / "new"), epath.Path(tmp_path / "ended")
  new.mkdir()
  shutil.copytree(finished[0], ended)
  with lock.take(new), lock.take(ended):
    for flags, workdir, program in (
      (QUICK, new, "seqsum.main"),
      (QUICK, ended, "seqsum.main"),
      ((*QUICK, "--eval_only"), ended, "seqsum.main"),
      ((study,), new, "seqsum.study"),
    ):
      done = run(*flags, f"--workdir={workdir}", program=program)
      assert done.returncode == 1
      (line,) = done.stderr.strip().splitlines()
      assert re.search(r"is in use by process \d+ on .*another folder", line)
  assert [path.name for path in new.iterdir()] == [lock.NAME]
