r"""Reads your own images with a trained network: the value after each, the sum.

    python -m seqsum.predict 3.png 4.jpg photos/*.jpg
    python -m seqsum.predict --workdir=runs/sum 3.png 4.jpg

The first uses the network that comes with seqsum, the second one of your own.
Each image shows one digit, drawn or photographed, dark on light or light on
dark. A folder stands for the images in it, in natural order; so does a quoted
glob. A file that cannot be read is an error of one line, and nothing else is
printed. A picture that seems to show something else than one upright digit
(several inks, a table around the paper, a digit on its side) gets a line on
stderr.

A run on sequences of one's own reads images as they are, brought to the size of
its frames, and videos:

    python -m seqsum.predict --workdir=runs/speed film.mp4
"""

from __future__ import annotations

import json
import math
import pathlib
import shutil
import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from seqsum.runtime import cli
from seqsum.runtime.errors import InputError
from seqsum.runtime.files import to_json

if TYPE_CHECKING:
  from seqsum.inference import trained

flags.adopt_module_key_flags(cli)
WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "The folder of a run; by default the network that comes with seqsum.",
)
JSON = flags.DEFINE_bool("json", False, "Print one JSON object.")
PLOT = flags.DEFINE_string(
  "plot", None, "Draw what was read; a PNG file, or a GIF that moves."
)
SHOW_FRAMES = flags.DEFINE_bool(
  "show_frames", False, "Print each frame as the network sees it."
)
MOST_LIKELY = 0.001  # a value less likely than this is not in the JSON


def main(*paths: str) -> int:
  """Reads the images as one sequence; returns the exit code."""
  if PLOT.value is not None and not PLOT.value.endswith((".png", ".gif")):
    raise InputError(f"--plot={PLOT.value}: must end in .png or .gif")
  if not paths:
    raise InputError("no images: name files, folders or globs")
  from seqsum.data import image_files
  from seqsum.inference import trained  # seconds
  from seqsum.plots import figures, prediction

  cli.enable_compilation_cache()
  model = trained.load(WORKDIR.value)
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", image_files.PictureWarning)
    found, frames = model.read_files(paths)
  warned = [" ".join(str(x.message).split()) for x in caught]
  warned += model.doubts(found, frames)
  for line in warned:
    print(f"seqsum: warning: {line}", file=sys.stderr)
  reading = model.read(frames)
  if PLOT.value is not None:
    if reading.predictions.ndim > 1:
      raise InputError(
        f"--plot={PLOT.value}: draws one number a frame, {model.name} says "
        f"{reading.predictions.shape[-1]}; take --json"
      )
    augmentation = PLOT.value.endswith(".gif")
    draw = prediction.animate if augmentation else prediction.draw
    plot = draw(
      frames if model.reads_digits else figures.grey_to_rgb(frames),
      reading.predictions,
      reading.values,
      reading.probabilities,
      model.task,
      model.says_whole,
    )
    try:
      pathlib.Path(PLOT.value).write_bytes(plot)
    except OSError as error:
      raise InputError(f"--plot={PLOT.value}: {error.strerror}") from error
  if JSON.value:
    said = as_json(model, found, reading) | {"warnings": warned}
    print(json.dumps(to_json(said), indent=2))
    return 0
  *rows, answer = lines(model, found, reading)
  if SHOW_FRAMES.value:
    columns = shutil.get_terminal_size().columns
    rows = [
      f"{shades(frame, columns)}\n{row}"
      for frame, row in zip(frames, rows, strict=True)
    ]
  print("\n".join([*rows, answer]))
  return 0


def lines(
  model: trained.Trained, found: list[str], reading: trained.Reading
) -> list[str]:
  """A line for each image, and what the last one says.

  Vectors are said part by part. A network that says how likely each value is
  has the share of the likeliest and the standard deviation behind it.
  """
  wide = max(map(len, found))
  said = []
  for t, file in enumerate(found):
    values = np.atleast_1d(reading.predictions[t])
    # Units of one's own may be of any size.
    form = "8.2f" if model.says_whole else "10.4g"
    line = f"{file:{wide}}  " + "  ".join(f"{x:{form}}" for x in values)
    if reading.probabilities is not None:
      share, deviation = spread(reading.values, reading.probabilities[t])
      line += f"  {share:6.1%}  ± {deviation:.2f}"
    said.append(line)
  form = ".0f" if model.says_whole else ".4g"
  parts = [f"{x:{form}}" for x in np.atleast_1d(answer_of(model, reading))]
  answer = f"{model.task}: " + ", ".join(parts)
  if len(found) > model.longest:
    things = "images" if model.reads_digits else "frames"
    answer += (
      f"  ({model.name} was trained on at most {model.longest} {things}, these "
      f"are {len(found)})"
    )
  return [*said, answer]


def answer_of(model: trained.Trained, reading: trained.Reading) -> np.ndarray:
  """[] or [D], the last word; whole if what was to be learned is."""
  last = reading.predictions[-1]
  return np.rint(last) + 0.0 if model.says_whole else last  # no -0


def spread(values: np.ndarray, shares: np.ndarray) -> tuple[float, float]:
  """The share of the likeliest value; the standard deviation of all."""
  mean = (values * shares).sum()
  square = (np.square(values - mean) * shares).sum()
  return float(shares.max()), float(np.sqrt(square))


def as_json(
  model: trained.Trained, found: list[str], reading: trained.Reading
) -> dict:
  """What --json prints."""
  rows = []
  for t, file in enumerate(found):
    row = {"file": file, "prediction": reading.predictions[t].tolist()}
    if reading.probabilities is not None:
      shares = reading.probabilities[t]
      row["deviation"] = spread(reading.values, shares)[1]
      row["probabilities"] = {
        np.format_float_positional(value, trim="-"): float(share)
        for value, share in zip(reading.values, shares, strict=True)
        if share >= MOST_LIKELY
      }
    rows.append(row)
  return {
    "run": model.name,
    "step": model.step,
    "task": model.task,
    "longest_trained": model.longest,
    "images": rows,
    "answer": answer_of(model, reading).tolist(),
  }


def shades(frame: np.ndarray, columns: int) -> str:
  """A frame [H, W, C] as text: two letters a pixel where there is room."""
  ink = frame.mean(axis=-1)
  ink = np.repeat(ink, 2, axis=1) if columns >= 2 * ink.shape[1] else ink
  letters = np.array(list(" ░▒▓█"))
  rows = letters[np.minimum(ink / 51.2, 4).astype(int)]
  return "\n".join("".join(row).rstrip() for row in rows)


if __name__ == "__main__":
  cli.run(main, arguments=math.inf)
