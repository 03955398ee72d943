"""A bucket that cannot be reached for a while: 503, or closed connections."""

import json
import re
import signal
import socket
import subprocess
import sys
import time

import aiohttp
import pytest
from etils import epath
from gcs_server import GcsServer, Refused
from gcsfs import retry
from google.protobuf.message import DecodeError
from short_runs import QUICK, ROOT, assert_same_run, assert_same_summary, line

from seqsum.runs.run_files import read_lines
from seqsum.runs.writer import MetricsWriter
from seqsum.runtime.errors import Unreachable
from seqsum.runtime.object_storage import is_outage

WORKDIR = "gs://bucket/some/run"
# `python -m seqsum.main` whose bucket's clients give up a hundred times sooner;
# gcsfs has no setting for that.
HASTY = """
import asyncio, runpy, types
import gcsfs.retry
from seqsum.runtime import object_storage

hasty = types.SimpleNamespace(sleep=lambda s: asyncio.sleep(s / 100))
gcsfs.retry.asyncio = hasty
object_storage.RETRIES |= {"initial_delay": "10ms", "max_delay": "320ms"}
object_storage.BARRIER_TIMEOUT = 5
runpy.run_module("seqsum.main", run_name="__main__", alter_sys=True)
"""
FAULTS = {"503": Refused(503), "closed": ConnectionResetError()}
SAVE_OF_10 = "POST .*checkpoints%2F10%2Fstate"


class Bucket(GcsServer):
  """A server with outages, and what runs say that meet them."""

  def __init__(self, environment, log):
    super().__init__()
    self._environment, self._log = environment | self.environment, log

  def start(self, *flags):
    with open(self._log, "a") as err:
      return subprocess.Popen(
        [sys.executable, "-c", HASTY, *QUICK, f"--workdir={WORKDIR}", *flags],
        cwd=ROOT,
        env=self._environment,
        stdout=subprocess.PIPE,
        stderr=err,
        text=True,
      )

  def run(self):
    """(exit code, stdout, lines of stderr) of a run."""
    self._log.write_text("")
    process = self.start()
    out, _ = process.communicate(timeout=120)
    return process.returncode, out, self.said()

  def said(self):
    """Without TensorStore's line on what it tells the server it is."""
    text = self._log.read_text()
    assert "Traceback" not in text, text
    lines = text.splitlines()
    return [x for x in lines if "GOOGLE_AUTH_TOKEN_FOR_TESTING" not in x]

  def fail(self, fault, begins, ends=lambda: False):
    """From a request that fits a pattern until `ends`, once, all fail."""
    state = ["waits"]

    def before(request):
      if state[0] == "waits" and re.search(begins, request):
        state[0] = "fails"
      if state[0] == "fails":
        if ends():
          state[0] = "over"
        else:
          raise FAULTS[fault]

    self.before = before

  def mend(self):
    self.before = lambda request: None

  def download(self, folder):
    for name, (_, data) in self.objects.items():
      path = folder / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(data)
    return folder / "some" / "run"

  def lines(self):
    """Those of training in metrics.jsonl, by their steps."""
    _, data = self.objects.get("some/run/metrics.jsonl", (None, b""))
    lines = [json.loads(line) for line in data.splitlines()]
    return [line["step"] for line in lines if line["split"] == "train"]

  def steps(self):
    """Of the checkpoints that were saved whole."""
    found = [
      re.fullmatch(r"some/run/checkpoints/([^/]+)/commit_success.txt", name)
      for name in self.objects
    ]
    return sorted(x[1] for x in found if x)


@pytest.fixture
def bucket(environment, tmp_path):
  with Bucket(environment, tmp_path / "said") as server:
    yield server
  assert not server.refused


def after(error, cause):
  error.__cause__ = cause
  return error


@pytest.mark.parametrize(
  ("error", "is_one"),
  [
    (retry.HttpError({"code": 503}), True),
    (aiohttp.ServerDisconnectedError(), True),
    (ValueError("ABORTED: All 8 retry attempts failed: CURL error"), True),
    (after(RuntimeError("Orbax's"), retry.HttpError()), True),
    (FileNotFoundError("bucket/some/run"), False),
    (DecodeError("a damaged file"), False),
    (ValueError("DATA_LOSS: CRC-32C checksum verification failed"), False),
  ],
)
def test_an_outage_is_told_from_damage(error, is_one):
  assert is_outage(error) == is_one


