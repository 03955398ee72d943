r"""Writes a trained network for programs that have no seqsum.

    pip install -e '.[onnx]' && pip install --no-deps jax2onnx
    python -m seqsum.export --workdir=runs/sum out/

leaves StableHLO (`jax.export`), ONNX if jax2onnx is installed, and a README.txt
that shows how to run both. With the browser's ONNX Runtime,

    npm pack onnxruntime-web && tar xzf onnxruntime-web-*.tgz
    python -m seqsum.export --workdir=runs/sum out/ \
        --onnxruntime_web=package/dist

it also leaves index.html: the page to draw on, in one file that needs no
server.

    python -m seqsum.export --workdir=runs/sum --weights out/

writes for seqsum instead: `seqsum.load("out")` and every `--workdir=out` read
the folder, which has the parameters without the optimizer's state. The network
that comes with seqsum was written so (seqsum/pretrained/README.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from seqsum.runtime import cli, files
from seqsum.runtime.errors import InputError

if TYPE_CHECKING:
  from etils import epath

  from seqsum.inference import trained

flags.adopt_module_key_flags(cli)
WORKDIR = flags.DEFINE_string("workdir", None, "The folder of a run.")
ONNX = flags.DEFINE_bool(
  "onnx", None, "Whether to write ONNX; by default if jax2onnx is installed."
)
RUNTIME = flags.DEFINE_string(
  "onnxruntime_web",
  None,
  "The folder dist/ of the npm package onnxruntime-web, to write the page.",
)
WEIGHTS = flags.DEFINE_bool(
  "weights", False, "Write the parameters alone, for seqsum.load()."
)
CLOSE = 1e-5  # of what the model says itself, in units of the largest value


def main(*arguments: str) -> int:
  """Writes the outputs; returns the exit code."""
  if WORKDIR.value is None:
    raise InputError("--workdir is missing: name the folder of a run")
  if not arguments:
    raise InputError("where to? name a folder, such as out/")
  out = files.parse_path(*arguments, "the folder")
  from seqsum.inference import draw_app, formats, trained  # seconds

  if WEIGHTS.value:
    outputs = formats.pack_weights(WORKDIR.value)
    _write(out, outputs)
    for name, content in outputs.items():
      print(f"{out / name}  {len(content):,} bytes")
    return 0
  with_onnx = formats.has_onnx() if ONNX.value is None else ONNX.value
  if with_onnx and not formats.has_onnx():
    raise InputError(f"--onnx: {formats.NO_ONNX}")
  runtime = RUNTIME.value
  if runtime is not None:
    if not with_onnx:
      raise InputError(f"--onnxruntime_web: needs ONNX; {formats.NO_ONNX}")
    runtime = formats.read_runtime(runtime)
  model = trained.load(WORKDIR.value)
  if model.experiment.objective.fold is not None:
    raise InputError(
      f"--workdir={WORKDIR.value}: what a fold says has as many values as its "
      "sequence is long, and only sequences of any length are exported"
    )
  if runtime is not None and not model.reads_digits:
    raise InputError(
      f"--onnxruntime_web: the page draws digits, {model.name} was trained on "
      f"other frames {model.shape}; leave it out"
    )
  outputs = {"model.stablehlo": formats.stablehlo(model)}
  run = {"model.stablehlo": formats.run_stablehlo}
  if with_onnx:
    outputs["model.onnx"] = formats.onnx(model)
    run["model.onnx"] = formats.run_onnx
  differ = {name: _difference(model, outputs[name], run[name]) for name in run}
  if runtime is not None:
    reader = formats.reader(outputs["model.onnx"], *runtime)
    outputs["index.html"] = draw_app.page(model, reader).encode()
  outputs["README.txt"] = formats.readme(model, outputs).encode()
  _write(out, outputs)
  for name, content in outputs.items():
    line = f"{out / name}  {len(content):,} bytes"
    if name in differ:
      line += f", within {differ[name]:.0e} of JAX"
    print(line)
  if not with_onnx:
    print(f"no ONNX: {formats.NO_ONNX}")
  return 0


def _write(out: epath.Path, outputs: Mapping[str, bytes]) -> None:
  try:
    out.mkdir(parents=True, exist_ok=True)
    for name, content in outputs.items():
      files.write_atomically(out / name, content)
  except OSError as error:
    raise InputError(f"{out}: cannot be written ({error.strerror})") from error


def _difference(model: trained.Trained, content: bytes, run) -> float:
  """How far a file's answers are from the model's, at most.

  Raises:
    RuntimeError: They are not the same.
  """
  rng = np.random.default_rng(0)
  furthest = 0.0
  for batch, time in ((1, 1), (3, model.longest + 2)):
    frames = rng.uniform(size=(batch, time, *model.shape)).astype(np.float32)
    said = model.read(frames)
    for ours, theirs in zip(said, run(content, frames), strict=False):
      if ours is not None:
        scale = max(1.0, np.abs(ours).max())
        furthest = max(furthest, float(np.abs(ours - theirs).max() / scale))
  if not furthest <= CLOSE:
    raise RuntimeError(
      f"{run.__name__}: off by {furthest:g} from what JAX computes"
    )
  return furthest


if __name__ == "__main__":
  cli.run(main, arguments=1)
