"""Push a run to a stand-in of the Hugging Face Hub, and load it from there."""

import json
import os
import pathlib
import pickle
import re
import subprocess
import sys

import hub_server
import jax
import numpy as np
import pytest
import yaml
from PIL import Image
from short_runs import ROOT

import seqsum
from seqsum.inference import exported, hub, model_card, trained, weights
from seqsum.runtime import files
from seqsum.runtime.errors import InputError

hf = pytest.importorskip("huggingface_hub", reason="pip install -e '.[hub]'")
pytest.importorskip("safetensors", reason="pip install -e '.[hub]'")

REPOSITORY = "me/digits"
URL = f"hf://{REPOSITORY}"
FRAMES = np.random.default_rng(0).random((2, 3, 28, 28), "float32")


@pytest.fixture(scope="module")
def packed():
  return model_card.pack(trained.PRETRAINED, REPOSITORY, "apache-2.0")


@pytest.fixture
def server(monkeypatch, tmp_path):
  with hub_server.HubServer() as server:
    monkeypatch.setattr(hf.constants, "ENDPOINT", server.url)
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(hf.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    for name in ("HF_HUB_CACHE", "HF_TOKEN_PATH", "AGENT_HARNESSES_PATH"):
      monkeypatch.setattr(hf.constants, name, str(tmp_path / name.lower()))
    monkeypatch.setattr(hf.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    yield server
    assert not server.refused


def make_run(folder, packed, **more):
  """A finished run's folder without checkpoints; returns it."""
  folder.mkdir()
  for name, content in (packed | more).items():
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
  return folder


def test_a_pushed_model_predicts_the_same(server, packed):
  page, commit = hub.upload(REPOSITORY, packed, private=False)
  assert page == f"{server.url}/{REPOSITORY}"
  assert server.files(REPOSITORY) == packed
  model = seqsum.load(URL)
  assert model.name == "digits"
  expected = seqsum.load(trained.PRETRAINED)
  np.testing.assert_array_equal(model.predict(FRAMES), expected.predict(FRAMES))
  # The cache has the commit: nothing is asked, and the hub may be gone.
  asked = len(server.requests)
  again = seqsum.load(f"{URL}@{commit}")
  assert not any("resolve" in x for x in server.requests[asked:])
  server.answer = 503, "ServiceUnavailable"
  offline = seqsum.load(URL)
  for other in (again, offline):
    jax.tree.map(np.testing.assert_array_equal, other.params, model.params)
  with pytest.raises(InputError, match="cannot be reached, and the cache has"):
    seqsum.load("hf://me/another")


def test_a_revision_is_that_one(server, packed):
  first = server.commit(REPOSITORY, packed)
  summary = json.loads(packed["summary.json"]) | {"parameters": 7}
  server.commit(REPOSITORY, {"summary.json": json.dumps(summary).encode()})
  parameters = lambda url: json.loads(
    (hub.download(url)[0] / "summary.json").read_text()
  )["parameters"]
  assert parameters(URL) == 7
  assert parameters(f"{URL}@{first}") == 98_554
  with pytest.raises(InputError, match="has no such revision"):
    hub.download(f"{URL}@v2")


def test_only_the_files_of_a_model_are_downloaded(server, packed):
  server.commit(REPOSITORY, packed | {"evil.py": b"x", "weights.npz": b"x"})
  folder, _ = hub.download(URL)
  assert {x.name for x in folder.iterdir()} == set(hub.READ)


@pytest.mark.parametrize(
  ("answer", "words"),
  [
    ((401, "Unauthorized"), r"refuses access \(401\): run `hf auth login`"),
    ((403, "Forbidden"), r"refuses access \(403\)"),
    ((404, "RepoNotFound"), "no such repository, or it is private"),
    ((500, "Error"), "cannot be reached"),
  ],
)
@pytest.mark.parametrize("push", [False, True])
def test_refusals_are_one_line_without_the_token(
  server, packed, answer, words, push
):
  server.answer = answer
  call = hub.download, (URL,)
  if push:
    call = hub.upload, (REPOSITORY, packed, False)
  function, arguments = call
  with pytest.raises(InputError, match=words) as caught:
    function(*arguments)
  assert "\n" not in str(caught.value)
  assert hub_server.TOKEN not in str(caught.value)
  assert str(caught.value).startswith(REPOSITORY if push else URL)


def test_a_repository_of_another_user_is_not_written(server, packed):
  with pytest.raises(InputError, match="refuses access"):
    hub.upload("you/digits", packed, private=False)


def test_without_a_token_nothing_is_asked(server, packed, monkeypatch):
  monkeypatch.delenv("HF_TOKEN")
  with pytest.raises(InputError, match="no token; run `hf auth login`"):
    hub.upload(REPOSITORY, packed, private=False)
  assert not server.requests


def test_private_is_private(server, packed, monkeypatch):
  hub.upload(REPOSITORY, packed, private=True)
  assert server.repositories[REPOSITORY]["private"]
  hub.download(URL)
  monkeypatch.delenv("HF_TOKEN")
  with pytest.raises(InputError, match=r"refuses access|private"):
    hub.download(f"{URL}@v3")


def test_private_files_are_not_added_to_a_public_repository(server, packed):
  server.commit(REPOSITORY, {"README.md": b"public"})
  with pytest.raises(InputError, match="is public: nothing was uploaded"):
    hub.upload(REPOSITORY, packed, private=True)
  assert server.files(REPOSITORY) == {"README.md": b"public"}


@pytest.mark.parametrize("name", hub.READ)
def test_a_missing_file_is_named(server, packed, name):
  server.commit(REPOSITORY, {k: v for k, v in packed.items() if k != name})
  with pytest.raises(InputError, match=f"has no {name}"):
    hub.download(URL)


class Payload:
  """Makes a folder when it is unpickled."""

  def __init__(self, marker):
    self._marker = marker

  def __reduce__(self):
    return os.mkdir, (str(self._marker),)


@pytest.mark.parametrize("damage", ["pickle", "cut", "flipped", "empty"])
def test_damaged_parameters_are_one_line_and_run_no_code(
  server, packed, damage, tmp_path
):
  content = packed[weights.SAFETENSORS]
  marker = tmp_path / "marker"
  hostile = {
    "pickle": pickle.dumps(Payload(marker)),
    "cut": content[:-9],
    "flipped": content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "empty": b"",
  }[damage]
  server.commit(REPOSITORY, packed | {weights.SAFETENSORS: hostile})
  with pytest.raises(InputError, match=weights.SAFETENSORS) as caught:
    seqsum.load(URL)
  assert "\n" not in str(caught.value)
  assert not marker.exists()


@pytest.mark.parametrize(
  "url",
  [
    *(
      "hf://",
      "hf://digits",
      "hf://a/b/c",
      "hf://../x",
      "hf://a/..",
      "hf://a//b",
    ),
    *("hf://a/b@", "hf://a/b@../c", "hf://a/b?c", "hf://a/b\n", "hf://a/-b"),
    *("hf://a/b--c", "hf://a/b..c", "hf://a/b.", f"hf://a/{'b' * 200}"),
  ],
)
def test_malformed_addresses_are_refused(url, monkeypatch):
  monkeypatch.setattr(hf.constants, "ENDPOINT", "http://127.0.0.1:9")
  with pytest.raises(InputError, match=r"not an address|not the name of"):
    seqsum.load(url)


def test_a_missing_package_is_named(monkeypatch):
  monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: None)
  with pytest.raises(InputError, match=r"pip install -e '\.\[hub\]'"):
    seqsum.load(URL)


def test_other_commands_refuse_the_address():
  with pytest.raises(InputError, match=r"only seqsum\.load, seqsum\.predict"):
    files.parse_path(URL)


def test_the_card_has_metrics_config_and_a_license(packed):
  card = packed["README.md"].decode()
  _, front, text = card.split("---\n", 2)
  data = yaml.safe_load(front)
  assert data["license"] == "apache-2.0"
  assert data["library_name"] == "seqsum"
  assert {"seqsum", "jax", "sum"} <= set(data["tags"])
  parsed = hf.ModelCardData(
    **yaml.safe_load(front), ignore_metadata_errors=False
  )
  found = {x.metric_type: x.metric_value for x in parsed.eval_results}
  test = json.loads((trained.PRETRAINED / "summary.json").read_text())["test"]
  assert found == {
    "mse": test["mse"],
    "mae": test["mae"],
    "accuracy": test["exact_accuracy"],
  }
  assert f'seqsum.load("{URL}")' in text
  assert "| `optimizer.learning_rate` | 0.002 |" in text
  (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
  compile(code, "README.md", "exec")


def test_no_license_is_stated_by_default():
  card = model_card.pack(trained.PRETRAINED, REPOSITORY, None)["README.md"]
  assert b"license:" not in card


def test_names_of_folders_are_removed():
  secret = {
    "data": {"name": "npz:/home/me/secret/x.npz", "splits": "C:\\me\\s.json"},
    "list": ["frames:~/secret/films/", "mnist", 1, None, "a.h5"],
  }
  assert model_card.without_folders(secret) == {
    "data": {"name": "npz:x.npz", "splits": "s.json"},
    "list": ["frames:films", "mnist", 1, None, "a.h5"],
  }


def png(path):
  path.parent.mkdir(exist_ok=True)
  Image.new("RGB", (4, 4)).save(path)
  return path.read_bytes()


@pytest.mark.parametrize(
  ("kind", "pictures"),
  [("digits", {"learning.png", "sequences.png"}), ("files", {"learning.png"})],
)
def test_pictures_of_own_data_stay_here(packed, tmp_path, kind, pictures):
  workdir = tmp_path / "run"
  content = json.loads(packed["config.json"])
  content["config"]["data"]["kind"] = kind
  workdir.mkdir()
  for name in ("learning", "sequences", "unknown"):
    png(workdir / "report" / f"{name}.png")
  names = model_card.CHARTS | ({} if kind == "files" else model_card.FRAMES)
  found = model_card.read_pictures(workdir, names)
  assert {f"{name}.png" for name in found} == pictures
  card = model_card.write(
    REPOSITORY,
    content["config"],
    json.loads(packed["summary.json"]),
    found,
    None,
  )
  assert set(re.findall(r"\((\w+\.png)\)", card)) == pictures


def test_a_link_among_the_pictures_is_refused(tmp_path):
  (tmp_path / "report").mkdir()
  (tmp_path / "secret").write_text("secret")
  link = tmp_path / "report" / "learning.png"
  link.symlink_to(tmp_path / "secret")
  with pytest.raises(InputError, match="symbolic link"):
    model_card.read_pictures(tmp_path, model_card.CHARTS)
  link.unlink()
  link.write_text("not a picture")
  with pytest.raises(InputError, match="not a PNG"):
    model_card.read_pictures(tmp_path, model_card.CHARTS)


def test_paths_of_the_machine_do_not_leave_it(packed, tmp_path):
  content = json.loads(packed["config.json"])
  content["config"]["data"] |= {
    "name": "/home/someone/digits",
    "data_dir": "/home/someone",
    "manual_dir": "/home/someone/mnist",
  }
  summary = json.loads(packed["summary.json"]) | {"dataset": "/home/someone/d"}
  config, summary = (json.dumps(x).encode() for x in (content, summary))
  more = {"config.json": config, "summary.json": summary}
  workdir = make_run(tmp_path / "run", packed, **more)
  for name, data in model_card.pack(workdir, REPOSITORY, None).items():
    assert b"someone" not in data, name
    assert str(tmp_path).encode() not in data, name


def test_safetensors_hold_the_arrays_of_the_npz(packed, tmp_path):
  folder = make_run(tmp_path / "run", packed)
  npz = exported.pack_weights(folder)
  assert npz[weights.MANIFEST] == packed[weights.MANIFEST]
  assert (
    npz[weights.FILE] == exported.pack_weights(trained.PRETRAINED)[weights.FILE]
  )


@pytest.mark.slow
def test_a_dry_run_writes_a_folder_that_can_be_loaded(run, tmp_path):
  out = tmp_path / "out"
  flags = str(trained.PRETRAINED), REPOSITORY, f"--dry_run={out}"
  done = run(*flags, cwd=tmp_path, program="seqsum.push")
  assert done.returncode == 0, done.stderr
  names = {path.name for path in out.iterdir()}
  assert names == {"README.md", *hub.READ}
  for name in names:
    assert f"{name}  {(out / name).stat().st_size:,} bytes" in done.stdout
  assert "nothing was uploaded" in done.stdout
  model = seqsum.load(str(out))
  assert model.step == 37_500


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ([], "name the folder of a run and a repository"),
    (["run"], "name the folder of a run and a repository"),
    (["run", "digits"], "'digits' is not the name of a repository"),
    (["nowhere", "me/digits"], "nowhere: no run is there"),
  ],
)
def test_bad_arguments_are_one_line(run, tmp_path, arguments, words):
  done = run(*arguments, cwd=tmp_path, program="seqsum.push")
  assert done.returncode == 1
  (complaint,) = done.stderr.splitlines()
  assert words in complaint


