"""Sequences in a folder: pictures, videos and targets.csv."""

import os

import numpy as np
import pytest
from PIL import Image

from seqsum.data import pixels, video_files
from seqsum.data.frame_folder import FrameFolder
from seqsum.runtime.errors import InputError
from seqsum.summarization import video_writer


def picture(path, value, size=(4, 6)):
  """Saves a picture of one grey value, or of three colour values."""
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.broadcast_to(np.uint8(value), (*size, *np.shape(value)))
  Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def fill(folder, table, colour=(90, 20, 200)):
  """Writes sequences a, b and c of 2, 1 and 3 pictures; c is coloured."""
  for name, count in {"a": 2, "b": 1, "c": 3}.items():
    for i in range(count):
      value = colour if name == "c" and colour else 10 * (i + 1)
      picture(folder / name / f"{i + 9}.png", value)
  (folder / "targets.csv").write_text(table)
  return folder


def refuse(folder, words):
  with pytest.raises(InputError, match=words) as caught:
    FrameFolder(folder)
  line = str(caught.value)
  assert line.startswith(f"{folder}/"), line
  assert "\n" not in line


def test_a_target_for_each_sequence(tmp_path):
  source = FrameFolder(fill(tmp_path, "sequence,target\nc,3\na,-1.5\nb,2\n"))
  assert source.shape == (4, 6, 3)
  np.testing.assert_array_equal(source.lengths, [3, 2, 1])
  np.testing.assert_array_equal(
    source.targets, [[3, 3, 3], [-1.5, -1.5, -1.5], [2, 2, 2]]
  )
  assert source.splits is None
  frames = source.read(1)
  assert frames.dtype == np.uint8
  assert frames.shape == (2, 4, 6, 3)
  # In natural order, 9.png before 10.png.
  np.testing.assert_array_equal(frames[:, 0, 0, 0], [10, 20])
  np.testing.assert_array_equal(source.read(0)[0, 0, 0], [90, 20, 200])


def test_a_vector_for_each_frame_and_splits(tmp_path):
  table = (
    "split,target_y,frame,sequence,target_x,note\n"
    "train,1,2,a,10,x\ntrain,2,1,a,20,\ntest,3,1,b,30,\n"
    "validation,4,3,c,40,\nvalidation,5,1,c,50,\nvalidation,6,2,c,60,\n"
  )
  source = FrameFolder(fill(tmp_path, table))
  expected = [
    [[2, 20], [1, 10], [1, 10]],
    [[3, 30], [3, 30], [3, 30]],
    [[5, 50], [6, 60], [4, 40]],
  ]
  np.testing.assert_array_equal(source.targets, expected)
  assert source.splits == ["train", "test", "validation"]


def test_frames_are_grey_if_all_are(tmp_path):
  table = "sequence,target\na,1\nb,2\nc,3\n"
  assert FrameFolder(fill(tmp_path, table, colour=None)).shape == (4, 6, 1)


def test_frames_are_resized(tmp_path):
  fill(tmp_path, "sequence,target\na,1\nb,2\nc,3\n")
  picture(tmp_path / "b" / "9.png", 70, size=(40, 40))
  for size in ((2, 3), ()):
    source = FrameFolder(tmp_path, size)
    assert source.shape == (*(size or (4, 6)), 3)
    assert source.read(1).shape == (1, *source.shape)
    assert (source.read(1) == 70).all()


def video(path, count, colour_from=None, size=(16, 24)):
  """Writes a video of grey frames; from frame `colour_from` on they are red."""
  frames = np.full((count, *size, 3), 60, np.uint8)
  if colour_from is not None:
    frames[colour_from:, 4:12, 4:12] = 200, 30, 30
  video_writer.write(path, frames)


def test_videos_beside_pictures(tmp_path):
  pytest.importorskip("av")
  picture(tmp_path / "walk" / "1.png", 60)
  video(tmp_path / "jump.mp4", 5)
  table = "sequence,target\nwalk,3\njump.mp4,5\n"
  (tmp_path / "targets.csv").write_text(table)
  source = FrameFolder(tmp_path, (8, 12))
  assert source.shape == (8, 12, 1)
  np.testing.assert_array_equal(source.lengths, [1, 5])
  assert source.read(1).shape == (5, 8, 12, 1)
  # Also if only the last frames of a later video are coloured.
  video(tmp_path / "jump.mp4", 5, colour_from=4)
  assert FrameFolder(tmp_path, (8, 12)).shape == (8, 12, 3)


