"""Files of SumMe, TVSum and MR.HiSum in the layouts of their public readers.

The layouts are those that these read: main.py of KaiyangZhou/
pytorch-vsumm-reinforce and data_loader.py of e-apostolidis/PGL-SUM (json),
dataset.py of thswodnjs3/CSTA (txt), data_helper.py of li-plus/DSNet (yaml), and
mrhisum_dataset.py of MRHiSum/MR.HiSum.
"""

import json
import logging

import numpy as np
import pytest
from short_runs import ROOT

from seqsum.data import recordings, tvsum, video_benchmark
from seqsum.data.recordings import Benchmark
from seqsum.runtime.errors import InputError
from seqsum.studies import plan

h5py = pytest.importorskip("h5py", reason="pip install -e '.[video]'")

STEPS, FRAMES = 4, 15 * 3 + 10
SHOTS = [[0, 6], [7, 19], [20, 27], [28, FRAMES - 1]]  # 8 frames may be kept
# Split n tests one of them and trains on the others.
KEYS = [f"video_{n}" for n in range(1, 6)]


def write_h5(path, names=KEYS, without=(), width=8, **more):
  """SumMe's or TVSum's layout; feature 0 of a step is its gtscore."""
  rng, frames = np.random.default_rng(0), FRAMES
  with h5py.File(path, "w") as file:
    for name in names:
      features = rng.uniform(size=(STEPS, width)).astype(np.float32)
      for key, value in {
        "features": features,
        "gtscore": features[:, 0],
        "user_summary": (rng.random((3, frames)) < 0.3).astype(np.float32),
        "change_points": np.array(SHOTS, np.int32),
        "n_frame_per_seg": np.array([7, 13, 8, 27], np.int32),
        "n_frames": np.array(frames),
        "n_steps": np.array(STEPS),
        "picks": 15 * np.arange(STEPS),
        "gtsummary": np.ones(STEPS, np.float32),
        **more,
      }.items():
        if key not in without:
          file[f"{name}/{key}"] = value
  return path


def write_splits(folder, style, h5="eccv16_dataset_tvsum_google_pool5.h5"):
  """Five splits; split n tests the n-th video."""
  splits = [
    {"train_keys": [x for x in KEYS if x != test], "test_keys": [test]}
    for test in KEYS
  ]
  if style == "json":
    path = folder / "tvsum_splits.json"
    path.write_text(json.dumps(splits, indent=4))
  elif style == "txt":
    path = folder / "TVSum_splits.txt"
    lines = (
      f"TVSum/split{n}/{','.join(x['train_keys'])}/{','.join(x['test_keys'])}\n"
      for n, x in enumerate(splits)
    )
    path.write_text("".join(lines))
  else:
    path = folder / "tvsum.yml"
    lines = []
    for split in splits:
      for n, part in enumerate(("test_keys", "train_keys")):
        lines.append(f"{' ' if n else '-'} {part}:")
        lines += [f"  - ../datasets/{h5}/{key}" for key in split[part]]
    path.write_text("\n".join(lines) + "\n")
  return path


def write_annotations(path, titles=KEYS, frames=FRAMES, users=20):
  """As `ydata-tvsum50-anno.tsv`: a line for each annotator of each video."""
  rng = np.random.default_rng(0)
  scores = rng.integers(1, 6, (len(titles), users, frames))
  path.write_text(
    "".join(
      f"{title}\tVT\t{','.join(map(str, row))}\n"
      for title, rows in zip(titles, scores, strict=True)
      for row in rows
    )
  )
  return scores


HISUM = [f"video_{n}" for n in (10050, 12904, 7, 8)]


def write_mr_hisum(path, names=HISUM, steps=20, with_features=True):
  """A video has a value a second; shots end before the next one's first.

  Also writes `mrsum_split.json`.
  """
  keys = {"train_keys": names[:1], "val_keys": names[1:2]}
  splits = path.parent / "mrsum_split.json"
  splits.write_text(json.dumps(keys | {"test_keys": names[2:]}, indent=4))
  rng = np.random.default_rng(0)
  with h5py.File(path, "w") as file:
    for n, name in enumerate(names):
      score = rng.random(steps)
      if with_features:
        features = rng.random((steps, 6), np.float32)
        features[:, 0] = score
        file[f"{name}/features"] = features
      file[f"{name}/gtscore"] = score
      # The last shot of some videos ends with the last second.
      file[f"{name}/change_points"] = [[0, 5], [5, 17], [17, steps - n % 2]]
      file[f"{name}/gt_summary"] = np.float32(np.arange(steps) >= 17)
  return path