@pytest.mark.slow
def test_commands_push_and_predict(finished, environment, tmp_path):
  """As a user: push, predict by the address, then again without the hub."""
  image = tmp_path / "3.png"
  sheet = np.full((56, 56), 255, np.uint8)
  sheet[10:46, 24:32] = 0
  Image.fromarray(sheet).save(image)

  def call(*command):
    done = subprocess.run(
      [sys.executable, "-m", *command],
      cwd=ROOT,
      env=environment | variables,
      capture_output=True,
      text=True,
      timeout=280,
    )
    assert hub_server.TOKEN not in done.stdout + done.stderr
    return done

  def predict(workdir):
    done = call("seqsum.predict", f"--workdir={workdir}", "--json", str(image))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)

  with hub_server.HubServer() as server:
    variables = server.environment | {"HF_HOME": str(tmp_path / "home")}
    done = call("seqsum.push", str(finished[0]), REPOSITORY, "--private")
    assert done.returncode == 0, done.stderr
    assert f"see {server.url}/{REPOSITORY}, commit " in done.stdout
    found = server.files(REPOSITORY)
    assert {"learning.png", "sequences.png", "README.md"} <= set(found)
    here, there = predict(finished[0]), predict(URL)
    assert (here.pop("run"), there.pop("run")) == ("run", "digits")
    assert here == there
    server.answer = 403, "Forbidden"
    refused = call("seqsum.push", str(finished[0]), REPOSITORY)
    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1, refused.stderr
    assert "refuses access (403)" in refused.stderr
  assert not server.refused
  gone = predict(URL)  # nothing listens on that port now
  gone.pop("run")
  assert gone == there
  files = [x for x in pathlib.Path(tmp_path).rglob("*") if x.is_file()]
  assert len(files) > 4
  for path in files:
    assert hub_server.TOKEN.encode() not in path.read_bytes(), path
