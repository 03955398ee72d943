"""Runs on your own sequences, and predictions with them."""

import json
import re
import shutil
import signal
import time

import numpy as np
import pytest
from moving import SIZE, dots, travelled
from PIL import Image
from short_runs import (
  QUICK,
  assert_same_run,
  assert_same_summary,
  lines,
  start,
  state,
  summary,
)

import seqsum
from seqsum.runtime.errors import InputError
from seqsum.summarization import video_writer

# A network that compiles in a second.
SIDES = (
  "--config.model.conv.kernels=(3,)",
  "--config.model.conv.strides=(2,)",
)
SMALL = (
  "--config.data.kind=files",
  "--config.model.conv.features=(4,)",
  "--config.model.conv.pool=(1,)",
  "--config.model.hidden_sizes=(8,)",
  "--config.sequence.shift=0",
)
VECTORS = (
  *SMALL,
  *SIDES,
  "--config.task.per_step=True",
  "--config.task.target=standard",
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
  path = tmp_path_factory.mktemp("own") / "dots.npz"
  frames, lengths, speeds = dots(60)
  targets = travelled(speeds)
  np.savez(path, frames=frames, lengths=lengths, targets=targets)
  return path


@pytest.fixture(scope="module")
def done(run, data, tmp_path_factory):
  """An uninterrupted run: (its folder, the finished process)."""
  workdir = tmp_path_factory.mktemp("vectors") / "run"
  flags = (
    *QUICK,
    *VECTORS,
    f"--config.data.name=npz:{data}",
  )
  done = run(*flags, f"--workdir={workdir}")
  assert done.returncode == 0, done.stderr
  return workdir, done


def test_a_run_on_vectors_records_its_data_and_metrics(done, data):
  workdir, said = done
  dataset = json.loads((workdir / "config.json").read_text())["dataset"]
  assert dataset["name"] == f"npz:{data}"
  assert len(dataset["sha256"]) == 64
  assert dataset["recorded"]["shape"] == [*SIZE, 3]
  assert dataset["recorded"]["size"] == 2
  test = summary(workdir)["test"]
  # Six are held out for the test, of the 48 that QUICK asks for.
  assert sum(x["count"] for x in test["by_length"].values()) == 6
  assert test["by_target"] == {}  # vectors have none
  losses = [x["loss"] for x in lines(workdir) if x["split"] == "train"]
  assert np.mean(losses[5:]) < np.mean(losses[:5])
  report = {path.name for path in (workdir / "report").iterdir()}
  assert {"index.html", "sequences.png", "filters.png"} < report
  page = (workdir / "report" / "index.html").read_text()
  assert "8x14, 3 channels, uint8" in page
  assert "frames    8x14, 3 channels, uint8" in said.stdout
  assert not said.stderr


def test_a_finished_run_is_tested_again(done, data, run):
  flags = (
    *QUICK,
    *VECTORS,
    f"--config.data.name=npz:{data}",
  )
  again = run(*flags, f"--workdir={done[0]}", "--eval_only")
  assert again.returncode == 0, again.stderr
  assert json.loads(again.stdout)["mse"] == summary(done[0])["test"]["mse"]


def test_changed_data_is_refused(done, data, run):
  whole = data.read_bytes()
  frames, lengths, speeds = dots(60, seed=1)
  np.savez(data, frames=frames, lengths=lengths, targets=travelled(speeds))
  flags = (
    *QUICK,
    *VECTORS,
    f"--config.data.name=npz:{data}",
  )
  again = run(*flags, f"--workdir={done[0]}", "--eval_only")
  data.write_bytes(whole)
  assert again.returncode == 1
  (line,) = again.stderr.strip().splitlines()
  assert "belongs to another run" in line
  assert "dataset.sha256" in line


@pytest.mark.slow
def test_a_resumed_run_equals_an_uninterrupted_one(
  done, data, environment, run, tmp_path
):
  flags = *VECTORS, f"--config.data.name=npz:{data}"
  process = start(environment, tmp_path, *flags)
  path = tmp_path / "metrics.jsonl"
  while process.poll() is None and not (
    path.exists() and '"step": 8,' in path.read_text()
  ):
    time.sleep(0.01)
  process.send_signal(signal.SIGTERM)
  _, err = process.communicate(timeout=120)
  assert process.returncode == 143, err
  step, _ = state(tmp_path)
  assert step < 40  # in the middle
  again = run(*QUICK, *flags, f"--workdir={tmp_path}")
  assert f"resuming from step {step}" in again.stdout
  assert_same_run(tmp_path, done[0])
  assert_same_summary(tmp_path, done[0])


@pytest.mark.slow
def test_eight_devices_see_the_sequences_of_one(done, data, run, tmp_path):
  flags = (
    *QUICK,
    *VECTORS,
    f"--config.data.name=npz:{data}",
  )
  eight = "--xla_force_host_platform_device_count=8"
  said = run(*flags, f"--workdir={tmp_path}", XLA_FLAGS=eight)
  assert said.returncode == 0, said.stderr
  pairs = zip(lines(tmp_path), lines(done[0]), strict=True)
  for ours, theirs in list(pairs)[:4]:
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
    assert ours["mse"] == pytest.approx(theirs["mse"], rel=1e-5)
  # Each of six held-out sequences is tested once on eight devices.
  counts = lines(tmp_path)[-1]["by_length"].values()
  assert sum(x["count"] for x in counts) == 6


@pytest.fixture(scope="module")
def classifier(run, tmp_path_factory):
  """A run that counts positive first features: (its folder, the features)."""
  folder = tmp_path_factory.mktemp("features")
  rng = np.random.default_rng(0)
  features = 300 * rng.normal(size=(48, 4, 1, 1, 6))
  targets = 2 * (features[..., 0] > 0).sum(axis=1).ravel() - 3
  split = np.array(["train"] * 40 + ["validation"] * 3 + ["test"] * 5)
  np.savez(folder / "x.npz", frames=features, targets=targets, split=split)
  done = run(
    *(*QUICK, *SMALL),
    "--config.model.conv.kernels=(1,)",
    "--config.model.conv.strides=(1,)",
    "--config.loss=cross_entropy",
    f"--config.data.name=npz:{folder / 'x.npz'}",
    f"--workdir={folder / 'run'}",
  )
  assert done.returncode == 0, done.stderr
  return folder / "run", features


@pytest.mark.slow
def test_float_features_are_classified(classifier):
  workdir, features = classifier
  report = {path.name for path in (workdir / "report").iterdir()}
  assert {"index.html", "agreement.png"} < report
  assert not report & {"sequences.png", "mistakes.png", "filters.png"}
  test = summary(workdir)["test"]
  assert sum(x["count"] for x in test["by_target"].values()) == 5
  model = seqsum.load(workdir)
  assert model.takes_floats
  assert model.has_integer_targets
  assert set(model.values) <= {-3, -1, 1, 3, 5}
  reading = model.predict_distribution(features[43:])
  assert reading.probabilities.shape == (5, 4, len(model.values))
  exact = reading.predictions[:, -1] == features_target(features[43:])
  assert exact.mean() == pytest.approx(test["exact_accuracy"])


def features_target(features):
  return 2 * (features[..., 0] > 0).sum(axis=1).ravel() - 3


@pytest.mark.slow
@pytest.mark.parametrize(
  ("frames", "words"),
  [
    (np.zeros((2, 1, 1, 6), np.uint8), "trained on floats; give floats in the"),
    (np.full((2, 1, 1, 6), np.nan), "inf or nan"),
    (np.full((2, 1, 1, 6), 1e39), "inf or nan"),
    (np.zeros((2, 1, 1, 5)), "shape"),
  ],
)
def test_invalid_features_are_refused(classifier, frames, words):
  with pytest.raises(InputError, match=words):
    seqsum.load(classifier[0]).predict(frames)


@pytest.mark.slow
def test_pictures_for_a_model_of_features_are_refused(
  classifier, run, tmp_path
):
  Image.new("L", (8, 8)).save(tmp_path / "1.png")
  flags = f"--workdir={classifier[0]}", str(tmp_path / "1.png")
  said = run(*flags, program="seqsum.predict")
  assert said.returncode == 1
  (line,) = said.stderr.strip().splitlines()
  assert "trained on float32 frames of shape (1, 1, 6)" in line


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
  """A folder with the same three frames as a video and as pictures."""
  folder = tmp_path_factory.mktemp("films")
  frames = dots(1, seed=2)[0][0, :3].repeat(20, axis=1).repeat(20, axis=2)
  video_writer.write(folder / "dot.mp4", frames)
  (folder / "dot").mkdir()
  for i, frame in enumerate(frames):
    Image.fromarray(frame).save(folder / "dot" / f"{i + 9}.png")
  return folder


def test_files_are_resized_to_the_trained_shape(done, filmed):
  model = seqsum.load(done[0])
  assert not model.takes_digits
  assert not model.takes_floats
  assert not model.has_integer_targets
  assert model.shape == (*SIZE, 3)
  names, frames = model.read_files([filmed / "dot"])
  assert [name.rsplit("/", 1)[1] for name in names] == [
    "9.png",
    "10.png",
    "11.png",
  ]
  # Twenty times as large: each pixel is the mean of the area that it covers.
  np.testing.assert_array_equal(frames, dots(1, seed=2)[0][0, :3])
  names, video = model.read_files([filmed / "dot.mp4"])
  assert names == [f"{filmed / 'dot.mp4'}:{i}" for i in (1, 2, 3)]
  assert np.abs(video.astype(int) - frames).max() < 40
  _, both = model.read_files([filmed / "dot" / "*.png", filmed / "dot.mp4"])
  np.testing.assert_array_equal(both, np.concatenate([frames, video]))
  values = model.predict(frames)
  assert values.shape == (3, 2)
  np.testing.assert_allclose(
    model.predict(np.stack([frames, frames[::-1]]))[0], values, rtol=1e-5
  )


@pytest.mark.parametrize(
  ("paths", "words"),
  [
    ((), "no frames: name images"),
    (("{filmed}/none.mp4",), "there is no such file"),
    (("{filmed}",), "2 of 2 files cannot be read as pictures"),
    (("{run}/config.json",), "config.json: not a video"),
    (("{filmed}/dot", "{filmed}/dot.mp5"), "there is no such file"),
  ],
)
def test_unusable_files_are_refused(done, filmed, paths, words):
  paths = [path.format(filmed=filmed, run=done[0]) for path in paths]
  model = seqsum.load(done[0])
  with pytest.raises(InputError, match=words) as caught:
    model.read_files(paths)
  assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_predict_prints_the_components_of_vectors(done, filmed, run):
  model = seqsum.load(done[0])
  expected = model.predict(model.read_files([filmed / "dot"])[1])
  flags = f"--workdir={done[0]}", str(filmed / "dot")
  said = run(*flags, program="seqsum.predict")
  assert said.returncode == 0, said.stderr
  *rows, answer = said.stdout.splitlines()
  for row, values in zip(rows, expected, strict=True):
    numbers = [float(x) for x in row.split()[1:]]
    np.testing.assert_allclose(numbers, values, rtol=1e-3)
  numbers = answer.removeprefix("value: ").split(", ")
  np.testing.assert_allclose(np.array(numbers, float), expected[-1], rtol=1e-3)

  said = run(*flags, "--json", program="seqsum.predict")
  told = json.loads(said.stdout)
  np.testing.assert_allclose(told["answer"], expected[-1], rtol=1e-5)
  values = [row["prediction"] for row in told["images"]]
  np.testing.assert_allclose(values, expected, rtol=1e-5)


@pytest.mark.parametrize(
  ("program", "flags", "words"),
  [
    (
      "predict",
      ("--plot=x.png", "{filmed}/dot"),
      "one number per frame, .* predicts 2",
    ),
    ("demo", (), "the page draws digits, run was trained on other frames"),
  ],
)
def test_unsupported_commands_are_one_line(
  done, filmed, run, program, flags, words
):
  flags = [x.format(filmed=filmed) for x in flags]
  said = run(f"--workdir={done[0]}", *flags, program=f"seqsum.{program}")
  assert said.returncode == 1
  assert not said.stdout
  (line,) = said.stderr.strip().splitlines()
  assert re.search(words, line), line


@pytest.mark.slow
def test_an_exported_model_predicts_the_same(done, run, tmp_path):
  import jax

  pytest.importorskip("flatbuffers", reason="pip install -e .")
  flags = f"--workdir={done[0]}", str(tmp_path), "--noonnx"
  said = run(*flags, program="seqsum.export")
  assert said.returncode == 0, said.stderr
  frames = np.random.default_rng(0).random((2, 7, *SIZE, 3), "float32")
  data = bytearray((tmp_path / "model.stablehlo").read_bytes())
  (values,) = jax.export.deserialize(data).call(frames)
  expected = seqsum.load(done[0]).predict(frames)
  np.testing.assert_allclose(values, expected, rtol=1e-4, atol=1e-5)
  readme = (tmp_path / "README.txt").read_text()
  assert "frames [b, t, 8, 14, 3] float32, bytes divided by 255;" in readme
  assert "predictions [b, t, 2] float32" in readme
  assert "MNIST" not in readme


@pytest.fixture
def videos(tmp_path):
  """A folder of twelve sequences, most of them videos; targets are speeds."""
  folder = tmp_path / "mine"
  folder.mkdir()
  frames, lengths, speeds = dots(12, seed=4)
  rows = ["sequence,target"]
  for n, (sequence, length) in enumerate(zip(frames, lengths, strict=True)):
    name = f"{n}.mp4" if n % 4 else f"{n}"
    large = sequence[:length].repeat(20, axis=1).repeat(20, axis=2)
    if n % 4:
      video_writer.write(folder / name, large)
    else:
      (folder / name).mkdir()
      for i, frame in enumerate(large):
        Image.fromarray(frame).save(folder / name / f"{i}.png")
    rows.append(f"{name},{np.abs(speeds[n]).sum() / 2}")
  (folder / "targets.csv").write_text("\n".join(rows))
  return folder


@pytest.mark.slow
def test_a_video_that_vanishes_ends_the_run_until_it_is_restored(
  videos, run, tmp_path, environment
):
  flags = (
    *SMALL,
    *SIDES,
    f"--config.data.name=frames:{videos}",
  )
  flags = *flags, "--config.data.size=(8,14)", "--config.epochs=8"
  one = run(*QUICK, *flags, f"--workdir={tmp_path / 'one'}")
  assert one.returncode == 0, one.stderr

  process = start(environment, tmp_path / "other", *flags)
  path = tmp_path / "other" / "metrics.jsonl"
  while process.poll() is None and not (
    path.exists() and '"step": 24,' in path.read_text()
  ):
    time.sleep(0.01)
  shutil.move(videos / "5.mp4", tmp_path / "5.mp4")
  _, err = process.communicate(timeout=120)
  assert process.returncode == 1
  (line,) = err.strip().splitlines()
  assert re.search(r"5\.mp4: there is no such file", line), line
  again = run(*QUICK, *flags, f"--workdir={tmp_path / 'other'}")
  assert again.returncode == 1  # still
  assert "'5.mp4'" in again.stderr
  shutil.move(tmp_path / "5.mp4", videos / "5.mp4")
  again = run(*QUICK, *flags, f"--workdir={tmp_path / 'other'}")
  assert again.returncode == 0, again.stderr
  assert "resuming from step" in again.stdout
  assert_same_run(tmp_path / "one", tmp_path / "other")

  flags = f"--workdir={tmp_path / 'one'}", str(videos / "5.mp4")
  png = tmp_path / "plot.png"
  said = run(*flags, f"--plot={png}", program="seqsum.predict")
  assert said.returncode == 0, said.stderr
  assert re.fullmatch(r"value: -?\d\S+", said.stdout.splitlines()[-1])
  assert Image.open(png).size[0] > 500
