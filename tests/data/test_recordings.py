"""Your own data: splits, batches by number, errors."""

import os
import zipfile

import numpy as np
import pytest

from seqsum.data.recordings import load
from seqsum.data.sequence_dataset import Batches
from seqsum.runtime.errors import InputError

COUNT, LONGEST = 11, 4


def save(path, count=COUNT, **others):
  """Sequence n has 1 + n % 4 frames, all of them n, and the target n."""
  n = np.arange(count)
  frames = np.broadcast_to(n[:, None, None, None], (count, LONGEST, 2, 3))
  content = {
    "frames": frames.astype(np.uint8),
    "lengths": 1 + n % LONGEST,
    "targets": n,
  } | others
  np.savez(path, **content)
  return f"npz:{path}"


@pytest.fixture
def recorded(tmp_path):
  return load(save(tmp_path / "x.npz"))


def refuse(name, words, **kwargs):
  """Asserts one line that names the path at most once."""
  with pytest.raises(InputError, match=words) as caught:
    load(name, **kwargs)
  line = str(caught.value)
  assert line.count(name.partition(":")[2] or name) <= 1, line
  assert "\n" not in line


def test_random_splits_are_always_the_same(tmp_path, recorded):
  parts = [recorded.train, recorded.validation, recorded.test]
  assert [len(part) for part in parts] == [9, 1, 1]
  assert sorted(np.concatenate(parts)) == list(range(COUNT))
  again = load(save(tmp_path / "y.npz"))
  for ours, theirs in zip(
    parts, (again.train, again.validation, again.test), strict=True
  ):
    np.testing.assert_array_equal(ours, theirs)
  assert again.sha256 == recorded.sha256
  large = load(save(tmp_path / "z.npz", count=100))
  assert len(large.train) == 80
  assert len(large.validation) == len(large.test) == 10
  assert list(large.test) != list(range(90, 100))  # not the last ones


def test_splits_of_the_file_are_used(tmp_path):
  names = ["test", "train", "validation"] + ["train"] * 8
  found = load(save(tmp_path / "x.npz", split=np.array(names)))
  np.testing.assert_array_equal(found.train, [1, *range(3, 11)])
  np.testing.assert_array_equal(found.validation, [2])
  np.testing.assert_array_equal(found.test, [0])
  assert found.facts.values == tuple(range(1, 11))[:1] + tuple(range(3, 11))
  drawn = load(save(tmp_path / "y.npz"))
  assert found.sha256 != drawn.sha256


@pytest.mark.parametrize(
  ("split", "words"),
  [
    (
      ["train"] * 10 + ["tset"],
      "split of sequence 10 is 'tset', expected one of train",
    ),
    ([0] * COUNT, "split of sequence 0 is '0'"),
    (["train"] * 10 + ["test"], "no sequence has the split 'validation'"),
    (["test"] * 10 + ["validation"], "no sequence has the split 'train'"),
  ],
)
def test_invalid_splits_are_refused(tmp_path, split, words):
  refuse(save(tmp_path / "x.npz", split=np.array(split)), words)


def test_files_that_cannot_be_opened_are_refused(tmp_path):
  path = tmp_path / "x.npz"
  refuse(save(path, count=2), "x.npz: 2 sequences, expected at least 3")
  load(save(path, count=3))
  refuse("npz:", "config.data.name='npz:': add a path after the colon")
  refuse("nzp:x", "config.data.name='nzp' is not known: did you mean 'npz'")
  refuse(f"npz:{tmp_path}/no.npz", "no.npz: No such file")
  refuse(f"npz:{tmp_path}", "the array 'frames' is missing")
  refuse(f"frames:{tmp_path}", "targets.csv is missing")
  refuse(f"frames:{path}", "Not a directory")
  for name in (save(path), f"eccv16:{path}"):
    refuse(name, "only frames:FOLDER resizes frames", size=(4, 4))


def test_a_path_is_relative_to_the_data_dir(tmp_path):
  save(tmp_path / "x.npz")
  assert load("npz:x.npz", tmp_path).facts.longest == LONGEST
  refuse("npz:x.npz", "No such file", data_dir=tmp_path / "y")


