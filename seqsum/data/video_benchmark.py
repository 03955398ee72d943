"""SumMe, TVSum and MR.HiSum, split as in their usual files.

`tvsum.py` describes the HDF5 files. The splits are in

    summe_splits.json   [{"train_keys": [...], "test_keys": [...]}, ...], of
                        pytorch-vsumm-reinforce, VASNet and PGL-SUM
    SumMe_splits.txt    SumMe/split0/video_1,video_3/video_2,video_4, of CSTA
    summe.yml           the json's content as YAML, of DSNet; a key is the path
                        of the HDF5 file and the name of the video
    mrsum_split.json    {"train_keys": [...], "val_keys": [...], "test_keys":
                        [...]}, of MR.HiSum
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging
from tqdm import tqdm

from seqsum.data import tvsum
from seqsum.data.recordings import NO_BENCHMARK, Benchmark
from seqsum.data.sequence_dataset import SPLITS, Splits
from seqsum.data.tvsum import Video
from seqsum.runtime import natural_order, processes
from seqsum.runtime.errors import InputError, one_line, require, require_file
from seqsum.sequences.pixel_rule import PixelRule

MAX_BYTES = 1 << 26  # of a file of splits or annotations
IN_MEMORY = 1 << 31  # bytes; features of larger files are read when needed


class Split(NamedTuple):
  """Keys of videos; no key is in two lists.

  Attributes:
    train, test: Not empty.
    validation: Empty if the file has none.
  """

  train: list[str]
  validation: list[str]
  test: list[str]


class FeatureSource:
  """A `sequence_dataset.Source`: features as frames, gtscore as targets.

  Videos without gtscore get the mean of user_summary; those without both are
  left out. Warnings name what is missing.

  Attributes:
    videos: The videos, without features, in natural order of their names.
    benchmark: The argument.
  """

  floats = True
  pictures: PixelRule | None = None
  sizes: tuple[tuple[int, int], ...] = ()

  def __init__(self, path: Path, benchmark: Benchmark = NO_BENCHMARK):
    """Reads everything but the features of files of more than 2 GiB.

    Args:
      path: The HDF5 file.
      benchmark: Its other files.
    """
    self.benchmark = benchmark
    split: Split | None = None
    names: dict[Path, list[str] | None] = {path: None}
    if benchmark.splits:
      split, names = _choose(benchmark, path)
    if benchmark.annotations:
      require_file(benchmark.annotations)
    self._places: list[tuple[Path, str]] = []
    self._features: list[np.ndarray] = []
    self.videos: list[Video] = []
    scores: list[np.ndarray] = []
    for place, video in _read_videos(names):
      if video.gtscore is not None:
        scores.append(video.gtscore)
        self._places.append((place, video.name))
        if video.features is not None:
          self._features.append(video.features)
        name = video.name if place == path else f"{place.name}/{video.name}"
        self.videos.append(video._replace(name=name, features=None))
    if not self.videos:
      raise InputError(
        f"{path}: no video has gtscore or user_summary: there is nothing to "
        "learn"
      )
    widths = {video.width for video in self.videos}
    if len(widths) > 1:
      raise InputError(
        f"{path}: features of {min(widths)} to {max(widths)} numbers a "
        "frame, expected the same number in all videos"
      )
    self.shape = (1, 1, min(widths))
    self.lengths = np.array([len(x) for x in scores], np.int32)
    self.targets = np.zeros((len(scores), self.lengths.max()), np.float32)
    for row, values in zip(self.targets, scores, strict=True):
      row[: len(values)] = values
      row[len(values) :] = values[-1]
    if self._features:
      parts = [
        x.tobytes() for y in zip(self._features, scores, strict=True) for x in y
      ]
    else:  # the sizes of the files in place of the features
      parts = [x.tobytes() for x in scores]
      parts.append(repr([x.stat().st_size for x in names]).encode())
    self.fingerprint = b"".join(parts)
    self.splits: Splits = None
    if split is not None:
      self.splits = self._indices(split, path)

  def read(self, n: int) -> np.ndarray:
    if self._features:
      return self._features[n][:, None, None, :]
    place, name = self._places[n]
    (video,) = tvsum.read(place, [name])
    if video.features is None or len(video.features) != self.lengths[n]:
      raise InputError(f"{place}: {name!r}: changed; restore the file")
    return video.features[:, None, None, :]

  def _indices(self, split: Split, path: Path) -> dict[str, np.ndarray]:
    """Indices of the videos of each of `SPLITS`."""
    place = {v.name: n for n, v in enumerate(self.videos)}
    parts = {
      name: np.array([place[x] for x in keys if x in place], np.int64)
      for name, keys in zip(SPLITS, split, strict=True)
    }
    if not split.validation:
      train = np.sort(parts["train"])
      parts["validation"] = train
      if self.benchmark.validation:
        count = max(1, round(self.benchmark.validation * len(train)))
        order = np.random.default_rng(0).permutation(train)
        parts["validation"], parts["train"] = order[:count], order[count:]
    for name, part in parts.items():
      require(
        len(part) > 0,
        "config.benchmark.split",
        self.benchmark.split,
        f"has no {name} video of {path} with a gtscore",
      )
    return {name: np.sort(part) for name, part in parts.items()}


def _choose(
  benchmark: Benchmark, path: Path
) -> tuple[Split, dict[Path, list[str] | None]]:
  """A split, its keys as names of `FeatureSource.videos`, and those by file.

  A key may name another HDF5 file, which must be in the folder of `path`. If
  all keys name the same file, it is `path`, whatever its name.

  Raises:
    InputError: There is no such split, or its keys do not name `path`.
  """
  splits = read_splits(Path(benchmark.splits))
  require(
    0 <= benchmark.split < len(splits),
    "config.benchmark.split",
    benchmark.split,
    f"must be in 0..{len(splits) - 1}: {benchmark.splits} has {len(splits)}",
  )
  keys = {x for split in splits for part in split for x in part}
  is_one = len({_parse_key(key)[0] for key in keys}) == 1
  names: dict[Path, list[str] | None] = {}
  renamed = {}
  chosen = splits[benchmark.split]
  for key in natural_order.sort({x for part in chosen for x in part}):
    file, name = _parse_key(key)
    place = path if is_one or file == path.name else path.parent / file
    names[place] = [*(names.get(place) or ()), name]
    renamed[key] = name if place == path else f"{file}/{name}"
  require(
    path in names,
    "config.data.name",
    path.name,
    f"is not among the files that {benchmark.splits} names: "
    + ", ".join(place.name for place in names),
  )
  every = {_parse_key(x)[1] for x in keys if is_one or _names(x, path)}
  if left := natural_order.sort(set(tvsum.names(path)) - every):
    logging.warning(
      "%s: %d videos of %s, such as %r, are in none of its splits: are they of "
      "another data set?",
      *(benchmark.splits, len(left), path, left[0]),
    )
  return Split(*([renamed[x] for x in part] for part in chosen)), names


def _names(key: str, path: Path) -> bool:
  return _parse_key(key)[0] == path.name


def _parse_key(key: str) -> tuple[str, str]:
  """ "../datasets/tvsum.h5/video_1" -> ("tvsum.h5", "video_1")."""
  place, _, name = key.rpartition("/")
  return place.rpartition("/")[2], name


def _read_videos(
  names: dict[Path, list[str] | None],
) -> Iterator[tuple[Path, Video]]:
  """Yields the file and the video; warns of what is missing in a file."""
  size = sum(path.stat().st_size for path in names if path.is_file())
  for path, chosen in names.items():
    missing: Counter[str] = Counter()
    videos = tvsum.read(path, chosen, size <= IN_MEMORY)
    quiet = None if processes.is_lead() else True
    bar = {"desc": path.name, "unit": " videos", "delay": 5, "leave": False}
    for video in tqdm(videos, **bar, disable=quiet):
      missing["videos"] += 1
      missing["user_summary"] += video.user_summary is None
      missing["change_points"] += video.shots is None
      missing["gtscore"] += video.gtscore is None
      if video.gtscore is None and video.user_summary is not None:
        mean = video.user_summary.mean(axis=0, dtype=np.float32)
        video = video._replace(gtscore=mean[video.picks])
      missing["both"] += video.gtscore is None
      yield path, video
    if processes.is_lead():
      _warn(path, missing)


def _warn(path: Path, missing: Counter[str]) -> None:
  """Warns of the data sets that videos of a file do not have."""
  remedies = {
    "gtscore": f"the mean of user_summary replaces it; {missing['both']} have "
    "neither",
    "user_summary": "no F-scores, and no correlations with summaries",
    "change_points": "no F-scores, and no correlations of summaries",
  }
  for name, remedy in remedies.items():
    if missing[name]:
      logging.warning(
        "%s: %d of %d videos have no %s: %s",
        path,
        missing[name],
        missing["videos"],
        name,
        remedy,
      )


def read_splits(path: Path) -> list[Split]:
  """Reads a file of splits, see the top of this file.

  Raises:
    InputError: The file has another layout, a split without training or test
      videos, or a video in two lists.
  """
  text = read_text(path)
  if path.suffix == ".txt":
    found = [_parse_line(path, x) for x in text.splitlines() if x.strip()]
  else:
    parse = _parse_yaml if path.suffix in (".yml", ".yaml") else json.loads
    try:
      found = parse(text)
    except (ValueError, RecursionError) as error:
      raise InputError(f"{path}: cannot be read ({one_line(error)})") from error
    found = [found] if isinstance(found, dict) else found
  if not isinstance(found, list) or not found:
    raise InputError(f"{path}: expected a list of splits")
  return [_check_split(f"{path}: split {n}", x) for n, x in enumerate(found)]


def _parse_yaml(text: str) -> Any:
  import yaml  # a requirement of Flax

  try:
    return yaml.safe_load(text)
  except yaml.YAMLError as error:
    raise ValueError(one_line(error)) from error


def _parse_line(path: Path, line: str) -> dict[str, list[str]]:
  """Parses "SumMe/split0/video_1,video_3/video_2"."""
  parts = line.strip().split("/")
  if len(parts) != 4:
    raise InputError(
      f"{path}: {line[:60]!r}: expected 'DATASET/split0/TRAIN/TEST'"
    )
  return {"train": parts[2].split(","), "test": parts[3].split(",")}


def _check_split(where: str, found: Any) -> Split:
  if not isinstance(found, dict):
    raise InputError(f"{where}: expected train_keys and test_keys")
  parts = []
  for name in ("train", "val", "test"):
    keys = found.get(f"{name}_keys", found.get(name, []))
    if not isinstance(keys, list) or not all(isinstance(x, str) for x in keys):
      raise InputError(f"{where}: {name}_keys: expected a list of names")
    if not keys and name != "val":
      raise InputError(f"{where}: has no {name}_keys")
    parts.append(keys)
  for key, count in Counter(x for part in parts for x in part).items():
    if count > 1:
      raise InputError(f"{where}: {key!r} is named {count} times")
  return Split(*parts)


def read_text(path: Path) -> str:
  try:
    require_file(path)
    if path.stat().st_size > MAX_BYTES:
      raise InputError(f"{path}: larger than {MAX_BYTES >> 20} MiB")
    return path.read_text(encoding="utf-8-sig")
  except (OSError, UnicodeError) as error:
    reason = getattr(error, "strerror", None) or one_line(error)
    raise InputError(f"{path}: cannot be read ({reason})") from error
