"""Videos and folders of pictures, damaged and hostile ones too."""

import os
import struct
import sys

import numpy as np
import pytest
from PIL import Image

from seqsum.data import video_files
from seqsum.runtime.errors import InputError
from seqsum.summarization import video_writer

av = pytest.importorskip("av", reason="pip install -e '.[video]'")


def scene(count, height, width):
  """[count, height, width, 3] uint8: smooth colours, brighter by the frame."""
  y, x = np.mgrid[0:height, 0:width]
  first = np.stack([y / height, x / width, (x + y) / (height + width)], -1)
  steps = np.linspace(0.3, 1, count)[:, None, None, None]
  return np.round(255 * first * steps).astype(np.uint8)


def encode(path, frames, **options):
  with av.open(path, "w", options=options) as box:
    stream = box.add_stream("libx264", rate=5)
    stream.height, stream.width = frames.shape[1:3]
    stream.pix_fmt = "yuv420p"
    for frame in frames:
      box.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
    box.mux(stream.encode(None))
  return path.read_bytes()


def refuse(path, words, name=None, **kwargs):
  with pytest.raises(InputError, match=words) as caught:
    video_files.read(path, **kwargs)
  line = str(caught.value)
  assert line.startswith(f"{path if name is None else name}: "), line
  assert "\n" not in line


def away(one, other):
  return np.abs(one.astype(float) - other).mean()


def test_a_written_video_is_read_back(tmp_path):
  path = tmp_path / "film.mp4"
  frames = scene(7, 300, 402)
  assert video_writer.write(path, frames, rate=12.5) == (300, 402)
  again = video_files.read(path)
  assert again.shape == frames.shape
  assert again.dtype == np.uint8
  assert away(again, frames) < 2
  assert away(again[:-1], frames[1:]) > 4  # and in order
  with av.open(path) as box:
    stream = box.streams.video[0]
    assert stream.codec_context.name == "h264"
    assert stream.codec_context.pix_fmt == "yuv420p"
    assert stream.average_rate == 12.5
  assert sorted(os.listdir(tmp_path)) == ["film.mp4"]


def test_digits_are_read_back_at_their_size(tmp_path, bundled):
  path = tmp_path / "digits.mp4"
  frames = bundled.test.images[:6]
  assert video_writer.write(path, frames) == (280, 280)
  again = video_files.read(path, shape=(28, 28, 1))
  assert again.shape == frames.shape
  assert away(again, frames) < 2
  assert video_files.read(path).shape == (6, 280, 280, 3)
  # One frame is a video too.
  video_writer.write(path, frames[:1])
  assert len(video_files.read(path)) == 1


@pytest.mark.parametrize(
  ("size", "expected"),
  [
    ((1, 1), (280, 280)),
    ((9, 31), (82, 280)),  # 9 times 31 is odd
    ((281, 283), (282, 284)),
    ((100, 300), (100, 300)),
  ],
)
def test_written_sides_are_even_and_small_frames_enlarged(
  tmp_path, size, expected
):
  path = tmp_path / "film.mp4"
  frames = np.full((2, *size, 3), 90, np.uint8)
  assert video_writer.write(path, frames) == expected
  assert video_files.read(path).shape == (2, *expected, 3)


