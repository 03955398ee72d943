"""Prints that the encoding lacks, and prints without a reader."""

import os
import subprocess
import sys

import pytest
from etils import epath
from PIL import Image
from short_runs import QUICK, ROOT

from seqsum.runtime import files

NAMES = [os.fsdecode(b"\xff.png"), "é±.png"]
PRINT = """
import sys
from seqsum.runtime import streams
streams.protect()
print(*sys.argv[1:], "░ ±")
print("to stderr ±", file=sys.stderr)
"""


def python(code, *args, **env):
  return subprocess.run(
    [sys.executable, "-c", code, *args],
    cwd=ROOT,
    env=os.environ | env,
    capture_output=True,
  )


@pytest.mark.parametrize(
  ("encoding", "out"),
  [
    ("ascii", rb"\udcff.png \xe9\xb1.png \u2591 \xb1"),
    ("cp1252", b"\\udcff.png \xe9\xb1.png \\u2591 \xb1"),
    ("utf-8", b"\\udcff.png " + "é±.png ░ ±".encode()),
  ],
)
def test_characters_that_the_encoding_lacks_are_escaped(encoding, out):
  done = python(PRINT, *NAMES, PYTHONIOENCODING=encoding)
  assert done.returncode == 0, done.stderr
  assert done.stdout.strip() == out
  assert done.stderr.strip().startswith(b"to stderr ")


LATER = """
import sys
from seqsum.runtime import streams
streams.protect()
print("first", flush=True)
sys.stdin.read()  # until the reader has ended
print("second", flush=True)
print("third", flush=True)
print("fourth", file=sys.stderr)
open(sys.argv[1], "w").write("done")
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_program_continues_after_its_reader_ended(tmp_path, stream):
  process = subprocess.Popen(
    [sys.executable, "-c", LATER, tmp_path / "work"],
    cwd=ROOT,
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
  )
  assert process.stdout.readline() == b"first\n"
  getattr(process, stream).close()
  process.stdin.close()
  assert process.wait(timeout=60) == 0
  assert (tmp_path / "work").read_text() == "done"


def test_a_full_disk_is_still_an_error():
  code = PRINT + "sys.stdout.flush()"
  with open("/dev/full", "wb") as full:
    done = subprocess.run(
      [sys.executable, "-c", code], cwd=ROOT, stdout=full, stderr=-1
    )
  assert done.returncode != 0
  assert b"No space left" in done.stderr


@pytest.mark.slow
def test_a_run_without_a_reader_finishes(environment, tmp_path):
  process = subprocess.Popen(
    [sys.executable, "-m", "seqsum.main", *QUICK, f"--workdir={tmp_path}"],
    cwd=ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
  )
  process.stdout.readline()  # | head -n 1
  process.stdout.close()
  assert process.wait(timeout=300) == 0
  assert (tmp_path / "summary.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_predict_prints_any_file_name(
  finished, bundled, environment, tmp_path, encoding
):
  digit = 255 - bundled.test.images[0, :, :, 0]
  picture = Image.fromarray(digit).resize((280, 280))
  for name in NAMES:
    picture.save(tmp_path / "plain.png")
    os.rename(tmp_path / "plain.png", tmp_path / name)
  done = subprocess.run(
    [
      *(sys.executable, "-m", "seqsum.predict", f"--workdir={finished[0]}"),
      *("--show_frames", *(tmp_path / name for name in NAMES)),
    ],
    cwd=ROOT,
    env=environment | {"PYTHONIOENCODING": encoding},
    capture_output=True,
  )
  assert done.returncode == 0, done.stderr
  said = done.stdout.decode(encoding)
  assert r"\udcff.png" in said
  assert (r"\xe9\xb1.png" if encoding == "ascii" else "é±.png") in said
  assert "sum: " in said


def test_file_contents_may_have_any_file_name(tmp_path):
  """As in a report."""
  files.write_atomically(epath.Path(tmp_path) / "page", NAMES[0])
  assert (tmp_path / "page").read_bytes() == rb"\udcff.png"


CLOSED = """
import os, sys
from seqsum.runtime import streams
streams.reopen()
streams.protect()
file = open(sys.argv[1], "w")
assert file.fileno() > 2, file.fileno()
print("to nobody"), print("to nobody", file=sys.stderr)
os.write(1, b"nor this"), os.write(2, b"nor this")
file.write("alone")
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_output_to_a_closed_stream_is_in_no_file(tmp_path, closed):
  done = subprocess.run(
    ["bash", "-c", f'"$0" -c "$1" "$2" {closed}']
    + [sys.executable, CLOSED, str(tmp_path / "file")],
    cwd=ROOT,
    capture_output=True,
  )
  assert done.returncode == 0, done.stderr
  assert (tmp_path / "file").read_text() == "alone"


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_run_with_closed_streams_finishes(tmp_path, environment, closed):
  command = f'"$0" -m seqsum.main "$@" {closed}'
  done = subprocess.run(
    ["bash", "-c", command, sys.executable, *QUICK]
    + [f"--workdir={tmp_path / 'run'}"],
    cwd=ROOT,
    env=environment,
    capture_output=True,
  )
  assert done.returncode == 0, done.stderr
  assert (tmp_path / "run" / "summary.json").exists()


FULL = """
from seqsum.runtime import cli
cli.run(lambda: print("much") or 0)
"""


def test_a_full_disk_behind_stdout_is_one_line():
  done = subprocess.run(
    ["bash", "-c", '"$0" -c "$1" > /dev/full', sys.executable, FULL],
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 1
  assert done.stderr.startswith("seqsum: ")
  assert len(done.stderr.splitlines()) == 1, done.stderr