def names_of(data, split):
  return [data.source.videos[n].name for n in getattr(data, split)]


def load(path, **benchmark):
  return recordings.load(f"eccv16:{path}", benchmark=Benchmark(**benchmark))


@pytest.mark.parametrize("style", ["json", "txt", "yml"])
@pytest.mark.parametrize("renamed", [False, True])
def test_each_split_of_each_format_is_read(tmp_path, style, renamed):
  name = "mine.h5" if renamed else "eccv16_dataset_tvsum_google_pool5.h5"
  path = write_h5(tmp_path / name)
  splits = str(write_splits(tmp_path, style))
  digests = set()
  for n, test in enumerate(KEYS):
    data = load(path, splits=splits, split=n, validation=0.25)
    assert names_of(data, "test") == [test]
    assert len(data.train) == 3
    assert len(data.validation) == 1
    train = {*names_of(data, "train"), *names_of(data, "validation")}
    assert train == {*KEYS} - {test}
    digests.add(data.sha256)
  assert len(digests) == 5
  with pytest.raises(InputError, match=r"benchmark.split=5: must be in 0..4"):
    load(path, splits=splits, split=5)


@pytest.mark.parametrize("style", ["json", "txt", "yml"])
def test_splits_of_another_data_set_are_reported(tmp_path, caplog, style):
  """SumMe's 25 videos have the names of half of TVSum's."""
  path = write_h5(tmp_path / "x.h5", names=[*KEYS, "video_6", "video_10"])
  splits = str(write_splits(tmp_path, style))
  _, (line,) = warnings_of(caplog, path, splits=splits, split=0)
  assert "x.h5, such as 'video_6', are in none of its splits" in line


def test_all_training_videos_are_used_without_validation(tmp_path):
  path = write_h5(tmp_path / "x.h5")
  splits = str(write_splits(tmp_path, "json"))
  data = load(path, splits=splits, split=1, validation=0.0)
  assert names_of(data, "train") == ["video_1", "video_3", "video_4", "video_5"]
  assert names_of(data, "validation") == names_of(data, "train")
  assert names_of(data, "test") == ["video_2"]


def test_other_files_of_an_augmented_split_are_read(tmp_path):
  path = write_h5(tmp_path / "eccv16_dataset_summe_google_pool5.h5")
  other = "eccv16_dataset_ovp_google_pool5.h5"
  ours = f"../datasets/{path.name}"
  split = {
    "test_keys": [f"{ours}/video_1"],
    "train_keys": [
      f"{ours}/video_2",
      f"../datasets/{other}/video_1",
      f"../datasets/{other}/video_10",
      f"{ours}/video_3",
    ],
  }
  splits = tmp_path / "summe_aug.yml"
  lines = []
  for n, (part, keys) in enumerate(split.items()):
    lines += [f"{' ' if n else '-'} {part}:", *(f"  - {key}" for key in keys)]
  splits.write_text("\n".join(lines))
  with pytest.raises(InputError, match=f"{other}: there is no such file"):
    load(path, splits=str(splits))
  # As DSNet has them: without summaries of users.
  write_h5(tmp_path / other, ["video_1", "video_10"], without=("user_summary",))
  data = load(path, splits=str(splits), validation=0.0)
  assert names_of(data, "test") == ["video_1"]
  assert names_of(data, "train") == [
    f"{other}/video_1",
    f"{other}/video_10",
    "video_2",
    "video_3",
  ]
  frames = data.source.read(data.train[1])
  assert frames.shape == (STEPS, 1, 1, 8)
  targets = data.source.targets[data.train[1]]
  np.testing.assert_array_equal(frames[:, 0, 0, 0], targets)


@pytest.mark.parametrize(
  ("name", "text", "words"),
  [
    ("x.json", "[", "x.json: cannot be read"),
    ("x.json", "[]", "x.json: expected a list of splits"),
    ("x.json", "7", "x.json: expected a list of splits"),
    ("x.json", "[[]]", "split 0: expected train_keys and test_keys"),
    ("x.json", '[{"train_keys": ["video_1"]}]', "split 0: has no test_keys"),
    ("x.json", '[{"train_keys": "video_1"}]', "train_keys: expected a list"),
    (
      "x.json",
      '[{"train_keys": ["video_1"], "test_keys": ["video_1"]}]',
      "split 0: 'video_1' is named 2 times",
    ),
    (
      "x.json",
      '[{"train_keys": ["video_1"], "test_keys": ["video_9"]}]',
      "x.h5: 'video_9': missing",
    ),
    ("x.txt", "SumMe/split0/video_1\n", "expected 'DATASET/split0/TRAIN/TEST'"),
    ("x.yml", "- a: [", "x.yml: cannot be read"),
    ("x.yml", "- !!python/object/apply:os.system ['ls']", "cannot be read"),
    ("x.json", "\x80", "cannot be read"),
  ],
)
def test_invalid_splits_are_refused(tmp_path, name, text, words):
  path = write_h5(tmp_path / "x.h5")
  splits = tmp_path / name
  splits.write_bytes(text.encode("latin-1"))
  with pytest.raises(InputError, match=words) as caught:
    load(path, splits=str(splits))
  assert "\n" not in str(caught.value)


