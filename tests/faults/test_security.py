"""Untrusted files and names."""

import json
import os
import pathlib
import pickle
import re
import shutil
import socket
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from short_runs import QUICK, ROOT

from seqsum.data import array_cache, digits
from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.restore import restore_newest
from seqsum.runtime.errors import InputError
from seqsum.studies import plan

from .test_damaged import tree


class Payload:
  """Runs a command when it is unpickled."""

  def __init__(self, marker):
    self._marker = marker

  def __reduce__(self):
    return os.mkdir, (str(self._marker),)


def test_the_payload_runs_when_it_is_unpickled(tmp_path):
  pickle.loads(pickle.dumps(Payload(tmp_path / "marker")))
  assert (tmp_path / "marker").exists()


def test_an_npz_runs_no_code(tmp_path, caplog):
  marker, path = tmp_path / "marker", tmp_path / "seqsum.data.npz"
  hostile = np.array([Payload(marker)], dtype=object)
  np.savez(path, images=hostile, sha256=np.array("0"))
  with np.load(path, allow_pickle=True) as file:
    file["images"]  # runs the payload
  assert marker.exists()
  marker.rmdir()
  assert array_cache.load(path, ["images"]) is None
  assert not marker.exists()
  assert "preparing it again" in caplog.text


def test_a_checkpoint_runs_no_code(tmp_path):
  """A pickle in place of each of its files, one by one."""
  good, marker = tmp_path / "good", tmp_path / "marker"
  with Checkpoints(good) as checkpoints:
    for step in (5, 10):
      checkpoints.save(step, tree(step))
  files = [path for path in (good / "10").rglob("*") if path.is_file()]
  assert len(files) > 10
  for n, path in enumerate(files):
    folder = tmp_path / str(n)
    shutil.copytree(good, folder)
    hostile = folder / path.relative_to(good)
    hostile.write_bytes(pickle.dumps(Payload(marker)))
    with Checkpoints(folder) as checkpoints:
      step, found = restore_newest(checkpoints, tree(0))
      np.testing.assert_array_equal(found["step"], step)
    assert not marker.exists()


AUDITED = """
import collections, pickle, runpy, sys
seen = []
def hook(event, args):
  if event == "pickle.find_class":
    seen.append(args)
sys.addaudithook(hook)
pickle.loads(pickle.dumps(collections.Counter))
assert len(seen) == 1, "the hook sees what is unpickled"
try:
  runpy.run_module("seqsum.main", run_name="__main__", alter_sys=True)
finally:
  print("UNPICKLED", seen[1:], file=sys.stderr)
"""


@pytest.mark.slow
def test_a_run_unpickles_nothing(finished, environment, tmp_path):
  """An audit hook records every name that a pickle imports: there are none."""
  workdir = tmp_path / "run"
  shutil.copytree(finished[0], workdir)
  (workdir / "summary.json").unlink()  # so that the run restores, tests, plots
  done = subprocess.run(
    [sys.executable, "-c", AUDITED, *QUICK, f"--workdir={workdir}"],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
    timeout=280,
  )
  assert done.returncode == 0, done.stderr
  assert "resuming from step 40" in done.stdout
  assert "UNPICKLED []" in done.stderr


@pytest.mark.parametrize(
  "name", ["../x", "/etc", "a/../b", "a/..", "..", "a//b", "a\\b", "ns:x", ""]
)
def test_paths_as_names_of_data_are_refused(name, tmp_path):
  with pytest.raises(InputError, match="is not known"):
    digits.load(name, data_dir=tmp_path)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../x", "/etc", "a/b", "..", ".hidden", ""])
def test_paths_as_names_of_variants_are_refused(name, tmp_path):
  study = plan.load(ROOT / "configs/studies/tiny.py")
  study = plan.dataclasses.replace(study, variants={name: {}}, display_names={})
  with pytest.raises(InputError, match="must be letters"):
    plan.lay_out(study, tmp_path)


LISTENER = """
import json, sys, psutil
from seqsum.runtime import processes
processes.connect(sys.argv[1], 1, 0)
print(json.dumps([
  c.laddr.ip for c in psutil.Process().net_connections("inet")
  if c.status == psutil.CONN_LISTEN
]))
"""


def test_a_coordinator_on_loopback_listens_on_loopback_only(environment):
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  done = subprocess.run(
    [sys.executable, "-c", LISTENER, address],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
    timeout=280,
  )
  assert done.returncode == 0, done.stderr
  listens = {ip.removeprefix("::ffff:") for ip in json.loads(done.stdout)}
  assert listens == {"127.0.0.1"}


def test_every_dependency_is_pinned():
  """One file has all versions, for an audit of known vulnerabilities.

      pip-audit --no-deps --disable-pip -r constraints.txt

  pip-audit queries a server, so no test runs it.
  """
  name = lambda text: re.match(r"[\w.-]+", text)[0].lower().replace("_", "-")
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  extras = project["optional-dependencies"]
  needed = project["dependencies"] + extras["test"] + extras["dev"]
  lines = pathlib.Path(ROOT / "constraints.txt").read_text().splitlines()
  pinned = {name(line) for line in lines if "==" in line}
  missing = {name(x) for x in needed} - pinned - {"seqsum"}
  assert not missing
