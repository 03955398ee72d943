"""Scores of TVSum's annotators, in `ydata-tvsum50-anno.tsv`.

The file has a line for each of the 20 annotators of each video: the video's
title, its category, and a score of 1 to 5 for every frame. The HDF5 files only
have the annotators' mean and binary summaries.
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seqsum.data.tvsum import Video
from seqsum.data.video_benchmark import read_text
from seqsum.runtime.errors import InputError, one_line


def read(path: Path) -> dict[str, np.ndarray]:
  """Reads the file.

  Returns:
    Title of a video -> [n_users, n_frames] float32, in the order of the file.

  Raises:
    InputError: The file has another layout.
  """
  found: dict[str, list[np.ndarray]] = {}
  for n, line in enumerate(read_text(path).splitlines(), start=1):
    try:
      title, _, values = line.split("\t")
      scores = np.array(values.split(","), np.float32)
      if not np.isfinite(scores).all():
        raise ValueError("nan or inf")
    except ValueError as error:
      raise InputError(
        f"{path}: line {n}: expected title, category and scores such as 1,3,5, "
        f"with tabs between them ({one_line(error)})"
      ) from error
    rows = found.setdefault(title, [])
    if rows and len(rows[0]) != len(scores):
      raise InputError(
        f"{path}: line {n}: {len(scores)} scores of {title!r}, the annotator "
        f"before has {len(rows[0])}"
      )
    rows.append(scores)
  if not found:
    raise InputError(f"{path}: has no annotations")
  return {title: np.stack(rows) for title, rows in found.items()}


def add(videos: Sequence[Video], path: Path) -> list[Video]:
  """Returns the videos with the annotators' scores.

  A video has the annotations of its title; without a title, "video_3" has the
  third ones of the file, as in the code of CA-SUM and CSTA.

  Raises:
    InputError: A video has no annotations, or ones of another length.
  """
  found = read(path)
  titles = list(found)

  def title_of(video: Video) -> str:
    number = re.fullmatch(r"video_(\d{1,9})", video.name)
    if video.title in found:
      return str(video.title)
    if number and 1 <= int(number[1]) <= len(titles):
      return titles[int(number[1]) - 1]
    raise InputError(f"{path}: has no annotations of {video.name!r}")

  annotated = []
  for video in videos:
    title = title_of(video)
    scores = found[title]
    if scores.shape[1] != video.n_frames:
      raise InputError(
        f"{path}: {scores.shape[1]} scores of {title!r}, but {video.name!r} "
        f"has {video.n_frames} frames: not the annotations of this data set"
      )
    annotated.append(video._replace(user_scores=scores))
  return annotated
