r"""Compare finished or unfinished runs: configs, learning curves, test metrics.

    python -m seqsum.compare runs/sum runs/lstm --out=comparison

prints what differs between the configs, the test metrics with 95% intervals,
steps and seconds, and writes the same as compare.md, with the learning curves
in compare.png. It reads the files of the runs and changes nothing in them.
"""

import math

from absl import flags

from seqsum.runtime import cli, files
from seqsum.runtime.errors import InputError

flags.adopt_module_key_flags(cli)
OUT = flags.DEFINE_string("out", "comparison", "Output folder.")


def main(*workdirs: str) -> int:
  """Compares the runs in some folders; returns the exit code."""
  if len(workdirs) < 2:
    raise InputError(
      "name the folders of two or more runs, e.g. runs/sum runs/lstm"
    )
  out = files.parse_path(OUT.value, "--out")
  from seqsum.studies import run_charts, run_comparison  # takes seconds

  runs = run_comparison.read_runs(workdirs)
  text = run_comparison.describe(runs)
  figure = run_charts.learning(runs)
  print(text)
  try:
    out.mkdir(parents=True, exist_ok=True)
    files.refuse_links(out, "compare.md", "compare.png")
    image = "\n![Validation mse and exact accuracy](compare.png)\n"
    files.write_atomically(out / "compare.md", text + image)
    files.write_atomically(out / "compare.png", figure)
  except OSError as error:
    raise InputError(f"{out}: cannot be written ({error.strerror})") from error
  print(f"see {out / 'compare.md'}, {out / 'compare.png'}")
  return 0


if __name__ == "__main__":
  cli.run(main, arguments=math.inf)
