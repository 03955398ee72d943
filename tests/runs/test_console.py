"""The overview that a run prints at its start."""

import os
import re

import numpy as np
import pytest
from PIL import Image

from configs import addition, deep, fold, own, sum_tiny
from seqsum.data import digits, mnist
from seqsum.runs.console import overview
from seqsum.runs.session import Session, open_session


def rows(config, workdir, has_checkpoint=False):
  with open_session(config, workdir) as session:
    text = overview(session, has_checkpoint)
  return dict(re.split(r" {2,}", line, maxsplit=1) for line in text.split("\n"))


def tiny(**fields):
  config = sum_tiny.get_config()
  config.update(fields)
  return config


@pytest.mark.devices(8)
def test_overview_of_bundled_digits(tmp_path):
  cores = os.cpu_count()
  affinity = len(os.sched_getaffinity(0))
  assert rows(tiny(), tmp_path / "run") == {
    "data": "digits: 1,297 training, 200 validation, 300 test images of 28x28, "
    "from scikit-learn",
    # conv 5*5*1*16+16, 3*3*16*32+32; 800 features into a GRU of 64: 3 gates
    # of 800*64+64*64 and four biases; head 65.
    "model": "conv 16-32, gru 64; "
    f"{416 + 4_640 + 3 * (800 * 64 + 64 * 64) + 4 * 64 + 65:,} parameters",
    "devices": f"8 x cpu, {affinity} of {cores} cores; float32",
    "training": "5,000 steps of 16 sequences (epochs: 10, of 8,000 sequences)",
    "folder": f"{tmp_path / 'run'} (new run)",
  }


@pytest.mark.parametrize(
  ("file", "model"),
  [
    (fold, "conv 16-32-64, dense 128, core fold"),
    (addition, "conv 16-32-64, dense 128, core carry"),
    (deep, "conv 16-24-32-48-64 normalized in groups of 8, core fold"),
  ],
)
def test_overview_of_a_known_fold(file, model, tmp_path):
  config = file.get_config()
  config.data.name = "digits"
  config.model.dtype = "bfloat16"
  printed = rows(config, tmp_path / "run", has_checkpoint=True)
  assert printed["model"].startswith(f"{model}; ")
  assert "; bfloat16" in printed["devices"]
  assert printed["folder"].endswith("run (has a checkpoint to resume from)")


def test_overview_of_your_own_sequences(tmp_path):
  frames = np.zeros((20, 6, 24, 32, 3), np.uint8)
  path = tmp_path / "mine.npz"
  np.savez(path, frames=frames, targets=np.arange(20.0))
  config = own.get_config()
  config.data.name = f"npz:{path}"
  printed = rows(config, tmp_path / "run")
  assert printed["data"] == (
    f"npz:{path}: 16 training, 2 validation, 2 test sequences of 6 frames of "
    "24x32x3"
  )
  assert printed["frames"] == "24x32, 3 channels, uint8"


def test_overview_of_images_that_become_frames(tmp_path):
  for n in range(3):
    (tmp_path / "data" / f"s{n}").mkdir(parents=True)
    for k in range(2):
      pixels = np.full((28 + n, 32), 1000 * (n + k), np.uint16)
      Image.fromarray(pixels).save(tmp_path / "data" / f"s{n}" / f"{k}.png")
  table = "sequence,target\n" + "".join(f"s{n},{n}\n" for n in range(3))
  (tmp_path / "data" / "targets.csv").write_text(table)
  config = own.get_config()
  config.data.name = f"frames:{tmp_path / 'data'}"
  printed = rows(config, tmp_path / "run")
  assert printed["frames"] == (
    "28x32, 1 channel, uint8; resized from 28x32..30x32; integer values "
    "0..3000 become 0..255"
  )


def test_the_overview_is_printed_first(finished, run):
  workdir, done = finished
  first, *rest = done.stdout.splitlines()
  assert first == "loading JAX ..."
  names = [line.split(" ")[0] for line in rest]
  assert names[:5] == ["data", "model", "devices", "training", "folder"]
  assert names[5:8] == ["compiling", "compiled", "epoch"]
  assert rest[4] == f"folder    {workdir} (new run)"


@pytest.mark.mnist
def test_the_first_start_prints_where_data_is_cached(
  tmp_path, mnist_dir, capfd
):
  data = digits.load("mnist", data_dir=tmp_path, manual_dir=mnist_dir)
  out, err = capfd.readouterr()
  assert out == (
    f"seqsum_mnist: reading MNIST's files in {mnist_dir}, once; keeping the "
    f"data in {tmp_path / mnist.NAME}\n"
  )
  assert "MiB" not in err
  assert "Unknown" not in err
  assert data.origin == str(tmp_path / mnist.NAME)
  again = digits.load("mnist", data_dir=tmp_path)
  assert again.origin == data.origin
  assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
  ("deterministic", "words"),
  [(True, "highest"), (False, "highest, not deterministic")],
)
def test_a_gpus_precision_and_determinism_are_printed(
  tmp_path, monkeypatch, deterministic, words
):
  facts = Session.facts

  def of_a_gpu(session):
    found = facts(session)
    found["devices"] |= {
      "kind": "NVIDIA H200",
      "platform": "gpu",
      "count": 1,
      "deterministic": deterministic,
      "matmul_precision": "highest",
    }
    return found

  monkeypatch.setattr(Session, "facts", of_a_gpu)
  printed = rows(tiny(), tmp_path / "run")
  assert printed["devices"] == (
    f"1 x NVIDIA H200; float32, matmul precision {words}"
  )
