"""HDF5 files of SumMe and TVSum, damaged and hostile ones too."""

import contextlib

import numpy as np
import pytest

from seqsum.data import tvsum
from seqsum.runtime.errors import InputError
from seqsum.summarization import benchmark

h5py = pytest.importorskip("h5py", reason="pip install -e '.[video]'")

FRAMES, PICKS = 20, [0, 5, 10, 15]
SHOTS = [[0, 4], [5, 6], [7, 7], [8, 19]]
USERS = np.zeros((2, FRAMES), np.float32)
USERS[0, 5:7], USERS[1, 4:8] = 1, 1


def layout():
  return {
    "features": np.arange(4 * 1024, dtype=np.float32).reshape(4, 1024),
    "gtscore": np.array([0.1, 0.9, 0.4, 0.2], np.float32),
    "user_summary": USERS,
    "change_points": np.array(SHOTS, np.int32),
    "n_frame_per_seg": np.array([5, 2, 1, 12], np.int32),
    "n_frames": np.int32(FRAMES),
    "n_steps": np.int32(4),
    "picks": np.array(PICKS, np.int32),
  }


def write(path, **changes):
  """Writes a file of one video; None omits a data set."""
  with h5py.File(path, "w") as file:
    for name, value in (layout() | changes).items():
      if value is not None:
        file[f"video_1/{name}"] = value
  return path


@pytest.fixture
def path(tmp_path):
  return tmp_path / "set.h5"


def refuse(path, words, where="'video_1': "):
  with pytest.raises(InputError, match=words) as caught:
    list(tvsum.read(path))
  line = str(caught.value)
  assert line.startswith(f"{path}: {where}"), line
  assert "\n" not in line


def test_videos_are_in_natural_order(path):
  with h5py.File(path, "w") as file:
    for name in ("video_10", "video_2"):
      for key, value in layout().items():
        file[f"{name}/{key}"] = value
    file["video_2/video_name"] = "Cooking\x1b[2J"
    file["video_10/user_scores"] = np.ones((3, FRAMES))
  second, tenth = tvsum.read(path)
  assert (second.name, tenth.name) == ("video_2", "video_10")
  assert second.title == "Cooking?[2J"
  assert tenth.title is None
  assert second.n_frames == FRAMES
  assert second.features.shape == (4, 1024)
  assert second.features.dtype == second.gtscore.dtype == np.float32
  assert second.picks.tolist() == PICKS
  assert second.shots.tolist() == SHOTS
  np.testing.assert_array_equal(second.user_summary, USERS > 0)
  assert second.user_scores is None
  assert tenth.user_scores.shape == (3, FRAMES)


def test_other_number_types_are_read(path):
  write(
    path,
    n_frames=np.array([FRAMES], np.float64),
    picks=np.array(PICKS, np.float32),
    user_summary=3 * USERS.astype(np.uint8),
    video_name=np.bytes_(b"Jumps"),
  )
  (video,) = tvsum.read(path)
  assert video.title == "Jumps"
  assert video.picks.dtype == np.int64
  np.testing.assert_array_equal(video.user_summary, USERS > 0)


def test_scores_are_repeated_until_the_next_pick():
  held = benchmark.upsample([7, 8, 9], np.array([1, 3, 4]), 6)
  assert held.tolist() == [7, 7, 7, 8, 9, 9]


def pearson(a, b):
  """Of ranks written out by hand."""
  a, b = a - np.mean(a), b - np.mean(b)
  return (a * b).sum() / ((a * a).sum() * (b * b).sum()) ** 0.5


# Ranks of the summary, 17 zeros and 3 ones, and of the mean of the masks.
SPEARMAN = pearson(
  np.array([9] * 5 + [19] * 3 + [9] * 12),
  np.array([8.5] * 4 + [17.5, 19.5, 19.5, 17.5] + [8.5] * 12),
)


