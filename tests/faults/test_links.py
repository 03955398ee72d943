"""Links in an untrusted folder: nothing is written through them."""

import os

import pytest
from etils import epath
from short_runs import line

from seqsum.runs import folder
from seqsum.runs.writer import MetricsWriter
from seqsum.runtime import files, lock
from seqsum.runtime.errors import InputError

PRECIOUS = "a file of the user's\n"


@pytest.fixture
def victim(tmp_path):
  path = tmp_path / "victim"
  path.write_text(PRECIOUS)
  yield path
  assert path.read_text() == PRECIOUS


@pytest.fixture
def run(tmp_path):
  path = tmp_path / "run"
  path.mkdir()
  return path


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_that_is_a_link_is_refused(victim, run, link):
  link(victim, run / lock.NAME)
  with pytest.raises(InputError, match=r"\.lock is a link.*: .* move it away"):
    lock.take(epath.Path(run))


def test_a_lock_that_is_a_fifo_is_refused(run):
  os.mkfifo(run / lock.NAME)
  with pytest.raises(InputError, match=r"\.lock is a link, or not a file"):
    lock.take(epath.Path(run))


def test_a_lock_file_of_another_program_is_not_changed(run):
  (run / lock.NAME).write_text(PRECIOUS)
  with pytest.raises(InputError, match="is a file that seqsum did not write"):
    lock.take(epath.Path(run))
  assert (run / lock.NAME).read_text() == PRECIOUS


def test_a_partial_file_that_is_a_link_is_replaced(victim, run):
  (run / "metrics.jsonl.partial").symlink_to(victim)
  with MetricsWriter(epath.Path(run)) as writer:
    writer.write(line(1))
  assert not (run / "metrics.jsonl").is_symlink()


def test_metrics_are_not_written_through_a_link(victim, run, caplog):
  with MetricsWriter(epath.Path(run)) as writer:
    (run / "metrics.jsonl").unlink()
    (run / "metrics.jsonl").symlink_to(victim)
    writer.write(line(1))
    assert not writer.flush()
  assert f"{run / 'metrics.jsonl'}: " in caplog.text


def test_a_page_that_is_a_link_is_replaced(victim, run):
  (run / "index.html").symlink_to(victim)
  files.write_atomically(epath.Path(run / "index.html"), "page")
  assert (run / "index.html").read_text() == "page"
  assert not (run / "index.html").is_symlink()


@pytest.mark.parametrize("name", folder.NAMES)
def test_a_folder_with_a_link_for_a_file_is_refused(victim, run, name):
  (run / name).symlink_to(victim)
  with pytest.raises(
    InputError, match=f"{name} is a symbolic link to {victim}"
  ):
    folder.make_folder(run)


def test_a_folder_that_is_a_link_is_accepted(run, tmp_path):
  (tmp_path / "link").symlink_to(run)
  home = folder.make_folder(tmp_path / "link")
  with lock.take(home), MetricsWriter(home) as writer:
    writer.write(line(1))
  assert (run / "metrics.jsonl").exists()
