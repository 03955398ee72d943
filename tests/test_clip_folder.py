"""Sequences in a folder: pictures, videos and targets.csv."""

import numpy as np
import pytest
from PIL import Image

from seqsum import clips, film
from seqsum.clip_folder import ClipFolder
from seqsum.errors import InputError


def picture(path, value, size=(4, 6)):
  """A grey one of a number, or a colour of three."""
  path.parent.mkdir(parents=True, exist_ok=True)
  pixels = np.broadcast_to(np.uint8(value), (*size, *np.shape(value)))
  Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def fill(folder, table, colour=(90, 20, 200)):
  """Sequences a, b and c of 2, 1 and 3 pictures; c is coloured."""
  for name, count in {"a": 2, "b": 1, "c": 3}.items():
    for i in range(count):
      value = colour if name == "c" and colour else 10 * (i + 1)
      picture(folder / name / f"{i + 9}.png", value)
  (folder / "targets.csv").write_text(table)
  return folder


def refuse(folder, words):
  with pytest.raises(InputError, match=words) as caught:
    ClipFolder(folder)
  line = str(caught.value)
  assert line.startswith(f"{folder}/"), line
  assert "\n" not in line


def test_a_target_for_each_sequence(tmp_path):
  source = ClipFolder(fill(tmp_path, "sequence,target\nc,3\na,-1.5\nb,2\n"))
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
  source = ClipFolder(fill(tmp_path, table))
  expected = [
    [[2, 20], [1, 10], [1, 10]],
    [[3, 30], [3, 30], [3, 30]],
    [[5, 50], [6, 60], [4, 40]],
  ]
  np.testing.assert_array_equal(source.targets, expected)
  assert source.splits == ["train", "test", "validation"]


def test_frames_are_grey_if_all_are(tmp_path):
  table = "sequence,target\na,1\nb,2\nc,3\n"
  assert ClipFolder(fill(tmp_path, table, colour=None)).shape == (4, 6, 1)


def test_frames_are_brought_to_a_size(tmp_path):
  fill(tmp_path, "sequence,target\na,1\nb,2\nc,3\n")
  picture(tmp_path / "b" / "9.png", 70, size=(40, 40))
  for size in ((2, 3), ()):
    source = ClipFolder(tmp_path, size)
    assert source.shape == (*(size or (4, 6)), 3)
    assert source.read(1).shape == (1, *source.shape)
    assert (source.read(1) == 70).all()


def video(path, count, colour_from=None, size=(16, 24)):
  """Grey frames, and red ones from some frame on."""
  frames = np.full((count, *size, 3), 60, np.uint8)
  if colour_from is not None:
    frames[colour_from:, 4:12, 4:12] = 200, 30, 30
  film.write(path, frames)


def test_videos_beside_pictures(tmp_path):
  pytest.importorskip("av")
  picture(tmp_path / "walk" / "1.png", 60)
  video(tmp_path / "jump.mp4", 5)
  table = "sequence,target\nwalk,3\njump.mp4,5\n"
  (tmp_path / "targets.csv").write_text(table)
  source = ClipFolder(tmp_path, (8, 12))
  assert source.shape == (8, 12, 1)
  np.testing.assert_array_equal(source.lengths, [1, 5])
  assert source.read(1).shape == (5, 8, 12, 1)
  # Colour that begins late in a later video is colour.
  video(tmp_path / "jump.mp4", 5, colour_from=4)
  assert ClipFolder(tmp_path, (8, 12)).shape == (8, 12, 3)


def test_a_long_first_video_is_not_held_in_memory(tmp_path, monkeypatch):
  pytest.importorskip("av")
  video(tmp_path / "a.mp4", 5)
  (tmp_path / "targets.csv").write_text("sequence,target\na.mp4,3\n")
  monkeypatch.setattr(clips, "MOST_BYTES", 2 * 240 * 280 * 3)
  source = ClipFolder(tmp_path, (8, 12))
  assert source.read(0).shape == (5, 8, 12, 1)