def test_a_score_by_hand(path):
  # Each user's order of frames is that of the picks, or the reverse.
  users = np.repeat([[1, 4, 3, 2], [4, 1, 2, 3]], 5, axis=1)
  (video,) = tvsum.read(write(path, user_scores=users[:1]))
  # All 20 frames: 3 may be kept. Shots have means 1, 5, 5 and less than 5 in
  # 5, 2, 1 and 12 frames, so frames 5, 6 and 7 are kept.
  judged = benchmark.score(video, np.array([1, 5, 3, 2]))
  assert judged == pytest.approx(
    {
      "kendall": 1,
      "spearman": 1,
      # Against 5, 6: precision 2/3, recall 1. Against 4..7: 1 and 3/4.
      "f_score_max": 6 / 7,
      "f_score_mean": (4 / 5 + 6 / 7) / 2,
      "kendall_users": 1,
      "spearman_users": 1,
      # Each user keeps one pick, frame 5, which has the highest score: 3 of 6
      # pairs are untied in the mask, and agree. The mask's ranks are 2 and 4.
      "kendall_masks": 3 / (6 * 3) ** 0.5,
      "spearman_masks": 1.5 * 2 / (5 * 3) ** 0.5,
      # The mean mask: frames 4 to 7 have 1/2, 1, 1, 1/2. The summary has 5, 6
      # and 7, one of them 1/2. Pairs of a kept and another frame agree but
      # those of 7 and 4, which is tied: 3 * 17 - 1. Untied in the mask: 2 with
      # 18 others and 2 with 16.
      "kendall_summary": 50 / (51 * (2 * 18 + 2 * 16)) ** 0.5,
      "spearman_summary": SPEARMAN,
    }
  )
  # The last two the wrong way round.
  judged = benchmark.score(video, np.array([1, 5, 2, 3]))
  assert judged["kendall"] == pytest.approx(4 / 6)
  assert judged["spearman"] == pytest.approx(0.8)
  # As many frames of each, so all tied pairs are tied in both.
  assert judged["kendall_users"] == pytest.approx(4 / 6)
  (video,) = tvsum.read(write(path, user_scores=users))
  assert benchmark.score(video, np.array([1, 5, 3, 2]))[
    "kendall_users"
  ] == pytest.approx(0, abs=1e-9)
  (video,) = tvsum.read(write(path))
  assert "kendall_users" not in benchmark.score(video, np.ones(4))
  with pytest.raises(InputError, match="the score of frame 5 is nan"):
    benchmark.score(video, np.array([1, np.nan, 1, 1]))
  with pytest.raises(ValueError, match="expected"):
    benchmark.score(video, np.ones(3))


@pytest.mark.parametrize(
  ("changes", "words"),
  [
    ({"features": None}, "features: missing"),
    ({"n_frames": None}, "n_frames: missing"),
    ({"picks": None}, "picks: missing, for 4 features of 20 frames"),
    ({"features": np.ones((0, 9))}, "features: has no rows"),
    ({"features": np.ones(4)}, r"features: shape \[4\], expected \[any, any\]"),
    ({"gtscore": np.ones(5)}, r"gtscore: shape \[5\], expected \[4\]"),
    ({"gtscore": np.array([0, 1, np.nan, 0])}, "gtscore: contains nan or inf"),
    (
      {"gtscore": np.array([b"a"] * 4)},
      "gtscore: of type .*, expected numbers",
    ),
    ({"gtscore": 1.7e9 + np.arange(4.0)}, "gtscore: .*float32 rounds by up to"),
    ({"gtscore": ["a"] * 4}, "gtscore: of type object, expected numbers"),
    ({"gtscore": h5py.Empty("f4")}, "gtscore: empty"),
    ({"n_frames": np.int32(0)}, "n_frames: 0, must be at least 1"),
    ({"n_frames": np.float32(19.5)}, "n_frames: expected whole numbers"),
    ({"n_frames": np.uint64(2**64 - 1)}, "n_frames: expected whole numbers"),
    ({"n_frames": np.array([20, 20])}, r"n_frames: shape \[2\], expected \[\]"),
    ({"picks": np.array([0, 5, 5, 9])}, "picks: must ascend"),
    ({"picks": np.array([-1, 5, 6, 9])}, "picks: must ascend"),
    ({"picks": np.array([0, 5, 6, 20])}, "picks: frame 20 is beyond .* 19"),
    ({"picks": np.arange(3)}, r"picks: shape \[3\], expected \[4\]"),
    ({"change_points": np.array([[0, 19]]).T}, r"expected \[any, 2\]"),
    (
      {"change_points": np.array([[0, 9], [9, 19]])},
      "change_points: .*overlaps",
    ),
    ({"change_points": np.array([[0, 8], [10, 19]])}, "change_points: .*a gap"),
    ({"change_points": np.array([[0, 20]])}, "change_points: .* at frame 20"),
    (
      {"n_frame_per_seg": np.array([5, 2, 2, 11])},
      "n_frame_per_seg: 2 for shot",
    ),
    ({"user_summary": USERS[:, 1:]}, r"user_summary: .* expected \[any, 20\]"),
    ({"user_summary": USERS[:0]}, "user_summary: has no rows"),
    ({"user_scores": USERS[:, 1:]}, "user_scores: shape"),
    ({"user_scores": USERS[:0]}, "user_scores: has no rows"),
    (
      {"user_scores": np.where(USERS, np.inf, 0)},
      "user_scores: contains nan or inf",
    ),
    ({"video_name": 7}, "video_name: expected one text"),
  ],
)
def test_invalid_data_sets_are_refused(path, changes, words):
  refuse(write(path, **changes), words)


