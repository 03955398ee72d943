r"""Compare rankings of video frames with their true importance.

    python -m seqsum.importance --workdir=runs/importance

scores the frames of test videos by the network's predicted importance, if it
was trained on it, and by attributions of its final prediction; for comparison
by the distance to the video's middle and at random. It prints rank correlations
with the true importance and writes them to importance.json; summary.png and
summary.mp4 show a summary of the first video.

Runs on your own sequences whose target is the importance of each frame, such as
those of SumMe and TVSum (`eccv16:FILE`), are supported too.
"""

from absl import flags

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


def main() -> int:
  """Judges a run; returns the exit code."""
  if WORKDIR.value is None:
    raise InputError("--workdir is missing: name the folder of a run")
  if VIDEOS.value < 1:
    raise InputError(f"--videos={VIDEOS.value}: must be at least 1")
  keyshots.budget(1, SHARE.value)
  from seqsum.inference import trained  # takes seconds
  from seqsum.runs.session import open_trained
  from seqsum.summarization import judge, summary

  cli.enable_compilation_cache()
  session = open_trained(WORKDIR.value)
  model = trained.load(WORKDIR.value)
  examples = judge.read_examples(session, VIDEOS.value)
  scores = judge.make_scores(model)
  results = judge.judge(examples, scores)
  print(f"{len(examples)} videos of the test split, {model.name}")
  print(judge.table(results))
  if OUT.value:
    out = files.parse_path(OUT.value, "--out")
  else:
    files.refuse_links(session.workdir, "report")
    out = session.workdir / "report"
  first = next(iter(scores.values()))(examples[0].frames, 0)
  try:
    names = summary.write(out, results, examples[0], first, SHARE.value)
  except OSError as error:
    raise InputError(f"{out}: cannot be written ({error.strerror})") from error
  print("see " + ", ".join(str(out / name) for name in names))
  return 0


if __name__ == "__main__":
  cli.run(main)
