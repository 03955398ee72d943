"""Videos of all kinds -> sampled features, shots, HDF5 files, summaries."""

import os
import struct
import types

import films
import numpy as np
import pytest
from PIL import Image

from seqsum.data import tvsum, video_files
from seqsum.runtime.errors import InputError
from seqsum.summarization import video_features, video_summary

h5py = pytest.importorskip("h5py", reason="pip install -e '.[video]'")
av = pytest.importorskip("av", reason="pip install -e '.[video]'")

MEANS = types.SimpleNamespace(  # a `FeatureNetwork`: mean of each colour
  name="means",
  sha256="00",
  channels=3,
  prepare=lambda frame: frame.mean(axis=(0, 1)) - 128,
  compute=lambda inputs: np.stack(inputs).astype(np.float32),
)


def sample(path, rate=2.0):
  return video_features.sample(
    path, rate, MEANS.channels, MEANS.prepare, MEANS.compute
  )


def grey(values, height=32, width=32):
  return [np.full((height, width, 3), value, np.uint8) for value in values]


def test_frames_are_sampled_at_a_rate(tmp_path):
  path = films.write(tmp_path / "film.mp4", grey(range(50, 103)), rate=10)
  video = sample(path)
  assert video.picks.tolist() == list(range(0, 53, 5))
  np.testing.assert_allclose(video.seconds, video.picks / 10, atol=1e-6)
  assert video.n_frames == 53
  assert video.duration == pytest.approx(5.2)
  np.testing.assert_allclose(
    video.features,
    np.repeat(50.0 + video.picks - 128, 3).reshape(-1, 3),
    atol=3,
  )
  assert sample(path, 100).picks.tolist() == list(range(53))
  assert sample(path, 0.01).picks.tolist() == [0]
  assert sample(path, 3).picks.tolist()[:5] == [0, 4, 7, 10, 14]


def test_a_variable_rate_is_sampled_by_time(tmp_path):
  times = [0, 0.1, 0.2, 2.0, 2.05, 2.5, 5.0, 5.3]
  path = films.write(tmp_path / "film.mkv", grey(range(8)), times=times)
  video = sample(path)
  assert video.picks.tolist() == [0, 3, 5, 6]
  np.testing.assert_allclose(video.seconds, [0, 2, 2.5, 5], atol=2e-3)
  assert video.n_frames == 8


def test_odd_sizes_and_gif_are_read(tmp_path):
  path = tmp_path / "film.gif"
  images = [Image.new("RGB", (31, 57), (40 * n, 0, 0)) for n in range(6)]
  images[0].save(path, save_all=True, append_images=images[1:], duration=250)
  assert sample(path).picks.tolist() == [0, 2, 4]


def test_a_rotated_video_is_upright(tmp_path):
  path = tmp_path / "held.mp4"
  frames = np.zeros((3, 32, 64, 3), np.uint8)
  frames[:, :, 40:] = 250  # on the right; at the bottom when upright
  films.write(path, frames)
  content = path.read_bytes()
  one = 1 << 16
  straight = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
  quarter = struct.pack(">9i", 0, one, 0, -one, 0, 0, 0, 0, 1 << 30)
  at = content.index(straight, content.index(b"tkhd"))
  path.write_bytes(content[:at] + quarter + content[at + 36 :])
  (frame, *_) = video_files.frames_of(path)
  assert frame.pixels().shape == (64, 32, 3)
  assert frame.pixels()[50:].mean() > 200 > 50 > frame.pixels()[:30].mean()
  assert frame.pixels(1).shape == (64, 32, 1)


