"""`seqsum.features`, and `seqsum.importance` on video files."""

import json

import films
import numpy as np
import pytest
from PIL import Image
from short_runs import QUICK_VIDEOS, first

from seqsum.data import video_files

h5py = pytest.importorskip("h5py", reason="pip install -e '.[video]'")
pytest.importorskip("av", reason="pip install -e '.[video]'")


def add_ratings(path):
  """Adds annotations: the first feature is the importance."""
  with h5py.File(path, "a") as file:
    for group in file.values():
      x = group["features"][:, 0]
      group["gtscore"] = (x - x.min()) / max(np.ptp(x), 1e-6)
      group["user_summary"] = np.ones((1, group["n_frames"][()]), np.float32)


def refused(done):
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  return line


@pytest.mark.parametrize(
  ("flags", "words"),
  first(
    [
      ((), "--out is missing"),
      (("--out=x.h5",), "no videos: name video files"),
      (("--out=x.mp4", "y.mp4"), "--out=x.mp4: must end in .h5 or .hdf5"),
      (("--out=x.h5", "x.mp4", "--rate=0"), "--rate=0.0: must be in"),
      (("--out=x.h5", "x.mp4", "--network=no.onnx"), "No such file"),
      (("--out=x.h5", "x.mp4", "--network=no"), "no run is there"),
      (("--out=no/x.h5", "x.mp4"), "no/x.h5: No such file"),
    ]
  ),
)
def test_user_errors_print_one_line(run, flags, words):
  assert words in refused(run(*flags, program="seqsum.features"))


@pytest.mark.slow
def test_from_videos_to_a_summary(run, tmp_path):
  pytest.importorskip("onnx", reason="pip install -e '.[onnx]'")
  network = tmp_path / "net.onnx"
  films.write_onnx(network)
  paths = []
  for n in range(5):
    frames = films.scenes([35, 20, 55, 25, 60, 30], width=63 + n % 2, seed=n)
    paths.append(str(films.write(tmp_path / f"film{n}.mp4", frames)))
  (tmp_path / "bad.mp4").write_bytes(b"words")
  features, alike = tmp_path / "films.h5", tmp_path / "alike.h5"
  layer = (f"--network={network}", "--layer=pool5")
  done = run(
    *(*paths, str(tmp_path / "bad.mp4"), f"--out={features}", *layer),
    program="seqsum.features",
  )
  assert done.returncode == 1
  assert done.stderr.count("\n") == 1
  assert "bad.mp4: not a video" in done.stderr
  assert "film4.mp4: 225 frames, 45 sampled, 24 features each" in done.stdout
  add_ratings(features)
  workdir = tmp_path / "run"
  done = run(
    "--config=configs/summarize.py",
    f"--config.data.name=eccv16:{features}",
    "--config.epochs=1",
    "--config.sequences_per_epoch=40",
    f"--workdir={workdir}",
    "--noreport",
  )
  assert done.returncode == 0, done.stderr

  def summarize(*flags):
    flags = (f"--workdir={workdir}", f"--video={paths[1]}", *flags)
    return run(*flags, program="seqsum.importance")

  done = summarize(f"--features={features}")
  assert done.returncode == 0, done.stderr
  assert not done.stderr
  folder = workdir / "report" / "summary-film1"
  found = json.loads((folder / "scores.json").read_text())
  assert len(found["scores"]) == len(found["picks"]) == 45
  assert found["seconds"][:3] == [0, 0.5, 1.0]
  assert 0 < found["kept_frames"] <= 0.15 * 225
  kept = [last - first + 1 for first, last in found["kept"]]
  assert sum(kept) == found["kept_frames"]
  assert found["shots"][0][0] == 0
  assert found["shots"][-1][1] == 224
  summary = video_files.read(folder / "summary.mp4")
  assert len(summary) == found["kept_frames"]
  assert Image.open(folder / "summary.png").width == 1000
  assert "trained on features of 24 numbers by net.onnx, layer pool5" in (
    refused(summarize())
  )
  # Another width, and the same width by another network.
  done = run(paths[1], f"--out={alike}", program="seqsum.features")
  assert done.returncode == 0, done.stderr
  line = refused(summarize(f"--features={alike}"))
  assert "128 numbers a frame by pretrained, but run was trained" in line
  films.write_onnx(network, batch=1)
  done = run(paths[1], f"--out={alike}", *layer, program="seqsum.features")
  assert done.returncode == 0, done.stderr
  done = summarize(f"--features={alike}", f"--out={tmp_path / 'other'}")
  assert done.returncode == 0, done.stderr
  assert "warning: --features=" in done.stderr
  assert (tmp_path / "other" / "summary.mp4").stat().st_size > 1000


@pytest.mark.slow
def test_a_run_on_pictures_reads_the_video_itself(run, tmp_path):
  path = films.write(
    tmp_path / "film.mp4", films.scenes([20, 30, 15], 33 * 2, 48)
  )
  workdir = tmp_path / "run"
  done = run(
    *QUICK_VIDEOS,
    f"--workdir={workdir}",
    "--noreport",
  )
  assert done.returncode == 0, done.stderr
  flags = (f"--workdir={workdir}", f"--video={path}", "--share=0.3")
  done = run(*flags, "--rate=4", program="seqsum.importance")
  assert done.returncode == 0, done.stderr
  folder = workdir / "report" / "summary-film"
  found = json.loads((folder / "scores.json").read_text())
  assert found["picks"][:5] == [0, 3, 5, 8, 10]
  summary = video_files.read(folder / "summary.mp4")
  assert len(summary) == found["kept_frames"] > 0
  assert "takes frames of shape" in refused(
    run(*flags, "--features=x.h5", program="seqsum.importance")
  )