def test_a_bucket_that_failed_is_left_alone_until_a_save(
  monkeypatch, tmp_path, caplog
):
  tries = []

  def fails(*args):
    tries.append(args)
    raise Unreachable("503")

  monkeypatch.setattr("seqsum.runs.writer.is_remote", lambda path: True)
  path = epath.Path(tmp_path)
  with MetricsWriter(path) as writer:
    with monkeypatch.context() as patch:
      patch.setattr("seqsum.runs.writer.write_atomically", fails)
      for step in (1, 2, 3):
        writer.write(line(step))
      assert len(tries) == 1
      assert not writer.flush()
      assert len(tries) == 2
    assert caplog.text.count("METRICS COULD NOT BE WRITTEN") == 2
    writer.write(line(4))
    assert not read_lines(path / "metrics.jsonl")
    assert writer.flush()
    writer.write(line(5))
    assert read_lines(path / "metrics.jsonl") == [*map(line, range(1, 6))]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_outlives_an_outage_that_begins_during_a_save(
  bucket, finished, tmp_path, fault
):
  def ends():
    text = "\n".join(bucket.said())
    return (
      re.search("CHECKPOINT OF STEP (10|15) COULD NOT BE SAVED", text)
      and text.count("METRICS COULD NOT BE WRITTEN") >= 2
    )

  bucket.fail(fault, SAVE_OF_10, ends)
  code, out, said = bucket.run()
  assert code == 0, said
  assert ends()
  about = (
    r"THE CHECKPOINT OF STEP (10|15) COULD NOT BE SAVED: .*; the next save "
    "tries again|METRICS COULD NOT BE WRITTEN: .*cannot be written"
    "|tensorboard cannot be written: .*cannot be written"
  )
  assert not [x for x in said if not re.search(about, x)]
  assert "goes on from step" not in out
  there = bucket.download(tmp_path)
  assert_same_run(there, finished[0])  # no line lost, none twice
  assert_same_summary(there, finished[0])
  # No part of what failed; 20, if it was not left out, was once the best.
  kept = {x.name for x in (there / "checkpoints").iterdir()}
  assert kept - {"20"} == {"35", "40"}


@pytest.mark.slow
def test_an_outage_until_the_end_is_one_line_and_the_run_goes_on(
  bucket, finished, tmp_path
):
  bucket.fail("503", SAVE_OF_10)
  code, _, said = bucket.run()
  assert code == 1
  assert re.search("metrics.jsonl lacks the last lines of this run", said[-1])
  assert sum("seqsum: " in x for x in said) == 1
  assert bucket.steps() == ["5"]

  # What cannot be reached is not damaged.
  before = set(bucket.objects)
  bucket.fail("closed", r"GET .*checkpoints%2F5%2Fstate")
  code, _, said = bucket.run()
  assert code == 1
  (line,) = said
  assert re.search("seqsum: .*/checkpoints cannot be reached: ", line)
  assert set(bucket.objects) == before

  bucket.mend()
  code, out, said = bucket.run()
  assert (code, said) == (0, [])
  assert "goes on from step 5" in out
  there = bucket.download(tmp_path)
  assert_same_run(there, finished[0])
  assert_same_summary(there, finished[0])


@pytest.mark.slow
def test_an_outage_once_all_is_saved_is_one_line(bucket, finished, tmp_path):
  bucket.fail(
    "503", r"GET .*checkpoints%2F(20|40)%2Fcontents%2Fmetadata.*alt=media"
  )
  code, _, said = bucket.run()
  assert code == 1
  assert re.search("seqsum: .* cannot be reached: ", said[-1])
  assert sum("seqsum: " in x for x in said) == 1
  assert "some/run/summary.json" not in bucket.objects
  bucket.mend()
  code, out, said = bucket.run()
  assert (code, said) == (0, [])
  assert "goes on from step 40" in out
  assert_same_run(bucket.download(tmp_path), finished[0])


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_at_the_start_is_one_line(bucket, fault):
  bucket.fail(fault, "")
  code, _, said = bucket.run()
  assert code == 1
  (line,) = said
  assert re.search(f"seqsum: --workdir={WORKDIR}: cannot be written", line)


@pytest.fixture
def start_two(bucket):
  """Starts the two processes of a run; both are gone when the test ends."""
  started = []

  def start():
    with socket.socket() as free:
      free.bind(("127.0.0.1", 0))
      address = f"127.0.0.1:{free.getsockname()[1]}"
    pair = [
      bucket.start(
        "--config.epochs=60",
        "--noreport",
        f"--coordinator_address={address}",
        "--num_processes=2",
        f"--process_id={i}",
      )
      for i in range(2)
    ]
    started.extend(pair)
    return pair

  yield start
  for process in started:
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_two_processes_outlive_an_outage_stop_and_go_on(bucket, start_two):
  """It hits what the lead alone does; the other waits, and gives up."""

  def stop_at(step, pair):
    deadline = time.monotonic() + 100
    while max(bucket.lines(), default=0) < step:
      assert pair[0].poll() is None, bucket.said()
      assert time.monotonic() < deadline, bucket.said()
      time.sleep(0.1)
    pair[1].send_signal(signal.SIGTERM)
    outs = [process.communicate(timeout=60)[0] for process in pair]
    assert [x.returncode for x in pair] == [143, 143], bucket.said()
    return outs[0]

  def ends():
    return sum("STEP 10 COULD NOT BE SAVED" in x for x in bucket.said()) == 2

  bucket.fail("503", "POST .*checkpoints/10/.*commit_success", ends)
  stop_at(20, start_two())
  assert ends()
  step = max(map(int, bucket.steps()))
  assert step >= 20
  before = len(bucket.said())
  out = stop_at(step + 8, start_two())
  assert f"goes on from step {step:,}" in out
  assert len(bucket.said()) == before
  lines = bucket.lines()
  assert lines == list(range(4, lines[-1] + 1, 4))