def test_a_long_first_video_is_not_read_into_memory(tmp_path, monkeypatch):
  pytest.importorskip("av")
  video(tmp_path / "a.mp4", 5)
  (tmp_path / "targets.csv").write_text("sequence,target\na.mp4,3\n")
  monkeypatch.setattr(video_files, "MAX_BYTES", 2 * 240 * 280 * 3)
  source = FrameFolder(tmp_path, (8, 12))
  assert source.read(0).shape == (5, 8, 12, 1)


def save_all(folder, **sequences):
  """Writes sequences of PNG or TIFF images; sequence n has the target n."""
  rows = ["sequence,target"]
  for n, (name, pictures) in enumerate(sequences.items()):
    (folder / name).mkdir(exist_ok=True)
    for i, image in enumerate(pictures):
      ending = "tif" if image.mode in "IF" else "png"
      image.save(folder / name / f"{i}.{ending}")
    rows.append(f"{name},{n}")
  (folder / "targets.csv").write_text("\n".join(rows))
  return folder


def deep(value, kind=np.uint16):
  """A square of one value on zeros."""
  pixels = np.zeros((4, 6), kind)
  pixels[1:3, 1:3] = value
  return Image.fromarray(pixels)


@pytest.mark.parametrize(
  ("kind", "unit", "words"),
  [
    (np.uint16, 1000, "integer values 0..12000 become 0..255"),
    (np.int32, 100_000, "integer values 0..1200000 become 0..255"),
    (np.float32, 0.25, "float values 0..3 become 0..255"),
  ],
)
def test_one_scale_for_the_depth_of_all_pictures(tmp_path, kind, unit, words):
  """By hand: k of twelve units is 255 k / 12, in both sequences."""
  rising = [deep(unit * k, kind) for k in range(1, 13)]
  save_all(tmp_path, a=rising[:4], b=rising)
  source = FrameFolder(tmp_path)
  assert source.shape == (4, 6, 1)
  for n, count in enumerate((4, 12)):
    frames = source.read(n)[..., 0]
    expected = np.round(255 * np.arange(1, count + 1) / 12)
    np.testing.assert_array_equal(frames[:, 1, 1], expected)
    assert not frames[:, 0].any()
  assert source.pictures.describe() == words


def test_the_scale_starts_at_the_minimum_of_all_pictures(tmp_path):
  flat = [Image.fromarray(np.full((4, 6), k, np.uint16)) for k in (300, 400)]
  save_all(tmp_path, a=flat[:1], b=flat)
  source = FrameFolder(tmp_path)
  assert source.read(0).tolist() == np.zeros((1, 4, 6, 1)).tolist()
  np.testing.assert_array_equal(source.read(1)[:, 0, 0, 0], [0, 255])


def sprite(grey, size=4):
  image = Image.new("RGBA", (16, 16))
  image.paste((grey, grey, grey, 255), (4, 4, 4 + size, 4 + size))
  return image


@pytest.mark.parametrize(("last", "paper"), [(220, "white"), (255, "black")])
def test_one_background_for_all_transparent_pictures(tmp_path, last, paper):
  """It contrasts with most of the ink; an empty frame has it too."""
  empty = Image.new("RGBA", (16, 16))
  dark = [sprite(20 * k) for k in range(1, 12)]
  large = [sprite(last, size=12)] if last == 255 else []
  save_all(tmp_path, a=[*dark, empty], b=[sprite(130), *large])
  source = FrameFolder(tmp_path)
  assert source.pictures.describe() == f"{paper} behind transparent pixels"
  blank = 255 if paper == "white" else 0
  for n in (0, 1):
    frames = source.read(n)
    assert (frames[:, 0, 0] == blank).all()
  assert (source.read(0)[-1] == blank).all()
  np.testing.assert_array_equal(
    source.read(0)[:-1, 5, 5, 0], [20 * k for k in range(1, 12)]
  )


