"""Outages of object storage: status 503, or closed connections."""

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

from seqsum.runs.history import read_lines
from seqsum.runs.writer import MetricsWriter
from seqsum.runtime.errors import Unreachable
from seqsum.runtime.object_storage import is_outage

WORKDIR = "gs://bucket/some/run"
# `python -m seqsum.main` whose storage clients give up a hundred times sooner;
# gcsfs has no option for it.
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
  """A server with outages, and the output of runs that use it."""

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
    return process.returncode, out, self.log_lines()

  def log_lines(self):
    """Lines of stderr, without TensorStore's about its test token."""
    text = self._log.read_text()
    assert "Traceback" not in text, text
    lines = text.splitlines()
    return [x for x in lines if "GOOGLE_AUTH_TOKEN_FOR_TESTING" not in x]

  def fail(self, fault, begins, ends=lambda: False):
    """Fail all requests from one that matches a pattern until `ends()`."""
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

  def end_outage(self):
    self.before = lambda request: None

  def download(self, folder):
    for name, (_, data) in self.objects.items():
      path = folder / name
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(data)
    return folder / "some" / "run"

  def lines(self):
    """Steps of the training lines in metrics.jsonl."""
    _, data = self.objects.get("some/run/metrics.jsonl", (None, b""))
    lines = [json.loads(line) for line in data.splitlines()]
    return [line["step"] for line in lines if line["split"] == "train"]

  def steps(self):
    """Steps of the complete checkpoints."""
    found = [
      re.fullmatch(r"some/run/checkpoints/([^/]+)/commit_success.txt", name)
      for name in self.objects
    ]
    return sorted(x[1] for x in found if x)


def is_exit_line(line):
  """Whether a line is the last one of a failed command, and not of its log."""
  return bool(re.match("seqsum: (?!warning|error)", line))


@pytest.fixture
def bucket(environment, tmp_path):
  with Bucket(environment, tmp_path / "log") as server:
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
def test_outages_are_distinguished_from_damage(error, is_one):
  assert is_outage(error) == is_one


def test_writes_pause_after_an_outage_until_a_save(
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
    assert caplog.text.count("could not write metrics") == 2
    writer.write(line(4))
    assert not read_lines(path / "metrics.jsonl")
    assert writer.flush()
    writer.write(line(5))
    assert read_lines(path / "metrics.jsonl") == [*map(line, range(1, 6))]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_survives_an_outage_during_a_save(
  bucket, finished, tmp_path, fault
):
  def ends():
    text = "\n".join(bucket.log_lines())
    return (
      re.search("could not save the checkpoint of step (10|15)", text)
      and text.count("could not write metrics") >= 2
    )

  bucket.fail(fault, SAVE_OF_10, ends)
  code, out, log = bucket.run()
  assert code == 0, log
  assert ends()
  about = (
    r"could not save the checkpoint of step (10|15): .*; the next save "
    "tries again|could not write metrics: .*cannot be written"
    "|tensorboard cannot be written: .*cannot be written"
  )
  assert not [x for x in log if not re.search(about, x)]
  assert "resuming from step" not in out
  there = bucket.download(tmp_path)
  assert_same_run(there, finished[0])  # no line is lost or written twice
  assert_same_summary(there, finished[0])
  # No part of a failed save; 20 may have been the best step for a while.
  kept = {x.name for x in (there / "checkpoints").iterdir()}
  assert kept - {"20"} == {"35", "40"}


@pytest.mark.slow
def test_an_outage_until_the_end_is_one_line_and_the_run_resumes(
  bucket, finished, tmp_path
):
  bucket.fail("503", SAVE_OF_10)
  code, _, log = bucket.run()
  assert code == 1
  assert re.search("metrics.jsonl lacks the last lines of this run", log[-1])
  assert sum(is_exit_line(x) for x in log) == 1
  assert bucket.steps() == ["5"]

  # A checkpoint that cannot be reached is not treated as damaged.
  before = set(bucket.objects)
  bucket.fail("closed", r"GET .*checkpoints%2F5%2Fstate")
  code, _, log = bucket.run()
  assert code == 1
  (line,) = log
  assert re.search("seqsum: .*/checkpoints cannot be reached: ", line)
  assert set(bucket.objects) == before

  bucket.end_outage()
  code, out, log = bucket.run()
  assert (code, log) == (0, [])
  assert "resuming from step 5" in out
  there = bucket.download(tmp_path)
  assert_same_run(there, finished[0])
  assert_same_summary(there, finished[0])


@pytest.mark.slow
def test_an_outage_after_the_last_save_is_one_line(bucket, finished, tmp_path):
  bucket.fail(
    "503", r"GET .*checkpoints%2F(20|40)%2Fmanifest%2Fmetadata.*alt=media"
  )
  code, _, log = bucket.run()
  assert code == 1
  assert re.search("seqsum: .* cannot be reached: ", log[-1])
  assert sum(is_exit_line(x) for x in log) == 1
  assert "some/run/summary.json" not in bucket.objects
  bucket.end_outage()
  code, out, log = bucket.run()
  assert (code, log) == (0, [])
  assert "resuming from step 40" in out
  assert_same_run(bucket.download(tmp_path), finished[0])


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_an_outage_at_the_start_is_one_line(bucket, fault):
  bucket.fail(fault, "")
  code, _, log = bucket.run()
  assert code == 1
  (line,) = log
  assert re.search(f"seqsum: --workdir={WORKDIR}: cannot be written", line)


@pytest.fixture
def start_two(bucket):
  """A function that starts a run of two processes; they end with the test."""
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
def test_two_processes_survive_an_outage_and_resume(bucket, start_two):
  """Requests of the lead alone fail; the other process times out."""

  def stop_at(step, pair):
    deadline = time.monotonic() + 100
    while max(bucket.lines(), default=0) < step:
      assert pair[0].poll() is None, bucket.log_lines()
      assert time.monotonic() < deadline, bucket.log_lines()
      time.sleep(0.1)
    pair[1].send_signal(signal.SIGTERM)
    outs = [process.communicate(timeout=60)[0] for process in pair]
    assert [x.returncode for x in pair] == [143, 143], bucket.log_lines()
    return outs[0]

  def ends():
    words = "could not save the checkpoint of step 10:"
    return sum(words in x for x in bucket.log_lines()) == 2

  bucket.fail("503", "POST .*checkpoints/10/.*commit_success", ends)
  stop_at(20, start_two())
  assert ends()
  step = max(map(int, bucket.steps()))
  assert step >= 20
  before = len(bucket.log_lines())
  out = stop_at(step + 8, start_two())
  assert f"resuming from step {step:,}" in out
  assert len(bucket.log_lines()) == before
  lines = bucket.lines()
  assert lines == list(range(4, lines[-1] + 1, 4))
