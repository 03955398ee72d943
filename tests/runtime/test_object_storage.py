"""Runs in a folder on object storage."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest
import requests
from gcs_server import GcsServer
from short_runs import (
  QUICK,
  assert_same_run,
  assert_same_summary,
  start,
  summary,
)

WORKDIR = "gs://bucket/some/run"


@pytest.fixture
def bucket():
  with GcsServer() as server:
    yield server
  assert not server.refused


def download(bucket, folder):
  for name, (_, data) in bucket.objects.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
  return folder / "some" / "run"


def messages(err):
  """Lines of stderr, without TensorStore's line about its credentials."""
  lines = err.splitlines()
  return [line for line in lines if "GOOGLE_AUTH_TOKEN_FOR_TESTING" not in line]


def wait_for_step(process, bucket, step):
  while process.poll() is None:
    _, data = bucket.objects.get("some/run/metrics.jsonl", (None, b""))
    if re.search(rb'"step": %d,' % step, data):
      return
    time.sleep(0.01)
  raise AssertionError(process.communicate())


def test_the_server_has_conditions_and_pages(bucket):
  objects = f"{bucket.url}/storage/v1/b/bucket/o"

  def upload(name, data, **conditions):
    query = {"uploadType": "media", "name": name} | conditions
    url = f"{bucket.url}/upload/storage/v1/b/bucket/o"
    return requests.post(url, params=query, data=data)

  made = upload("a", b"one", ifGenerationMatch=0)
  assert made.status_code == 200
  old = made.json()["generation"]
  assert upload("a", b"two", ifGenerationMatch=0).status_code == 412
  new = upload("a", b"two", ifGenerationMatch=old).json()["generation"]
  assert upload("a", b"three", ifGenerationMatch=old).status_code == 412
  read = lambda **query: requests.get(
    f"{objects}/a", params={"alt": "media"} | query
  )
  assert read().headers["X-Goog-Generation"] == new
  assert read().content == b"two"
  assert read(ifGenerationNotMatch=new).status_code == 304
  assert read(ifGenerationMatch=old).status_code == 412
  delete = lambda **query: requests.delete(f"{objects}/a", params=query)
  assert delete(ifGenerationMatch=old).status_code == 412
  assert delete(ifGenerationMatch=new).status_code == 204
  assert read().status_code == 404

  names = [f"b/{i:02}" for i in range(25)]
  for name in names:
    upload(name, b"")
  query, found = {"startOffset": "b/", "endOffset": "b0"}, []
  while query:
    page = requests.get(objects, params=query).json()
    found += [x["name"] for x in page["items"]]
    token = page.get("nextPageToken")
    query = query | {"pageToken": token} if token else None
  assert found == names
  folders = requests.get(objects, params={"delimiter": "/"}).json()
  assert (folders["prefixes"], folders["items"]) == (["b/"], [])


@pytest.mark.slow
def test_a_run_in_a_bucket_equals_a_run_in_a_folder(
  finished, environment, run, bucket, tmp_path
):
  environment = environment | bucket.environment
  process = start(environment, WORKDIR)
  # The second save has started, and the bucket contains a part of it.
  bucket.before = lambda request: (
    "checkpoints%2F10%2Fstate%2Fmanifest.ocdbt" in request and process.kill()
  )
  process.communicate(timeout=120)
  assert process.returncode == -signal.SIGKILL
  bucket.before = lambda request: None

  process = start(environment, WORKDIR)
  wait_for_step(process, bucket, 28)
  process.send_signal(signal.SIGTERM)
  out, err = process.communicate(timeout=120)
  assert process.returncode == 143, err
  assert "resuming from step 5" in out
  assert not messages(err)
  assert "some/run/summary.json" not in bucket.objects

  done = run(*QUICK, f"--workdir={WORKDIR}", **bucket.environment)
  assert done.returncode == 0, done.stderr
  assert re.search(r"resuming from step (2[89]|3)", done.stdout)
  assert not messages(done.stderr)
  there, here = download(bucket, tmp_path), finished[0]
  assert_same_run(there, here)
  assert_same_summary(there, here)
  names = lambda folder: sorted(
    str(path.relative_to(folder))
    for part in ("*", "checkpoints/*", "report/*")
    for path in folder.glob(part)
  )
  assert names(there) == [name for name in names(here) if name != ".lock"]
  assert any("manifest.ocdbt&ifGenerationMatch" in x for x in bucket.requests)

  done = run(
    *QUICK, f"--workdir={WORKDIR}", "--eval_only", **bucket.environment
  )
  assert done.returncode == 0, done.stderr
  assert json.loads(done.stdout)["mse"] == summary(there)["test"]["mse"]


DAMAGED = """
import os
import jax.numpy as jnp
from seqsum.runs import folder
from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.restore import restore_newest
from seqsum.runtime import files

def tree(step):
  return {"kernel": jnp.arange(5000.0) + step}

there = folder.make_folder("gs://bucket/some/run") / "checkpoints"
with Checkpoints(there) as checkpoints:
  for step in (5, 10):
    checkpoints.save(step, tree(step))
names = lambda: {path.name for path in there.iterdir()}
assert names() == {"5", "10"}
print("saved", flush=True)
input()
assert names() == {"5", "10", "15"}  # no cached listing
with Checkpoints(there) as checkpoints:
  step, found = restore_newest(checkpoints, tree(0))
  assert (step, found["kernel"][0]) == (5, 5)
  assert checkpoints.steps == [5]
  checkpoints.save(10, tree(10))
  assert checkpoints.restore(10, tree(0))["kernel"][0] == 10
with files.local_copy(there / "10") as copy:
  assert os.path.isfile(f"{copy}/manifest/metadata")
"""


@pytest.mark.slow
def test_a_damaged_checkpoint_in_a_bucket_is_renamed(environment, bucket):
  process = subprocess.Popen(
    [sys.executable, "-c", DAMAGED],
    env=environment | bucket.environment,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == "saved\n", process.communicate()
  folder = "some/run/checkpoints/10/"
  name = max(
    (name for name in bucket.objects if name.startswith(folder)),
    key=lambda name: len(bucket.objects[name][1]),
  )
  about, data = bucket.objects[name]
  half = len(data) // 2
  data = data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :]
  bucket.objects[name] = about, data
  before = {
    name.removeprefix(folder): data
    for name, (_, data) in bucket.objects.items()
    if name.startswith(folder)
  }
  # An unfinished save of another process.
  bucket.put({}, "some/run/checkpoints/15/state/_METADATA", b"{}", {})
  _, err = process.communicate("\n", timeout=120)
  assert process.returncode == 0, err
  assert "10 is renamed to 10.unusable" in err
  folder = "some/run/checkpoints/10.unusable/"
  assert before == {
    name.removeprefix(folder): data
    for name, (_, data) in bucket.objects.items()
    if name.startswith(folder)
  }