def test_opaque_pictures_need_no_background(tmp_path):
  save_all(tmp_path, a=[Image.new("RGBA", (6, 4), (9, 9, 9, 255))])
  source = FrameFolder(tmp_path)
  assert source.pictures.paper is None
  assert source.pictures.describe() == ""
  assert source.shape == (4, 6, 1)


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_a_colour_in_any_picture_is_enough(tmp_path, mode):
  colours = [(0, 0, 0), (0, 0, 0), (204, 0, 0)]
  pictures = [Image.new("RGB", (6, 4), c).convert(mode) for c in colours]
  save_all(tmp_path, a=[deep(9, np.uint8)], b=pictures)
  assert FrameFolder(tmp_path).shape == (4, 6, 3)
  assert FrameFolder(tmp_path).read(1)[2, 0, 0].tolist() == [204, 0, 0]
  save_all(tmp_path, b=[x.convert("L").convert(mode) for x in pictures])
  picture(tmp_path / "a" / "0.png", 7)
  (tmp_path / "targets.csv").write_text("sequence,target\na,1\nb,2\n")
  assert FrameFolder(tmp_path).shape == (4, 6, 1)


def test_few_pictures_are_decoded_twice(tmp_path, monkeypatch):
  """Only the first 8-bit one, and those up to the first colour."""
  loaded = []
  plain = pixels._load
  monkeypatch.setattr(
    pixels, "_load", lambda image: loaded.append(image) or plain(image)
  )
  grey = [Image.new("L", (6, 4), k) for k in range(9)]
  save_all(tmp_path, a=grey)
  FrameFolder(tmp_path)
  assert len(loaded) == 1
  colours = [Image.new("RGB", (6, 4), (k, 0, 0)) for k in range(9)]
  save_all(tmp_path, a=grey, b=colours)
  loaded.clear()
  FrameFolder(tmp_path)
  assert len(loaded) == 1 + 2  # black, and the first colour


@pytest.mark.parametrize(
  ("one", "other", "words"),
  [
    (deep(9), deep(9, np.uint8), "8-bit values, but .*/a/0.png has whole num"),
    (
      deep(9, np.uint8),
      deep(9),
      "whole numbers of more than 8 bits, but .*8-b",
    ),
    (deep(9), deep(0.5, np.float32), "has floats, but .* has whole numbers"),
  ],
)
def test_pictures_without_a_common_scale_are_refused(
  tmp_path, one, other, words
):
  save_all(tmp_path, a=[one], b=[one, other])
  refuse(tmp_path, words)


def test_nan_is_refused_at_the_start(tmp_path):
  save_all(tmp_path, a=[deep(np.nan, np.float32)])
  refuse(tmp_path, "0.tif: contains inf or nan")


def test_the_range_of_sizes_is_found(tmp_path):
  sizes = (6, 4), (3, 2), (60, 20)
  save_all(tmp_path, a=[Image.new("L", size, 5) for size in sizes])
  source = FrameFolder(tmp_path)
  assert source.shape == (4, 6, 1)
  assert source.sizes == ((2, 3), (20, 60))
  save_all(tmp_path, a=[Image.new("L", (6, 4), 5)] * 3)
  assert FrameFolder(tmp_path).sizes == ()


def test_deep_videos_keep_one_scale(tmp_path):
  """FFmpeg keeps the upper 8 of 16 bits in every frame."""
  av = pytest.importorskip("av")
  path = tmp_path / "a.mkv"
  with av.open(path, "w") as box:
    stream = box.add_stream("ffv1", rate=5)
    stream.height, stream.width, stream.pix_fmt = 16, 24, "gray16le"
    for k in range(1, 9):
      frame = np.full((16, 24), 256 * 10 * k, np.uint16)
      box.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "gray16le")))
    box.mux(stream.encode(None))
  (tmp_path / "targets.csv").write_text("sequence,target\na.mkv,3\n")
  source = FrameFolder(tmp_path)
  assert source.shape == (16, 24, 1)
  frames = source.read(0).astype(int)
  assert np.abs(frames[:, 8, 8, 0] - 10 * np.arange(1, 9)).max() <= 1