def test_a_missing_or_useless_file_is_refused(tmp_path):
  path = write_h5(tmp_path / "x.h5")
  for field in ("splits", "annotations"):
    with pytest.raises(InputError, match=r"y\.json: No such file"):
      load(path, **{field: str(tmp_path / "y.json")})
  np.savez(tmp_path / "x.npz", frames=np.zeros((3, 1, 2, 2), np.uint8))
  with pytest.raises(InputError, match=r"benchmark\.splits='x.json': is for"):
    recordings.load(
      f"npz:{tmp_path / 'x.npz'}", benchmark=Benchmark(splits="x.json")
    )


def warnings_of(caplog, path, **benchmark):
  caplog.clear()
  with caplog.at_level(logging.WARNING, "absl"):
    data = load(path, **benchmark)
  return data, [x.getMessage() for x in caplog.records]


def test_missing_data_sets_are_reported(tmp_path, caplog):
  logging.getLogger("absl").propagate = True
  path = write_h5(tmp_path / "x.h5")
  assert warnings_of(caplog, path)[1] == []
  write_h5(path, without=("user_summary",))
  data, (line,) = warnings_of(caplog, path)
  assert "5 of 5 videos have no user_summary" in line
  assert data.source.videos[0].user_summary is None
  # The mean of the masks, as SumMe's own gtscore.
  write_h5(path, without=("gtscore",))
  data, (line,) = warnings_of(caplog, path)
  assert "5 of 5 videos have no gtscore: the mean of user_summary" in line
  video = data.source.videos[0]
  np.testing.assert_allclose(
    data.source.targets[0], video.user_summary[:, ::15].mean(axis=0), atol=1e-6
  )
  write_h5(path, without=("gtscore", "user_summary"))
  with pytest.raises(InputError, match="nothing to learn"):
    load(path)
  write_h5(path, without=("change_points", "n_frame_per_seg"))
  data, (line,) = warnings_of(caplog, path)
  assert "5 of 5 videos have no change_points" in line
  assert data.source.videos[0].shots is None


def test_mr_hisum_is_read(tmp_path):
  names = HISUM
  path = write_mr_hisum(tmp_path / "mr_hisum.h5")
  splits = tmp_path / "mrsum_split.json"
  data = load(path, splits=str(splits))
  assert names_of(data, "train") == names[:1]
  assert names_of(data, "validation") == names[1:2]
  assert names_of(data, "test") == names[2:]
  for n, video in enumerate(data.source.videos):
    assert video.n_frames == 20
    assert video.picks.tolist() == list(range(20))
    assert video.shots.tolist() == [[0, 4], [5, 16], [17, 19]]
    assert video.user_summary.tolist() == [[False] * 17 + [True] * 3]
    frames = data.source.read(n)
    np.testing.assert_allclose(
      frames[:, 0, 0, 0], data.source.targets[n], atol=1e-6
    )
  # As downloaded, before preprocess.py adds those of YouTube-8M.
  write_mr_hisum(path, with_features=False)
  with pytest.raises(InputError, match="features: missing"):
    load(path, splits=str(splits))


def test_features_and_scores_of_different_lengths_are_cut(tmp_path):
  path = write_mr_hisum(tmp_path / "x.h5", KEYS)
  with h5py.File(path, "a") as file:
    for key in KEYS:
      del file[key]["features"]
      file[key]["features"] = np.ones((18, 6), np.float32)
  (video, *_) = tvsum.read(path)
  assert video.features.shape == (18, 6)
  assert video.gtscore.shape == (18,)
  assert video.shots.tolist() == [[0, 4], [5, 16], [17, 17]]
  assert video.user_summary.sum() == 1


