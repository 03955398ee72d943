import errno
import json
import math
import os
import sys

import pytest
from etils import epath

from seqsum.data import recordings
from seqsum.inference import trained
from seqsum.runs import folder
from seqsum.runtime import cli, files
from seqsum.runtime.errors import InputError

DATA = {"dataset": {"name": "digits", "sha256": "12ab"}, "versions": {}}


def test_json_files_are_strict_and_complete(tmp_path):
  path = epath.Path(tmp_path / "x.json")
  files.write_json(path, {"a": math.nan, 3: [math.inf, (1, 2.5)]})
  strict = json.loads(path.read_text(), parse_constant=pytest.fail)
  assert strict == {"a": None, "3": [None, [1, 2.5]]}
  assert [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_a_folder_belongs_to_its_config_and_data(tmp_path):
  path = epath.Path(tmp_path)
  config = {"seed": 1, "data": {"name": "digits", "manual_dir": ""}}
  folder.write_or_check_config(path, config, DATA)
  elsewhere = {"seed": 1, "data": {"name": "digits", "manual_dir": "/x"}}
  folder.write_or_check_config(
    path, elsewhere, {**DATA, "versions": {"jax": "9"}}
  )
  with pytest.raises(InputError, match=r"config.seed \(1 there, 2 here\)"):
    folder.write_or_check_config(path, {**config, "seed": 2}, DATA)
  other = {"dataset": {"name": "mnist", "sha256": "34cd"}}
  with pytest.raises(InputError, match=r"dataset.name.*dataset.sha256"):
    folder.write_or_check_config(path, config, other)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(InputError, match="file/x: cannot be written"):
    folder.make_folder(tmp_path / "file" / "x")


def test_remote_paths_are_absolute(monkeypatch, tmp_path):
  monkeypatch.chdir(tmp_path)
  assert os.fspath(files.absolute_path("gs://bucket/run")) == "gs://bucket/run"
  assert os.fspath(files.absolute_path("run")) == str(tmp_path / "run")
  with pytest.raises(InputError, match="s3://bucket/run: s3:// is not supp"):
    folder.make_folder("s3://bucket/run")
  assert not list(tmp_path.iterdir())


def test_errors_of_object_storage_are_translated(monkeypatch):
  class Broken:
    def __fspath__(self):
      return "gs://bucket/run/metrics.jsonl"

    def write_bytes(self, content):
      raise RuntimeError("of the bucket's client")

  with pytest.raises(OSError, match="RuntimeError: of the bucket's client"):
    files.write_atomically(Broken(), "")
  monkeypatch.setitem(sys.modules, "gcsfs", None)
  with pytest.raises(InputError, match=r"install gcsfs.*\.\[gcs\]"):
    folder.make_folder("gs://bucket/run")


@pytest.mark.parametrize(
  ("path", "remedy"),
  [
    ("http://host/run", "http:// is not supported; name a folder"),
    (
      "file:///tmp/run",
      "file:// is not supported; remove file://: /tmp/run",
    ),
    ("s3://bucket/run", "s3:// is not supported; mount that bucket"),
    ("other://x", "other:// is not supported; mount that bucket"),
  ],
)
@pytest.mark.parametrize("use", [folder.make_folder, trained.load])
def test_unsupported_schemes_are_refused(path, remedy, use):
  with pytest.raises(InputError, match=f"^--workdir={path}: {remedy}"):
    use(path)


def test_home_is_expanded(monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path))
  assert folder.make_folder("~/run") == epath.Path(tmp_path / "run")
  assert (tmp_path / "run").is_dir()
  with pytest.raises(InputError, match=f"--workdir={tmp_path}/run: no run is"):
    trained.load("~/run")


def test_home_is_expanded_in_every_flag(monkeypatch, tmp_path):
  monkeypatch.setenv("HOME", str(tmp_path))
  words = ["--workdir=~/run", "--config.data.manual_dir=~/m", "~/3.png", "~"]
  words += ["a~/b", "--config.data.name=npz:~/x", "--plot=x/~/y"]
  assert [cli.expand_home(word) for word in words] == [
    f"--workdir={tmp_path}/run",
    f"--config.data.manual_dir={tmp_path}/m",
    f"{tmp_path}/3.png",
    str(tmp_path),
    *words[4:],
  ]
  (tmp_path / "data").mkdir()
  with pytest.raises(InputError, match=f"{tmp_path}/x.npz"):
    recordings.load("npz:~/x.npz")


def test_a_full_disk_error_names_the_file_and_the_remedy(monkeypatch, tmp_path):
  """Writing fails, not opening, so the system does not name the file."""

  def full(_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  path = tmp_path / "summary.json"
  monkeypatch.setattr(os, "fsync", full)
  with pytest.raises(OSError, match="No space left") as caught:
    files.write_json(epath.Path(path), {})
  assert cli.describe_os_error(caught.value) == (
    f"{path}: No space left on device; free space on that disk and rerun the "
    "same command"
  )
  assert not list(tmp_path.iterdir())