def test_pixels_are_repeated():
  frame = np.arange(31 * 9, dtype=np.uint8).reshape(9, 31, 1)
  shown = video_writer._shown(frame)
  assert shown.shape == (82, 280, 3)
  for y, x in ((0, 0), (44, 100), (80, 278)):
    assert (shown[y, x] == frame[y // 9, x // 9]).all()
  np.testing.assert_array_equal(shown[-1], shown[-2])
  np.testing.assert_array_equal(shown[:, -1], shown[:, -2])


def test_a_mean_of_pixels_by_hand():
  frame = np.array([[0, 100], [200, 20], [1, 1], [3, 3]], np.uint8)[..., None]
  small = video_files.resize(frame, 2, 1)
  np.testing.assert_array_equal(small[..., 0], [[80], [2]])
  large = video_files.resize(frame, 8, 4)
  np.testing.assert_array_equal(large[::2, ::2], frame)
  np.testing.assert_array_equal(large[1::2, 1::2], frame)


def test_the_rotation_of_a_video_is_applied(tmp_path):
  path = tmp_path / "held.mp4"
  frames = scene(3, 32, 64)
  content = encode(path, frames)
  straight = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
  quarter = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
  at = content.index(straight, content.index(b"tkhd"))
  path.write_bytes(content[:at] + quarter + content[at + 36 :])
  again = video_files.read(path)
  assert again.shape == (3, 64, 32, 3)
  turned = np.rot90(frames, -1, axes=(1, 2))  # clockwise
  assert away(again, turned) < 4
  assert away(again, turned[:, ::-1, ::-1]) > 20


def test_a_folder_is_read_in_natural_order(tmp_path):
  colours = {"2.png": (250, 0, 10), "10.png": (0, 200, 0), "1.png": (5, 5, 5)}
  for name, colour in colours.items():
    Image.new("RGB", (6, 4), colour).save(tmp_path / name)
  (tmp_path / "notes.txt").write_text("no picture")
  frames = video_files.read(tmp_path)
  assert frames.shape == (3, 4, 6, 3)
  assert frames[:, 0, 0].tolist() == [[5, 5, 5], [250, 0, 10], [0, 200, 0]]
  grey = video_files.read(tmp_path, shape=(2, 3, 1))
  assert grey.shape == (3, 2, 3, 1)
  assert grey[2, 0, 0, 0] == round(0.587 * 200)
  Image.new("L", (7, 4), 9).save(tmp_path / "11.png")
  refuse(tmp_path, "7x4 pixels, .* 6x4; give a shape", tmp_path / "11.png")
  assert video_files.read(tmp_path, shape=(4, 6, 3)).shape == (4, 4, 6, 3)
  (tmp_path / "3.png").write_bytes(b"words")
  refuse(tmp_path, "not an image", tmp_path / "3.png")
  (tmp_path / "empty").mkdir()
  refuse(tmp_path / "empty", "the folder contains no images")


def test_transparent_colours_get_a_background(tmp_path):
  image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
  image.putpixel((1, 0), (0, 0, 0, 0))
  image.save(tmp_path / "1.png")
  frames = video_files.read(tmp_path)
  assert frames[0, 0].tolist() == [[200, 0, 0], [255, 255, 255]]


def test_damaged_videos_are_refused_in_one_line(tmp_path):
  frames = scene(30, 64, 64)
  # The index comes first, so that a truncated file has some frames.
  content = encode(tmp_path / "whole.mp4", frames, movflags="faststart")
  for name, part in {
    "empty.mp4": b"",
    "words.mp4": b"this is text\n" * 50,
    "cut.mp4": content[: len(content) // 3],
    "header.mp4": content[:20],
  }.items():
    path = tmp_path / name
    path.write_bytes(part)
    refuse(path, "not a video" if part else "empty, zero bytes")
  refuse(tmp_path / "none.mp4", "no such file")
  os.mkfifo(tmp_path / "pipe.mp4")
  refuse(tmp_path / "pipe.mp4", "no such file")


def test_titles_in_any_encoding_are_ignored(tmp_path):
  path = tmp_path / "film.mkv"
  with av.open(path, "w") as box:
    box.metadata["title"] = "caffe"
    stream = box.add_stream("libx264", rate=5)
    stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
    box.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
    box.mux(stream.encode(None))
  content = path.read_bytes()
  assert content.count(b"caffe") == 1
  path.write_bytes(content.replace(b"caffe", b"caff\xe9"))
  assert len(video_files.read(path)) == 1


def test_sound_alone_is_refused(tmp_path):
  path = tmp_path / "sound.mp4"
  with av.open(path, "w") as box:
    stream = box.add_stream("aac", rate=44100)
    silence = av.AudioFrame.from_ndarray(
      np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
    )
    silence.rate = 44100
    box.mux(stream.encode(silence))
    box.mux(stream.encode(None))
  refuse(path, "contains no video")


def test_playlists_are_not_followed(tmp_path):
  video_writer = tmp_path / "film.mp4"
  encode(video_writer, scene(5, 64, 64))
  path = tmp_path / "list.m3u8"
  path.write_text(
    "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfilm.mp4\n#EXT-X-ENDLIST\n"
  )
  with open(path, "rb") as file, av.open(file) as box:
    assert box.streams.video  # FFmpeg itself would have followed it
  refuse(path, "not a video")
  path.write_text(f"ffconcat version 1.0\nfile {video_writer}\n")
  refuse(path, "not a video")


def test_only_known_containers_are_opened(tmp_path):
  path = tmp_path / "film.y4m"
  path.write_bytes(b"YUV4MPEG2 W4 H4 F5:1\nFRAME\n" + bytes(24))
  with av.open(path) as box:
    assert len(list(box.decode(video=0))) == 1
  refuse(path, "not a video")


def test_sizes_are_bounded(tmp_path, monkeypatch):
  path = tmp_path / "film.mp4"
  encode(path, scene(30, 64, 64))
  monkeypatch.setattr(video_files, "MAX_BYTES", 10 * 64 * 64 * 3)
  refuse(path, "more than 10 frames exceed 122,880 bytes; give a smaller shape")
  assert video_files.read(path, shape=(8, 8, 3)).shape == (30, 8, 8, 3)
  monkeypatch.setattr(video_files, "MAX_PIXELS", 64 * 64 - 1)
  refuse(path, "64x64 pixels|not a video")


def test_videos_that_cannot_be_written_are_refused(tmp_path):
  frames = scene(2, 32, 32)
  with pytest.raises(InputError, match="cannot be written"):
    video_writer.write(tmp_path / "no" / "film.mp4", frames)
  with pytest.raises(InputError, match="rate="):
    video_writer.write(tmp_path / "film.mp4", frames, rate=0)
  with pytest.raises(ValueError, match="expected"):
    video_writer.write(tmp_path / "film.mp4", frames / 255)
  wide = np.zeros((1, 2, 20_000, 3), np.uint8)
  with pytest.raises(InputError, match="FFmpeg cannot write it"):
    video_writer.write(tmp_path / "film.mp4", wide)
  assert not os.listdir(tmp_path)


def test_without_pyav_the_error_has_the_remedy(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "av", None)
  path = tmp_path / "film.mp4"
  path.write_bytes(b"anything")
  with pytest.raises(InputError, match=r"pip install 'seqsum\[video\]'"):
    video_writer.write(path, scene(2, 32, 32))
  refuse(path, r"pip install 'seqsum\[video\]'")
  # Pictures do not need PyAV.
  Image.new("L", (4, 4), 9).save(tmp_path / "1.png")
  assert video_files.read(tmp_path).shape == (1, 4, 4, 3)
