"""How devices compute: determinism and the precision of matrix products."""

import functools
import json
import os
import types

import jax
import jax.numpy as jnp
import pytest

from configs import sum_tiny
from seqsum.runs import folder
from seqsum.runs.session import check, open_session
from seqsum.runtime import devices, malloc
from seqsum.runtime.errors import InputError

FLAG = "--xla_gpu_deterministic_ops"


@pytest.fixture
def flags(monkeypatch):
  """A function that calls `set_numerics` with some XLA_FLAGS and backend."""

  def flags(before, deterministic=True, uses_cpu=False):
    monkeypatch.setenv("XLA_FLAGS", before)
    monkeypatch.setattr(malloc, "uses_cpu", lambda: uses_cpu)
    devices.set_numerics(deterministic, "default")
    return os.environ["XLA_FLAGS"]

  return flags


@pytest.fixture(autouse=True)
def precision():
  before = jax.config.jax_default_matmul_precision
  yield
  jax.config.update("jax_default_matmul_precision", before)


def test_a_gpu_gets_the_flag_of_deterministic_operations(flags):
  assert flags("") == f"{FLAG}=true"
  assert flags("--xla_a=1") == f"--xla_a=1 {FLAG}=true"
  assert flags("--xla_a=1", deterministic=False) == "--xla_a=1"
  assert flags("--xla_a=1", uses_cpu=True) == "--xla_a=1"


@pytest.mark.parametrize("value", ["", "=true", "=false", "=0"])
def test_a_flag_of_the_user_is_kept(flags, value):
  assert flags(f"{FLAG}{value} --xla_a=1") == f"{FLAG}{value} --xla_a=1"


@pytest.mark.parametrize(
  ("platform", "text", "deterministic"),
  [
    ("gpu", "", False),
    ("gpu", f"{FLAG}=true", True),
    ("gpu", f"--xla_a=1 {FLAG} --xla_b=2", True),
    ("gpu", f"{FLAG}=true {FLAG}=false", False),
    ("gpu", f"{FLAG}=0", False),
    ("cpu", "", True),
    ("tpu", "", True),
  ],
)
def test_what_was_used_is_reported(monkeypatch, platform, text, deterministic):
  monkeypatch.setenv("XLA_FLAGS", text)
  device = types.SimpleNamespace(platform=platform)
  assert devices.numerics(device)["deterministic"] == deterministic


def test_the_precision_reaches_the_compiler():
  def precision():
    x = jnp.ones((8, 8))
    return "HIGHEST" in jax.jit(lambda a: a @ a).lower(x).as_text()

  config = sum_tiny.get_config()
  for name in ("highest", "default"):
    config.matmul_precision = name
    check(config)
    assert precision() == (name == "highest")


def test_an_unknown_precision_is_refused():
  config = sum_tiny.get_config()
  config.matmul_precision = "double"
  with pytest.raises(InputError, match=r"config\.matmul_precision='double'"):
    check(config)


def test_config_json_has_both_the_choice_and_what_was_used(tmp_path):
  config = sum_tiny.get_config()
  config.data.name, config.matmul_precision = "digits", "high"
  with open_session(config, tmp_path / "run"):
    pass
  written = json.loads((tmp_path / "run" / "config.json").read_text())
  assert written["config"]["deterministic"] is True
  assert written["config"]["matmul_precision"] == "high"
  assert written["devices"]["deterministic"] is True
  assert written["devices"]["matmul_precision"] == "high"


def test_a_run_from_before_the_fields_is_resumed(tmp_path):
  config = sum_tiny.get_config()
  config.data.name = "digits"
  with open_session(config, tmp_path / "run"):
    pass
  path = tmp_path / "run" / "config.json"
  written = json.loads(path.read_text())
  parts = {key: written[key] for key in ("config", "dataset")}
  digest = folder.digest(parts)
  for name in folder.ADDED:
    *sections, field = name.split(".")
    del functools.reduce(dict.get, sections, written["config"])[field]
  path.write_text(json.dumps(written))
  assert folder.digest(parts) == digest  # of its checkpoints
  with open_session(config, tmp_path / "run"):
    pass
  config.matmul_precision = "highest"
  with pytest.raises(InputError, match="matmul_precision"):
    open_session(config, tmp_path / "run")
