"""Opening a run: files that are written, refusals and warnings."""

import json
import os
import re
import time

import jax
import pytest

from configs import sum_tiny
from seqsum.runs import results
from seqsum.runs.folder import differences
from seqsum.runs.session import open_session
from seqsum.runtime.errors import InputError


def tiny(**fields):
  config = sum_tiny.get_config()
  config.update_from_flattened_dict(fields)
  return config


def refused(config, workdir, call=open_session):
  with pytest.raises(InputError) as caught, call(config, workdir):
    pass
  return str(caught.value)


@pytest.mark.parametrize(
  ("fields", "words"),
  [
    ({"data.name": "mnits"}, "did you mean 'mnist'"),
    ({"data.name": "mnist", "data.manual_dir": "/nowhere"}, "/nowhere"),
    (
      {"data.name": "npz:/nowhere.npz", "data.kind": "files"},
      "/nowhere.npz",
    ),
    ({"data.name": "npz:/nowhere.npz"}, "set config.data.kind='files'"),
    pytest.param(
      {"batch_size": 7}, "batch_size=7", marks=pytest.mark.devices(8)
    ),
    ({"model.conv.kernels": (30, 3)}, "too large for frames"),
  ],
)
def test_a_refused_run_leaves_no_files(tmp_path, fields, words):
  config = tiny(**fields)
  assert words in refused(config, tmp_path / "a" / "run")
  assert os.listdir(tmp_path) == []
  # Existing files stay, and none is added.
  old = tmp_path / "old"
  old.mkdir()
  (old / "note").write_text("mine")
  assert words in refused(config, old)
  assert {path.name: path.read_text() for path in old.iterdir()} == {
    "note": "mine"
  }
  empty = tmp_path / "empty"
  empty.mkdir()
  refused(config, empty)
  assert os.listdir(empty) == []


def test_a_refused_run_leaves_no_lock_file(tmp_path):
  with open_session(tiny(), tmp_path):
    pass
  (tmp_path / ".lock").unlink()
  assert "config.seed (0 there, 1 here)" in refused(tiny(seed=1), tmp_path)
  assert os.listdir(tmp_path) == ["config.json"]


def test_testing_a_missing_run_is_refused(tmp_path):
  with pytest.raises(InputError, match="no run is there"):
    results.test_again(tiny(), tmp_path / "typo")
  assert os.listdir(tmp_path) == []


def test_config_json_has_the_number_of_cores(tmp_path):
  with open_session(tiny(), tmp_path):
    devices = json.loads((tmp_path / "config.json").read_text())["devices"]
  assert devices["cores"] == os.cpu_count()
  assert devices["affinity"] == len(os.sched_getaffinity(0))
  assert isinstance(devices["processor"], str)


def test_affinity_is_that_of_the_process(tmp_path):
  mine = os.sched_getaffinity(0)
  os.sched_setaffinity(0, {min(mine)})
  try:
    with open_session(tiny(), tmp_path) as session:
      assert session.facts()["devices"]["affinity"] == 1
  finally:
    os.sched_setaffinity(0, mine)


def test_a_change_of_machine_warns_with_both_values(tmp_path, caplog):
  path = tmp_path / "config.json"
  with open_session(tiny(), tmp_path) as session:
    session.warn_of_changes()
    assert caplog.messages == []
    written = json.loads(path.read_text())
    now = written["devices"]["affinity"]
    written["devices"] |= {"affinity": 77, "kind": "TPU v4"}
    written["versions"]["jax"] = "0.1.2"
    path.write_text(json.dumps(written))
    session.warn_of_changes()
  (line,) = caplog.messages
  assert "numbers may differ in their last digits" in line
  assert f"devices.affinity was 77 and is {now}" in line
  kind = jax.devices()[0].device_kind
  assert f"devices.kind was 'TPU v4' and is {kind!r}" in line
  assert "versions.jax was '0.1.2' and is" in line


def test_missing_facts_are_not_differences():
  now = {"devices": {"kind": "cpu", "cores": 2}, "versions": {"jax": "1"}}
  assert differences({}, now) == []
  assert differences({"devices": {"kind": "cpu"}}, now) == []
  assert differences({"devices": None, "versions": []}, now) == []


@pytest.mark.parametrize("field", ["conv.features", "hidden_sizes", "dense"])
def test_three_thousand_layers_are_refused(tmp_path, field):
  words = refused(tiny(**{f"model.{field}": (8,) * 3_000}), tmp_path / "run")
  assert words.startswith(f"config.model.{field}=(8, 8, 8, ")
  assert len(words) < 200
  assert words.endswith("must be at most 64")


def test_long_sums_without_classes_open_quickly(tmp_path):
  """The core 'fold' needs no table of the values of a sum."""
  fields = {"loss": "cross_entropy", "sequence.max_len": 65_536}
  began = time.process_time()
  with open_session(tiny(**fields, **{"model.core": "fold"}), tmp_path):
    assert time.process_time() - began < 10


def test_too_many_parameters_are_refused(tmp_path):
  words = refused(
    tiny(**{"model.hidden_sizes": (1_000_000,)}), tmp_path / "run"
  )
  # 800 features and the state into three gates; the head.
  count = 3 * (800 + 1_000_000) * 1_000_000
  assert re.match(
    r"config.model has 3,002,4\d\d,\d{3},\d{3} parameters: ", words
  )
  # RMSProp keeps one number a parameter; and there is the gradient.
  assert f"take {12 * count / 1e9:,.0f} GB of memory" in words
  assert os.listdir(tmp_path) == []


def test_a_folder_whose_name_is_not_utf8_is_refused(tmp_path):
  workdir = tmp_path / os.fsdecode(b"run \xff")
  assert "the name is not UTF-8" in refused(tiny(), workdir)
  assert os.listdir(tmp_path) == []