def test_other_files_are_refused(path, tmp_path):
  refuse(path, "no such file", where="")
  refuse(tmp_path, "no such file", where="")
  path.write_bytes(b"")
  refuse(path, "not an HDF5 file|truncated", where="")
  path.write_bytes(b"this is text\n" * 99)
  refuse(path, "not an HDF5 file", where="")
  h5py.File(path, "w").close()
  refuse(path, "contains no video", where="")
  with h5py.File(path, "w") as file:
    file["video_1"] = [1, 2]
  refuse(path, "a Dataset, expected a Group")
  with h5py.File(path, "w") as file:
    file.create_group("video_1/features")
    file["video_1/n_frames"] = 3
  refuse(path, "features: a Group, expected a Dataset")


def test_a_truncated_file_is_refused(path):
  whole = write(path).read_bytes()
  for size in range(0, len(whole), len(whole) // 25):
    path.write_bytes(whole[:size])
    refuse(path, "truncated|not an HDF5 file|damaged", where="")


def test_a_damaged_file_is_read_or_refused(path):
  whole = write(path).read_bytes()
  rng = np.random.default_rng(0)
  read = 0
  for _ in range(60):
    content = bytearray(whole)
    # Not in the features, which are most of the file.
    for place in rng.integers(0, 4000, 8):
      content[place] = rng.integers(256)
    path.write_bytes(content)
    with contextlib.suppress(InputError):
      list(tvsum.read(path))
      read += 1
  assert 0 < read < 40


def elsewhere(folder):
  """Functions that add a data set whose values are in another file."""
  secret = folder / "secret.h5"
  with h5py.File(secret, "w") as file:
    file["gtscore"] = np.ones(4)
    file["video"] = np.ones(3)
  (folder / "raw").write_bytes(bytes(64))

  def virtual(group):
    sheet = h5py.VirtualLayout((4,), "f8")
    sheet[:] = h5py.VirtualSource(str(secret), "gtscore", (4,))
    group.create_virtual_dataset("gtscore", sheet)

  def raw(group):
    group.create_dataset(
      "gtscore", (4,), "f8", external=[(str(folder / "raw"), 0, 32)]
    )

  def external(group):
    group["gtscore"] = h5py.ExternalLink(str(secret), "/gtscore")

  def soft(group):
    group["outside"] = h5py.ExternalLink(str(secret), "/")
    group["gtscore"] = h5py.SoftLink("/video_1/outside/gtscore")

  return {"virtual": virtual, "raw": raw, "external": external, "soft": soft}


@pytest.mark.parametrize("kind", ["virtual", "raw", "external", "soft"])
def test_links_to_data_in_other_files_are_refused(path, tmp_path, kind):
  write(path, gtscore=None)
  with h5py.File(path, "a") as file:
    elsewhere(tmp_path)[kind](file["video_1"])
    # h5py itself follows it.
    assert file["video_1/gtscore"][:].shape == (4,)
  refuse(path, "gtscore: is a link")


def test_links_to_videos_in_other_files_are_refused(path, tmp_path):
  other = write(tmp_path / "other.h5")
  for link in (h5py.ExternalLink(str(other), "video_1"), h5py.SoftLink("/a")):
    with h5py.File(path, "w") as file:
      file["video_1"] = link
    refuse(path, "is a link")
  write(path)
  with h5py.File(path, "a") as file:
    file["video_1/user_scores"] = h5py.ExternalLink("absent.h5", "x")
  refuse(path, "user_scores: is a link")


def test_huge_declared_shapes_are_refused(path):
  for options in (
    {"shape": (4, 1 << 40), "chunks": (4, 1024)},
    {"shape": (4, 4), "maxshape": (None, None), "chunks": (1 << 14, 1 << 15)},
  ):
    write(path, features=None)
    with h5py.File(path, "a") as file:
      file.create_dataset(
        "video_1/features", dtype="f4", compression="gzip", **options
      )
    assert path.stat().st_size < 1e5
    refuse(path, "features: .* more than a GiB")


def test_names_with_newlines_stay_in_one_line(path):
  with h5py.File(path, "w") as file:
    file.create_group("two\nlines")
  refuse(path, "features: missing", where=r"'two\nlines': ")


def test_without_h5py_the_error_has_the_remedy(path, monkeypatch):
  monkeypatch.setitem(__import__("sys").modules, "h5py", None)
  with pytest.raises(InputError, match=r"pip install 'seqsum\[video\]'"):
    list(tvsum.read(path))
