"""Two processes of a run skip the same damaged checkpoints."""

import json
import socket
import subprocess
import sys

import pytest
from short_runs import ROOT

PROGRAM = """
import json, pathlib, sys
from absl import logging
from seqsum.runtime import processes
processes.connect(sys.argv[2], 2, int(sys.argv[3]))
import jax, jax.numpy as jnp, numpy as np
from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.restore import restore_newest
from seqsum.runtime.devices import make_mesh, replicated

logging.set_verbosity(-1)
folder = pathlib.Path(sys.argv[1]) / "checkpoints"
everywhere = replicated(make_mesh())

def tree(step):
  make = lambda: {"a": jnp.arange(2000.0) + step, "step": jnp.int32(step)}
  return jax.jit(make, out_shardings=everywhere)()

def damage(step):
  if processes.is_lead():
    path = folder / str(step) / "manifest" / "metadata"
    path.write_bytes(path.read_bytes()[:-10])
  processes.barrier("damaged")

steps = []
def resume():
  with Checkpoints(folder, keep=3) as checkpoints:
    step, found = restore_newest(checkpoints, tree(0))
    for x in jax.tree.leaves(found):
      assert len(x.sharding.device_set) == jax.device_count() > 1
    np.testing.assert_array_equal(
      found["a"].addressable_data(0), tree(step)["a"].addressable_data(0)
    )
    steps.append(step)
    checkpoints.save(step + 1, tree(step + 1))
    checkpoints.finish()

with Checkpoints(folder, keep=3) as checkpoints:
  for step in (1, 2, 3):
    checkpoints.save(step, tree(step))
  checkpoints.finish()
resume()  # from 3, saves 4
damage(4)
damage(3)
resume()  # from 2, saves 3 again
resume()  # from 3
# Only one process cannot read step 4: both skip it.
with Checkpoints(folder, keep=3) as checkpoints:
  read = checkpoints._read
  def fails(step, abstract_state):
    if step == 4 and not processes.is_lead():
      raise OSError("a disk of this process only")
    return read(step, abstract_state)
  checkpoints._read = fails
  step, _ = restore_newest(checkpoints, tree(0))
  steps.append(step)
print(json.dumps(steps))
"""


@pytest.mark.slow
def test_two_processes_skip_the_same_checkpoints(environment, tmp_path):
  with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{free.getsockname()[1]}"
  pair = [
    subprocess.Popen(
      [sys.executable, "-c", PROGRAM, str(tmp_path), address, str(n)],
      cwd=ROOT,
      env=environment,
      stdout=subprocess.PIPE,
      stderr=subprocess.PIPE,
      text=True,
    )
    for n in range(2)
  ]
  try:
    outputs = [process.communicate(timeout=280) for process in pair]
  finally:
    for process in pair:
      process.kill()
  for process, (out, err) in zip(pair, outputs, strict=True):
    assert process.returncode == 0, err
    assert json.loads(out.splitlines()[-1]) == [3, 2, 3, 3]
  names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
  assert {"3.unusable", "4.unusable", "4.unusable-2"} <= names
  assert "checkpoints/4 cannot be used: " in outputs[0][1]
  assert "another process cannot read it" in outputs[0][1]