def test_features_of_large_files_are_read_when_needed(tmp_path, monkeypatch):
  path = write_h5(tmp_path / "x.h5")
  small = load(path).source
  monkeypatch.setattr(video_benchmark, "IN_MEMORY", 0)
  large = video_benchmark.FeatureSource(path)
  assert not large._features
  for n in range(len(KEYS)):
    np.testing.assert_array_equal(small.read(n), large.read(n))
  assert small.fingerprint != large.fingerprint
  write_h5(path, KEYS[:1])
  large.read(0)
  with pytest.raises(InputError, match="'video_2': missing"):
    large.read(1)


@pytest.mark.slow
def test_five_splits_are_trained_and_judged_in_one_command(run, tmp_path):
  path = write_h5(tmp_path / "x.h5", [f"video_{n}" for n in range(1, 11)])
  splits = write_splits(tmp_path, "json")
  write_annotations(
    tmp_path / "anno.tsv", [f"title {n}" for n in range(10)], users=3
  )
  workdir = tmp_path / "study"
  command = (
    "--study=configs/studies/summarize.py",
    f"--workdir={workdir}",
    f"--set=data.name=eccv16:{path.name}",
    f"--set=data.data_dir={tmp_path}",
    f"--set=benchmark.splits={splits.name}",
    "--set=benchmark.annotations=anno.tsv",
    "--set=benchmark.validation=0.0",
    "--set=checkpoint.best=last",
    "--set=epochs=2",
    "--set=optimizer.learning_rate=1e-2",
    "--set=model.hidden_sizes=(8,)",
  )
  done = run(*command, program="seqsum.study")
  assert done.returncode == 0, done.stderr
  table = (workdir / "table.md").read_text()
  assert "Test videos of 5 splits, mean ± standard deviation" in table
  assert "| split_0 | split_1 | split_2 | split_3 | split_4 |" in table
  assert f"5 of 5 runs, tested on eccv16:{path.name}. Mean" in table
  (head,) = [x for x in table.splitlines() if "| people |" in x]
  assert head == (
    "| metric: what is compared | predicted importance | the middle of the "
    "video | chance | people |"
  )
  lines = (workdir / "results.jsonl").read_text().splitlines()
  gain = 0.0
  for n, line in enumerate(map(json.loads, lines)):
    assert line["variant"] == f"split_{n}"
    measured = line["measured"]
    assert {"kendall_users", "kendall_masks", "kendall_summary"} < set(
      measured["chance"]
    )
    config = workdir / "runs" / line["variant"] / "0" / "config.json"
    config = json.loads(config.read_text())["config"]
    assert config["benchmark"]["split"] == n
    gain += measured["predicted importance"]["spearman"] / 5
    gain -= measured["chance"]["spearman"] / 5
  assert gain > 0.2  # feature 0 is the importance
  run_folder = workdir / "runs" / "split_0" / "0"
  done = run(f"--workdir={run_folder}", program="seqsum.importance")
  assert done.returncode == 0, done.stderr
  assert "1 videos of the test split" in done.stdout
  assert "tau: scores, each annotator's scores (TVSum)" in done.stdout


@pytest.mark.parametrize(
  ("setting", "words"),
  [
    ("data.name", "--set='data.name': must be FIELD=VALUE"),
    ("data.nam=x", "unknown config field 'data.nam': did you mean 'data.name'"),
    ("epochs=many", "--set=epochs=many: must be a value like 20"),
    ("epochs={{}}", "--set=epochs={{}}: must be a value like 20"),
    ("seed=7", "--set='seed=7': use --seeds"),
    ("epochs='7'", "config.epochs='7': must be of type int"),
    ("benchmark.split=1", "--set='benchmark.split': is what the variants"),
    ("benchmark.splits=", "split=1: needs config.benchmark.splits"),
    ("benchmark.validation=0", "also set config.checkpoint.best='last'"),
    ("benchmark.validation=1.0", "must be at least 0 and below 1"),
    ("benchmark.splits=absent.json", "absent.json: No such file"),
  ],
)
def test_invalid_settings_of_a_study_are_refused(tmp_path, setting, words):
  path = write_h5(tmp_path / "x.h5")
  study = plan.load(ROOT / "configs" / "studies" / "summarize.py")

  def lay_out():
    fields = plan.parse_fields(study.base, [setting])
    data = {"data.name": f"eccv16:{path}", "batch_size": 8}
    data["eval_batch_size"] = 8  # devices of the tests
    return plan.lay_out(study, tmp_path, fields=data | fields)

  with pytest.raises(InputError) as caught:
    lay_out()
  assert words in str(caught.value)