def test_a_changed_file_is_loaded_again(tmp_path):
  name = save(tmp_path / "x.npz")
  first = load(name)
  assert load(name) is first  # cached
  second = load(save(tmp_path / "x.npz", targets=np.arange(COUNT) + 1))
  assert second.facts.least == first.facts.least + 1
  assert second.sha256 != first.sha256


def ids(batch):
  """Checks a batch; returns the numbers of its sequences."""
  frames, lengths, targets = batch
  n = targets[:, 0].astype(int)
  real = np.arange(LONGEST) < lengths[:, None]
  np.testing.assert_array_equal(lengths, 1 + n % LONGEST)
  np.testing.assert_array_equal(targets, np.repeat(n[:, None], LONGEST, 1))
  expected = np.where(real, n[:, None], 0)[..., None, None, None]
  np.testing.assert_array_equal(*np.broadcast_arrays(frames, expected))
  assert frames.shape == (len(n), LONGEST, 2, 3, 1)
  return n.tolist()


def test_each_pass_has_every_sequence_once_in_another_order(recorded):
  batches = Batches(recorded, recorded.train, 3, seed=0)
  passes = [
    [x for n in range(3) for x in ids(batches(3 * p + n))] for p in (0, 1)
  ]
  assert sorted(passes[0]) == sorted(passes[1]) == recorded.train.tolist()
  assert passes[0] != passes[1]
  # Also if batches cross the end of a pass.
  batches = Batches(recorded, recorded.train, 4, seed=0)
  seen = [x for n in range(9) for x in ids(batches(n))]
  np.testing.assert_array_equal(np.bincount(seen)[recorded.train], 4)


def test_a_batch_is_a_function_of_seed_and_number(recorded):
  make = lambda seed=5: Batches(recorded, recorded.train, 4, seed)
  through = make()
  expected = [ids(through(n)) for n in range(12)]
  assert [ids(make()(n)) for n in (0, 3, 11)] == [
    expected[n] for n in (0, 3, 11)
  ]
  middle = make()
  assert [ids(middle(n)) for n in range(7, 12)] == expected[7:]
  for n in (7, 7, 8, 8, 2, 2, 3, 11, 0):  # again, and back and forth
    assert ids(middle(n)) == expected[n], n
  other = make(6)
  assert [ids(other(n)) for n in range(12)] != expected


def test_batches_of_one_have_every_sequence_once(recorded):
  for which in (recorded.train, np.array([3])):
    batches = Batches(recorded, which, 1, seed=0)
    seen = [ids(batches(n))[0] for n in range(len(which))]
    assert sorted(seen) == which.tolist()
  assert ids(Batches(recorded, np.array([3]), 1, None, 1)(0)) == [3]


def test_held_out_sequences_are_in_order(recorded):
  which = np.array([9, 2, 5, 4, 7])
  batches = Batches(recorded, which, 2, None, 3)
  for _ in range(2):
    assert [ids(batches(n)) for n in range(3)] == [[9, 2], [5, 4], [7, 9]]


def test_no_batch_beyond_the_last_is_prefetched(recorded, monkeypatch):
  read, plain = [], recorded.source.read
  monkeypatch.setattr(
    recorded.source, "read", lambda n: read.append(n) or plain(n)
  )
  batches = Batches(recorded, np.array([9, 2, 5, 4]), 2, None, 2)
  assert [ids(batches(n)) for n in range(2)] == [[9, 2], [5, 4]]
  assert sorted(read) == [2, 4, 5, 9]


def test_a_file_that_vanishes_is_one_line(tmp_path):
  name = save(tmp_path / "x.npz")
  with zipfile.ZipFile(tmp_path / "x.npz") as file:
    file.extractall(tmp_path / "x")
  recorded = load(name.removesuffix(".npz"))
  batches = Batches(recorded, recorded.train, 4, seed=0)
  expected = ids(batches(0))
  os.rename(tmp_path / "x", tmp_path / "y")
  asked = []
  through = lambda: [batches(n) for n in range(1, 20) if not asked.append(n)]
  with pytest.raises(
    InputError, match=r"cannot read sequence .* any more"
  ) as caught:
    through()
  assert "\n" not in str(caught.value)
  os.rename(tmp_path / "y", tmp_path / "x")
  again = Batches(recorded, recorded.train, 4, seed=0)
  assert ids(batches(asked[-1])) == ids(again(asked[-1]))
  assert ids(batches(0)) == expected
