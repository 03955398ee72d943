r"""Compare rankings of video frames with their true importance.

    python -m seqsum.importance --workdir=runs/importance

scores the frames of test videos by the network's predicted importance, if it
was trained on it, and by attributions of its final prediction; for comparison
by the distance to the video's middle and at random. It prints rank correlations
with the true importance and writes them to importance.json; summary.png and
summary.mp4 show a summary of the first video.

Runs on your own sequences whose target is the importance of each frame, such as
those of SumMe and TVSum (`eccv16:FILE`), are supported too.

    python -m seqsum.importance --workdir=runs/importance --video=film.mp4

scores the frames of a video file, and writes scores.json, and its summary as
summary.png and summary.mp4. A run on features also needs --features, the file
that `python -m seqsum.features` wrote for this video.
"""

import os

from absl import flags
from etils import epath

from seqsum.runtime import cli, files
from seqsum.runtime.errors import InputError
from seqsum.summarization import keyshots

flags.adopt_module_key_flags(cli)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run.")
OUT = flags.DEFINE_string(
  "out", None, "Output folder; default: report/ in the run's folder."
)
VIDEOS = flags.DEFINE_integer("videos", 100, "Maximum number of test videos.")
SHARE = flags.DEFINE_float(
  "share", keyshots.SHARE, "Share of a video's frames in its summary."
)
VIDEO = flags.DEFINE_string("video", None, "A video file to summarize.")
FEATURES = flags.DEFINE_string(
  "features", None, "HDF5 file with the features of --video."
)
RATE = flags.DEFINE_float("rate", 2.0, "Sampled frames a second of --video.")


def main() -> int:
  """Judges a run; returns the exit code."""
  if WORKDIR.value is None:
    raise InputError("--workdir is missing: name the folder of a run")
  if VIDEOS.value < 1:
    raise InputError(f"--videos={VIDEOS.value}: must be at least 1")
  keyshots.budget(1, SHARE.value)
  if FEATURES.value is not None and VIDEO.value is None:
    raise InputError("--features: needs --video, the video of these features")
  from seqsum.inference import trained  # takes seconds
  from seqsum.runs.session import open_trained
  from seqsum.summarization import judge, summary, video_summary

  cli.enable_compilation_cache()
  session = open_trained(WORKDIR.value)
  model = trained.load(WORKDIR.value)
  if VIDEO.value is not None:
    stem = os.path.splitext(os.path.basename(VIDEO.value))[0]
    out = _output_folder(session.workdir, f"report/summary-{stem}")
    paths = VIDEO.value, FEATURES.value, out
    names = video_summary.write(session, model, *paths, SHARE.value, RATE.value)
    print("see " + ", ".join(str(out / name) for name in names))
    return 0
  examples = judge.read_examples(session, VIDEOS.value)
  scores = judge.make_scores(model)
  results = judge.judge(examples, scores)
  print(f"{len(examples)} videos of the test split, {model.name}")
  print(judge.table(results))
  out = _output_folder(session.workdir, "report")
  first = next(iter(scores.values()))(examples[0].frames, 0)
  try:
    names = summary.write(out, results, examples[0], first, SHARE.value)
  except OSError as error:
    raise InputError(f"{out}: cannot be written ({error.strerror})") from error
  print("see " + ", ".join(str(out / name) for name in names))
  return 0


def _output_folder(workdir: epath.Path, name: str) -> epath.Path:
  """--out, or a folder in the run's."""
  if OUT.value:
    return files.parse_path(OUT.value, "--out")
  files.refuse_links(workdir, "report", name)
  return workdir / name


if __name__ == "__main__":
  cli.run(main)
