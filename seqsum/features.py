r"""Extract features and shots of videos into the usual HDF5 layout.

    pip install 'seqsum[video]'
    python -m seqsum.features film.mp4 other.mkv --out=films.h5 \
        --network=googlenet.onnx

samples two frames a second, computes their features and finds the shots. The
file has the layout of SumMe's and TVSum's usual files, without annotations
(`seqsum/data/tvsum.py`); videos that cannot be read are reported and left out.
The network is a run's folder, or any ONNX file of an image network (pip install
'seqsum[onnx]'); by default the digit network that comes with seqsum.
"""

import math

from absl import flags

from seqsum.runtime import cli, files
from seqsum.runtime.errors import InputError

flags.adopt_module_key_flags(cli)
OUT = flags.DEFINE_string("out", None, "The HDF5 file to write.")
NETWORK = flags.DEFINE_string(
  "network", None, "Folder of a run or .onnx file that computes features."
)
LAYER = flags.DEFINE_string(
  "layer", "", "Tensor of the .onnx file; default: its first output."
)
SCALE = flags.DEFINE_string(
  "scale",
  "imagenet",
  "Pixels for the .onnx file: imagenet (its mean and deviation), unit (0..1), "
  "symmetric (-1..1) or bytes (0..255).",
)
RATE = flags.DEFINE_float("rate", 2.0, "Sampled frames a second.")
PENALTY = flags.DEFINE_float(
  "shot_penalty", 1.0, "Penalty of change points: less gives more shots."
)


def main(*videos: str) -> int:
  """Writes the file; returns the exit code."""
  if OUT.value is None:
    raise InputError("--out is missing: name the HDF5 file to write")
  if not videos:
    raise InputError("no videos: name video files")
  out = files.parse_path(OUT.value, "--out")
  if not str(out).endswith((".h5", ".hdf5")):
    raise InputError(f"--out={out}: must end in .h5 or .hdf5")
  from seqsum.inference import frame_features  # takes seconds
  from seqsum.summarization import video_features

  cli.enable_compilation_cache()
  video_features.check_rate(RATE.value)
  network = frame_features.open_network(NETWORK.value, LAYER.value, SCALE.value)
  failed = video_features.write(
    str(out), videos, network, RATE.value, PENALTY.value
  )
  print(f"see {out}, features by {network.name}")
  return 1 if failed else 0


if __name__ == "__main__":
  cli.run(main, arguments=math.inf)
