r"""Predict the running value and the sum of your own images.

    python -m seqsum.predict 3.png 4.jpg photos/*.jpg
    python -m seqsum.predict --workdir=runs/sum 3.png 4.jpg

The first command uses the network that comes with seqsum, the second one of
your own runs. Each image shows one digit, drawn or photographed, dark on light
or light on dark. A folder, or a quoted glob, adds its images in natural order
(2.png before 10.png). If a file cannot be read, the command prints one line of
error and no prediction. Images that may show something else than one upright
digit (several digits, a table around the paper, a digit on its side) are
reported on stderr.

A run of the task 'addition' takes two numbers of equal length, most significant
digit first, with a + between them (47 + 85):

    python -m seqsum.predict --workdir=runs/addition 4.png 7.png + 8.png 5.png

Without the +, the first half of the images is one number and the second half
the other.

A run on your own sequences takes videos and images, resized to its frames:

    python -m seqsum.predict --workdir=runs/speed film.mp4
"""

import json
import math
import pathlib
import shutil
import sys

from absl import flags

from seqsum.runtime import cli
from seqsum.runtime.errors import InputError

flags.adopt_module_key_flags(cli)
WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder of a run; default: the network that comes with seqsum.",
)
JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")
PLOT = flags.DEFINE_string(
  "plot", None, "Plot frames and predictions to this .png or animated .gif."
)
SHOW_FRAMES = flags.DEFINE_bool(
  "show_frames", False, "Print each frame as the network's input."
)


def main(*paths: str) -> int:
  """Predicts one sequence; returns the exit code."""
  if PLOT.value is not None and not PLOT.value.endswith((".png", ".gif")):
    raise InputError(f"--plot={PLOT.value}: must end in .png or .gif")
  if not paths:
    raise InputError("no images: name files, folders or globs")
  from seqsum.inference import addition, answer, trained  # takes seconds

  cli.enable_compilation_cache()
  model = trained.load(WORKDIR.value)
  adds = model.task == addition.TASK
  found = (addition if adds else answer).predict_files(model, paths)
  for line in found.warnings:
    print(f"seqsum: warning: {line}", file=sys.stderr)
  if PLOT.value is not None:
    plot = found.plot(animated=PLOT.value.endswith(".gif"))
    try:
      pathlib.Path(PLOT.value).write_bytes(plot)
    except OSError as error:
      raise InputError(f"--plot={PLOT.value}: {error.strerror}") from error
  if JSON.value:
    print(json.dumps(found.as_json(), indent=2))
  else:
    columns = shutil.get_terminal_size().columns if SHOW_FRAMES.value else None
    print(found.as_text(columns))
  return 0


if __name__ == "__main__":
  cli.run(main, arguments=math.inf)
