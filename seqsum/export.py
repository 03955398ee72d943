r"""Export a trained network for programs without seqsum.

    pip install 'seqsum[onnx]' && pip install --no-deps jax2onnx
    python -m seqsum.export --workdir=runs/sum out/

writes StableHLO (`jax.export`), ONNX if jax2onnx is installed, and a README.txt
that shows how to run both. (In a clone: pip install -e '.[onnx]'.) With ONNX
Runtime for browsers,

    npm pack onnxruntime-web && tar xzf onnxruntime-web-*.tgz
    python -m seqsum.export --workdir=runs/sum out/ \
        --onnxruntime_web=package/dist

it also writes index.html, a page to draw digits on in one file without a
server.

    python -m seqsum.export --workdir=runs/fold --frames=20 out/

writes programs of exactly 20 frames: the distribution of a fold, and the digits
of the sum of two numbers, have a size that depends on the length.

    python -m seqsum.export --workdir=runs/sum --weights out/

writes the parameters, without the optimizer's state, for seqsum itself:
`seqsum.load("out")` and every `--workdir=out` read the folder. The network that
comes with seqsum was exported this way (seqsum/pretrained/README.md).
"""

from absl import flags

from seqsum.runtime import cli, files
from seqsum.runtime.errors import InputError

flags.adopt_module_key_flags(cli)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder of a run.")
ONNX = flags.DEFINE_bool(
  "onnx", None, "Write ONNX; default: if jax2onnx is installed."
)
RUNTIME = flags.DEFINE_string(
  "onnxruntime_web",
  None,
  "Folder dist/ of the npm package onnxruntime-web, to write the page.",
)
FRAMES = flags.DEFINE_integer(
  "frames",
  None,
  "Frames of a sequence in the programs of a run with a built-in fold, or that "
  "adds two numbers; default: those of the longest in training.",
)
WEIGHTS = flags.DEFINE_bool(
  "weights", False, "Write only the parameters, for seqsum.load()."
)


def main(*arguments: str) -> int:
  """Writes the files; returns the exit code."""
  if WORKDIR.value is None:
    raise InputError("--workdir is missing: name the folder of a run")
  if not arguments:
    raise InputError("missing output folder, e.g. out/")
  out = files.parse_path(arguments[0], "the folder")
  from seqsum.inference import exported, formats  # takes seconds

  differences: dict[str, float] = {}
  if WEIGHTS.value:
    outputs = exported.pack_weights(WORKDIR.value)
  else:
    outputs, differences = exported.pack_programs(
      WORKDIR.value, ONNX.value, RUNTIME.value, FRAMES.value
    )
  try:
    out.mkdir(parents=True, exist_ok=True)
    for name, content in outputs.items():
      files.write_atomically(out / name, content)
  except OSError as error:
    raise InputError(f"{out}: cannot be written ({error.strerror})") from error
  for name, content in outputs.items():
    line = f"{out / name}  {len(content):,} bytes"
    if name in differences:
      line += f", within {differences[name]:.0e} of JAX"
    print(line)
  if not WEIGHTS.value and "model.onnx" not in outputs:
    print(f"no ONNX: {formats.INSTALL_ONNX}")
  return 0


if __name__ == "__main__":
  cli.run(main, arguments=1)