def test_files_without_a_video_are_refused_in_one_line(tmp_path):
  cover = np.full((64, 64, 3), 90, np.uint8)
  whole = films.write(
    tmp_path / "film.mp4", grey(range(60), 64, 64)
  ).read_bytes()
  for name, content in (
    ("words.mp4", b"this is text\n" * 50),
    ("cut.mp4", whole[: len(whole) // 2]),
    ("empty.mp4", b""),
  ):
    (tmp_path / name).write_bytes(content)
  films.write_sound(tmp_path / "sound.mp4")
  films.write_sound(tmp_path / "cover.mp4", cover)
  for name, words in (
    ("words.mp4", "not a video"),
    ("cut.mp4", "damaged or truncated"),
    ("empty.mp4", "empty, zero bytes"),
    ("sound.mp4", "contains no video"),
    ("cover.mp4", "contains no video"),
    ("none.mp4", "there is no such file"),
    (".", "there is no such file"),
  ):
    with pytest.raises(InputError, match=words) as caught:
      sample(tmp_path / name)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path / name}: "), line
    assert "\n" not in line
  # The other programs treat the cover as they did the sound: it is no video.
  with pytest.raises(InputError, match="contains no video"):
    video_files.read(tmp_path / "cover.mp4")


@pytest.fixture
def written(tmp_path):
  """Two videos, and the file of their features."""
  one = films.write(tmp_path / "one.mp4", grey([20] * 20 + [220] * 30))
  two = films.write(tmp_path / "two.mp4", grey([90] * 23))
  out = tmp_path / "films.h5"
  failed = video_features.write(str(out), [str(one), str(two)], MEANS)
  assert not failed
  return out


def test_the_file_has_the_usual_layout(written):
  with h5py.File(written, "a") as file:
    assert sorted(file) == ["video_1", "video_2"]
    for group in file.values():
      group["gtscore"] = np.arange(len(group["picks"]), dtype=np.float32)
      group["user_summary"] = np.ones((2, group["n_frames"][()]), np.float32)
    assert file["video_1/features"].dtype == np.float32
    assert file["video_1/change_points"].dtype == np.int32
    assert file["video_1/n_steps"][()] == 10
  one, two = tvsum.read(written)
  assert (one.title, two.title) == ("one", "two")
  assert one.shots.tolist() == [[0, 19], [20, 49]]
  assert two.shots.tolist() == [[0, 22]]
  assert one.picks.tolist() == list(range(0, 50, 5))
  assert video_features.read_network(written) == ("means", "00")


def test_features_of_a_video_are_read_by_its_name(written, tmp_path):
  video, shots = video_features.read(written, "elsewhere/two.mkv")
  assert video.n_frames == 23
  assert video.features.shape == (5, 3)
  assert shots.tolist() == [[0, 22]]
  with pytest.raises(InputError, match="none of its videos is named 'three'"):
    video_features.read(written, "three.mp4")
  with h5py.File(written, "a") as file:
    del file["video_1"]
    file["video_2/picks"][...] = 7
  with pytest.raises(InputError, match="picks: must ascend"):
    video_features.read(written, "three.mp4")  # the only one
  written.write_bytes(written.read_bytes()[:999])
  with pytest.raises(InputError, match=r"truncated|damaged"):
    video_features.read(written, "two.mp4")
  assert video_features.read_network(written) is None
  with pytest.raises(InputError, match="no such file"):
    video_features.read(tmp_path / "none.h5", "two.mp4")


def test_names_with_special_spaces_are_found(tmp_path):
  """macOS writes a narrow space, U+202F, before PM."""
  name = "Recording 1.00\u202fPM.mp4"
  video = films.write(tmp_path / name, grey([9] * 12))
  other = films.write(tmp_path / "other.mp4", grey([9] * 30))
  out = tmp_path / "films.h5"
  assert not video_features.write(str(out), [str(video), str(other)], MEANS)
  found, _ = video_features.read(out, video)
  assert found.n_frames == 12


def test_videos_that_cannot_be_read_are_left_out(tmp_path, capsys):
  good = films.write(tmp_path / "good.mp4", grey([9] * 12))
  bad = tmp_path / "bad.mp4"
  bad.write_bytes(b"words")
  out = tmp_path / "films.h5"
  paths = [str(bad), str(good)]
  assert video_features.write(str(out), paths, MEANS) == 1
  with h5py.File(out) as file:
    assert list(file) == ["video_1"]
    assert file["video_1/video_name"].asstr()[()] == "good"
  assert "good.mp4: 12 frames, 3 sampled, 3 features each, 1 shots" in (
    capsys.readouterr().out
  )
  before = out.read_bytes()
  with pytest.raises(InputError, match="no video could be read"):
    video_features.write(str(out), [str(bad)], MEANS)
  assert out.read_bytes() == before
  assert not [x for x in os.listdir(tmp_path) if "partial" in x]
  for options, words in (
    ({"rate": 0}, "--rate=0"),
    ({"rate": float("nan")}, "--rate=nan"),
    ({"penalty": 0}, "--shot_penalty=0"),
  ):
    with pytest.raises(InputError, match=words):
      video_features.write(str(out), [str(good)], MEANS, **options)
  with pytest.raises(InputError, match="2 videos have this name"):
    video_features.write(str(out), [str(good), "other/good.mkv"], MEANS)
  with pytest.raises(InputError, match="this machine's disks"):
    video_features.write("gs://bucket/x.h5", [str(good)], MEANS)


def make_video(picks, n_frames):
  none = np.zeros(len(picks))
  return video_features.VideoFeatures(
    none, np.array(picks), none, n_frames, 1.0
  )


def test_shots_are_chosen_by_hand():
  video = make_video([0, 5, 10, 15], 20)
  shots = np.array([[0, 4], [5, 7], [8, 19]])
  choose = video_summary.choose
  # Of 20 frames 3 are kept.
  kept = choose(np.array([9.0, 5.0, 1.0, 1.0]), video, shots, 0.15)
  assert np.flatnonzero(kept).tolist() == [5, 6, 7]
  # Scores below zero keep the same shots.
  kept = choose(np.array([-1.0, -5.0, -9.0, -9.0]), video, shots, 0.15)
  assert np.flatnonzero(kept).tolist() == [5, 6, 7]
  # No shot fits: the best parts, the last of them cut.
  whole = np.array([[0, 19]])
  kept = choose(np.array([1.0, 3.0, 2.0, 0.0]), video, whole, 0.4)
  assert np.flatnonzero(kept).tolist() == [5, 6, 7, 8, 9, 10, 11, 12]
  kept = choose(np.zeros(1), make_video([0], 4), np.array([[0, 3]]), 0.15)
  assert kept.tolist() == [True, False, False, False]


def test_a_summary_keeps_the_times_of_its_frames(tmp_path):
  times = [0, 0.1, 0.3, 2.0, 2.05, 2.5, 5.0, 5.3]
  values = range(20, 180, 20)
  path = films.write(tmp_path / "film.mkv", grey(values), times=times)
  video = sample(path)
  kept = np.array([0, 1, 1, 0, 0, 1, 1, 1], bool)
  second = video_summary._SecondPass(str(path), video, kept, np.array([0, 2]))
  found = list(second.kept())
  np.testing.assert_allclose(
    [seconds for _, seconds in found], [0, 0.2, 1.9, 4.4, 4.7], atol=5e-3
  )
  means = [picture.mean() for picture, _ in found]
  np.testing.assert_allclose(means, [40, 60, 120, 140, 160], atol=4)
  np.testing.assert_allclose(second.seconds, video.seconds)
  shown = second.thumbnails.mean(axis=(1, 2, 3))
  np.testing.assert_allclose(shown, [20, 0, 120, 0], atol=4)
  other = video._replace(n_frames=7)
  second = video_summary._SecondPass(str(path), other, kept, np.array([0]))
  with pytest.raises(InputError, match="its features are of 7 frames"):
    list(second.kept())
