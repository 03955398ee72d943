r"""How well a run knows which frames of a video matter; and a summary of one.

    python -m seqsum.importance --workdir=runs/importance

reads videos of the test split and sets orders of their frames beside the truth:
the order of what the network says at each frame, if it was taught to; those in
which its answer is attributed to frames, which nobody taught it; and what the
middle of a video and mere chance come to. It leaves importance.json, and of the
first video summary.png and summary.mp4, in the run's folder `report/`.

A run on sequences of one's own whose target is the importance of each frame,
such as SumMe's and TVSum's (`eccv16:FILE`), is judged in the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from absl import flags
from etils import epath

from seqsum.runtime import cli, files
from seqsum.runtime.errors import InputError
from seqsum.summarization import keyshots

if TYPE_CHECKING:
  from seqsum.summarization.judge import Example, Score

flags.adopt_module_key_flags(cli)
WORKDIR = flags.DEFINE_string("workdir", None, "The folder of a run.")
OUT = flags.DEFINE_string(
  "out", None, "Where results go; by default the run's report/."
)
VIDEOS = flags.DEFINE_integer("videos", 100, "How many to read, at most.")
SHARE = flags.DEFINE_float(
  "share", keyshots.SHARE, "Of a video's frames that its summary may keep."
)


def main() -> int:
  """Judges a run; returns the exit code."""
  if WORKDIR.value is None:
    raise InputError("--workdir is missing: name the folder of a run")
  if VIDEOS.value < 1:
    raise InputError(f"--videos={VIDEOS.value}: must be at least 1")
  keyshots.budget(1, SHARE.value)
  from seqsum.inference import trained  # seconds
  from seqsum.runs.session import open_trained
  from seqsum.summarization import judge

  cli.enable_compilation_cache()
  session = open_trained(WORKDIR.value)
  model = trained.load(WORKDIR.value)
  found = []
  for example in judge.examples(session, VIDEOS.value):
    found.append(example)
    if len(found) == VIDEOS.value:
      break
  scores = judge.ways(model)
  results = judge.judge(found, scores)
  print(f"{len(found)} videos of the test split, {model.name}")
  print(judge.table(results))
  if OUT.value:
    out = files.parse_path(OUT.value, "--out")
  else:
    files.refuse_links(session.workdir, "report")
    out = session.workdir / "report"
  try:
    out.mkdir(parents=True, exist_ok=True)
    written = _write(out, results, found[0], next(iter(scores.values())))
  except OSError as error:
    raise InputError(f"{out}: cannot be written ({error.strerror})") from error
  print("see " + ", ".join(str(out / name) for name in written))
  return 0


def _write(
  out: epath.Path,
  results: dict[str, dict[str, float]],
  example: Example,
  score: Score,
) -> list[str]:
  """Writes the files; returns their names."""
  from seqsum.summarization import chart, video_writer

  files.write_json(out / "importance.json", results)
  written = ["importance.json"]
  if example.frames.dtype != np.uint8 or min(example.frames.shape[1:3]) < 2:
    return written  # features of frames are nothing to look at
  said = score(example.frames, 0)
  kept = keyshots.keep(said, None, SHARE.value)
  png = chart.draw(example.frames, said, kept, example.truth)
  files.write_atomically(out / "summary.png", png)
  video_writer.write(out / "summary.mp4", example.frames[kept])
  return [*written, "summary.png", "summary.mp4"]


if __name__ == "__main__":
  cli.run(main)