def test_sequences_missing_in_the_table_are_named(tmp_path):
  fill(tmp_path, "sequence,target\na,1\n")
  refuse(
    tmp_path, r"no line for 2 of the 3 sequences in the folder \('b', 'c'\)"
  )
  for name in ("x.mp4", "y.MOV", "z.png", "b/c/1.heic"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
  for path in tmp_path.glob("b/*.png"):
    path.unlink()
  refuse(
    tmp_path, r"for 5 of the 6 .* \('b', 'c', 'x.mp4' and 2 more\): add li"
  )


def test_other_files_in_the_folder_are_ignored(tmp_path):
  fill(tmp_path, GOOD)
  for name in ("README.txt", ".d.mp4", "Thumbs.db", "b/notes.txt"):
    (tmp_path / name).write_text("words")
  for name in ("empty", ".git", "tables"):
    (tmp_path / name).mkdir()
  (tmp_path / "tables" / "x.csv").write_text("a,b")
  picture(tmp_path / ".thumbnails" / "1.png", 9)
  assert FrameFolder(tmp_path).lengths.tolist() == [2, 1, 3]


def test_an_unreadable_frame_is_named(tmp_path):
  fill(tmp_path, GOOD)
  (tmp_path / "c" / "10.tga").write_bytes(b"\0\1\2 no picture")
  refuse(tmp_path, r"c: 1 of 4 files cannot be read as pictures \('10.tga'\)")


@pytest.mark.parametrize(
  ("name", "words"),
  [
    ("targets.csv", "targets.csv: a pipe, not a file"),
    ("c/10.png", "c/10.png: a pipe, not a file"),
    ("d.png", "d.png: a pipe, not a file"),
    ("d.mp4", "d.mp4: there is no such file"),
  ],
)
def test_pipes_do_not_block(tmp_path, name, words):
  fill(tmp_path, GOOD + ("d.png,4" if name == "d.png" else ""))
  if name == "d.mp4":
    fill(tmp_path, GOOD + "d.mp4,4")
  (tmp_path / name).unlink(missing_ok=True)
  os.mkfifo(tmp_path / name)
  refuse(tmp_path, words)


@pytest.mark.parametrize(
  ("table", "words"),
  [
    ("a,1700000000\nb,1700000001\nc,1700000002\n", "float32 rounds by up to"),
    ("a,16777216\nb,16777217\nc,1\n", "rounds by up to 1: subtract an off"),
    ("a,1e20\nb,1\nc,2\n", "squared errors do not fit into float32"),
  ],
)
def test_targets_that_float32_rounds_are_refused(tmp_path, table, words):
  refuse(fill(tmp_path, "sequence,target\n" + table), f"targets are .*{words}")
  vectors = table.replace("\n", ",0\n")
  fill(tmp_path, "sequence,target_x,target_y\n" + vectors)
  refuse(tmp_path, f"targets, component 0, are .*{words}")


def test_frames_with_decimal_names_are_in_order(tmp_path):
  names = ("t0", "t0.25", "t0.5", "t0.75", "t1", "t2", "t10")
  for k, name in enumerate(names):
    picture(tmp_path / "a" / f"{name}.png", 30 * k)
  (tmp_path / "targets.csv").write_text("sequence,target\na,1\n")
  frames = FrameFolder(tmp_path).read(0)
  assert frames[:, 0, 0, 0].tolist() == [30 * k for k in range(7)]


GOOD = "sequence,target\na,1\nb,2\nc,3\n"
FRAMES = "sequence,frame,target\na,1,5\na,2,6\nb,1,7\nc,1,8\nc,2,9\n"


@pytest.mark.parametrize(
  ("table", "words"),
  [
    ("", "needs the columns sequence and target, has none"),
    ("\n\n", "needs the columns sequence and target, has none"),
    ("sequence,target\n", "has no sequence"),
    ("sequence,value\na,1\n", "sequence and target, has sequence, value"),
    ("name,target\na,1\n", "sequence and target, has name, target"),
    ("sequence,target,target\na,1,2\n", "has the column 'target' twice"),
    (GOOD + "../x,4\n", "line 5: there is no sequence '../x' in the folder"),
    (GOOD + "..,4\n", "line 5: there is no sequence '..'"),
    (GOOD + "/etc,4\n", "line 5: there is no sequence '/etc'"),
    (GOOD + "a/../a,4\n", "line 5: there is no sequence 'a/../a'"),
    (GOOD + ",4\n", "line 5: there is no sequence ''"),
    (GOOD + "d,4\n", "line 5: there is no sequence 'd'"),
    (GOOD + "a\0,4\n", "line 5|not a valid CSV"),
    (GOOD + "a,4\n", "line 2: 'a' has 2 frames and 2 lines, expected one line"),
    ("sequence,target\na,x\n", "line 2: target is 'x', not a number"),
    ("sequence,target\na,\n", "line 2: target is '', not a number"),
    ("sequence,target\na\n", "line 2: target is '', not a number"),
    ("sequence,target\na,1_000\n", "line 2: target is '1_000', not a number"),
    ("sequence,target\na,nan\n", "line 2: target is 'nan', not a number"),
    ("sequence,target\na,1e39\n", "line 2: target is '1e39', not a number"),
    ("sequence,target\na,1,5\n", "line 2: more cells than the 2 columns"),
    ('sequence,target\n"a,1\n', "not a valid CSV file"),
    (
      FRAMES,
      "line 5: 'c' has 3 frames and 2 lines, expected one line per frame",
    ),
    (FRAMES + "c,2,0\n", "line 7: frame '2' of 'c', expected each of 1..3 on"),
    (FRAMES + "c,4,0\n", "line 7: frame '4' of 'c', expected each of 1..3 on"),
    (FRAMES + "c,0,0\n", "line 7: frame '0' of 'c'"),
    (FRAMES + "c,2.5,0\n", "line 7: frame '2.5' of 'c'"),
    (FRAMES + "c,third,0\n", "line 7: frame is 'third', not a number"),
    (
      "sequence,frame,target,split\na,1,5,train\na,2,5,test\n",
      "'a' is in the splits test, train, expected one",
    ),
  ],
)
def test_invalid_tables_are_refused(tmp_path, table, words):
  fill(tmp_path, table)
  refuse(tmp_path, words)


def test_invalid_encodings_and_missing_files_are_refused(tmp_path):
  fill(tmp_path, GOOD)
  table = tmp_path / "targets.csv"
  table.write_bytes(b"\xff\xfe" + GOOD.encode("utf-16-le"))
  refuse(tmp_path, "not a valid CSV file")
  table.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())  # as spreadsheets save it
  assert len(FrameFolder(tmp_path).lengths) == 3
  (tmp_path / "a" / "9.png").write_bytes(b"none")
  refuse(tmp_path, "9.png: not an image")
  for path in (tmp_path / "a").iterdir():
    path.unlink()
  refuse(tmp_path, "a: the folder contains no images")
  table.unlink()
  refuse(tmp_path, "targets.csv is missing: .* columns sequence and target")


def test_the_fingerprint_depends_on_the_pixels(tmp_path):
  """Also if the size of the file does not change."""
  fill(tmp_path, GOOD, colour=None)
  Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "b" / "9.bmp")
  first = FrameFolder(tmp_path).fingerprint
  assert FrameFolder(tmp_path).fingerprint == first
  assert FrameFolder(tmp_path, (4, 5)).fingerprint != first
  Image.fromarray(np.ones((4, 6), np.uint8)).save(tmp_path / "b" / "9.bmp")
  second = FrameFolder(tmp_path).fingerprint
  assert second != first
  (tmp_path / "targets.csv").write_text(GOOD.replace("3", "4"))
  assert FrameFolder(tmp_path).fingerprint not in (first, second)


def test_frames_removed_during_a_run_are_an_error(tmp_path):
  source = FrameFolder(fill(tmp_path, GOOD))
  (tmp_path / "c" / "9.png").unlink()
  with pytest.raises(InputError, match=r"c: has 2 frames, had 3"):
    source.read(2)