GOOD = "sequence,target\na,1\nb,2\nc,3\n"
FRAMES = "sequence,frame,target\na,1,5\na,2,6\nb,1,7\nc,1,8\nc,2,9\n"


@pytest.mark.parametrize(
  ("table", "words"),
  [
    ("", "needs the columns sequence and target, has none"),
    ("\n\n", "needs the columns sequence and target, has none"),
    ("sequence,target\n", "names no sequence"),
    ("sequence,value\na,1\n", "sequence and target, has sequence, value"),
    ("name,target\na,1\n", "sequence and target, has name, target"),
    ("sequence,target,target\na,1,2\n", "has the column 'target' twice"),
    (GOOD + "../x,4\n", "line 5: there is no sequence '../x' in the folder"),
    (GOOD + "..,4\n", "line 5: there is no sequence '..'"),
    (GOOD + "/etc,4\n", "line 5: there is no sequence '/etc'"),
    (GOOD + "a/../a,4\n", "line 5: there is no sequence 'a/../a'"),
    (GOOD + ",4\n", "line 5: there is no sequence ''"),
    (GOOD + "d,4\n", "line 5: there is no sequence 'd'"),
    (GOOD + "a\0,4\n", "line 5|not a sound CSV"),
    (GOOD + "a,4\n", "line 2: 'a' has 2 frames and 2 lines, expected one line"),
    ("sequence,target\na,x\n", "line 2: target is 'x', not a number"),
    ("sequence,target\na,\n", "line 2: target is '', not a number"),
    ("sequence,target\na\n", "line 2: target is '', not a number"),
    ("sequence,target\na,nan\n", "line 2: target is 'nan', not a number"),
    ("sequence,target\na,1e39\n", "line 2: target is '1e39', not a number"),
    ("sequence,target\na,1,5\n", "line 2: has more cells than the 2 columns"),
    ('sequence,target\n"a,1\n', "not a sound CSV file"),
    (FRAMES, "line 5: 'c' has 3 frames and 2 lines, expected a line a frame"),
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
def test_a_table_that_cannot_be_used_is_one_line(tmp_path, table, words):
  fill(tmp_path, table)
  refuse(tmp_path, words)


def test_odd_bytes_and_missing_files_are_one_line(tmp_path):
  fill(tmp_path, GOOD)
  table = tmp_path / "targets.csv"
  table.write_bytes(b"\xff\xfe" + GOOD.encode("utf-16-le"))
  refuse(tmp_path, "not a sound CSV file")
  table.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())  # as spreadsheets save it
  assert len(ClipFolder(tmp_path).lengths) == 3
  (tmp_path / "a" / "9.png").write_bytes(b"none")
  refuse(tmp_path, "9.png: not an image")
  for path in (tmp_path / "a").iterdir():
    path.unlink()
  refuse(tmp_path, "a: a folder without images")
  table.unlink()
  with pytest.raises(FileNotFoundError):
    ClipFolder(tmp_path)


def test_what_frames_show_is_part_of_the_fingerprint(tmp_path):
  """Also where a file stays as large."""
  fill(tmp_path, GOOD, colour=None)
  Image.fromarray(np.zeros((4, 6), np.uint8)).save(tmp_path / "b" / "9.bmp")
  first = ClipFolder(tmp_path).fingerprint
  assert ClipFolder(tmp_path).fingerprint == first
  assert ClipFolder(tmp_path, (4, 5)).fingerprint != first
  Image.fromarray(np.ones((4, 6), np.uint8)).save(tmp_path / "b" / "9.bmp")
  second = ClipFolder(tmp_path).fingerprint
  assert second != first
  (tmp_path / "targets.csv").write_text(GOOD.replace("3", "4"))
  assert ClipFolder(tmp_path).fingerprint not in (first, second)


def test_frames_that_come_or_go_later_are_told_of(tmp_path):
  source = ClipFolder(fill(tmp_path, GOOD))
  (tmp_path / "c" / "9.png").unlink()
  with pytest.raises(InputError, match=r"c: has 2 frames now, had 3"):
    source.read(2)
