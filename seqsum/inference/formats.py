"""A trained model in the formats that other programs read.

All read frames [b, t, H, W, C] float32, any b and t, and give predictions
[b, t], or [b, t, D], and, of a model that has them, probabilities [b, t, V].
Frames are in 0..1, unless the model was trained on floats of any range. They
are made from the plain recurrence, whose length may stay unknown.
"""

import base64
import dataclasses
import gzip
import importlib.util
import io
import json
import logging
from collections.abc import Collection

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax import export
from jax.interpreters import partial_eval

from seqsum.inference import weights
from seqsum.inference.trained import Trained, load
from seqsum.models.model import SequenceModel
from seqsum.runs import folder, run_files
from seqsum.runtime import files
from seqsum.runtime.errors import InputError

NO_ONNX = "pip install -e '.[onnx]' && pip install --no-deps jax2onnx"
# Programs for each of these are in one file.
PLATFORMS = ("cpu", "cuda", "tpu")
BUNDLE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"


def outputs(model: Trained) -> tuple[str, ...]:
  """The names of what the exported programs give, in order."""
  some = ("predictions",)
  return (*some, "probabilities") if len(model.values) else some


class _Folded(SequenceModel):
  """The same model, with time folded into the encoder's batch.

  What jax2onnx 0.17 makes of `nn.vmap`, where neither batch nor length is
  known, computes something else.
  """

  @nn.nowrap
  def over_time(self, encoder, frames):
    features = encoder(frames.reshape(-1, *frames.shape[2:]))
    return features.reshape(*frames.shape[:2], -1)


def _program(model: Trained):
  """`frames -> (predictions[, probabilities])`, the parameters in it."""
  objective = model.experiment.objective
  attributes = {
    field.name: getattr(model.experiment.model, field.name)
    for field in dataclasses.fields(SequenceModel)
    if field.name not in ("parent", "name")
  }
  plain = _Folded(**attributes)

  def program(frames):
    decoded = objective.decode(plain.apply(model.params, frames))
    return tuple(x for x in decoded if x is not None)

  return program


def _frames(model: Trained) -> jax.ShapeDtypeStruct:
  """Frames of which neither batch nor length is known."""
  batch, time = export.symbolic_shape("b, t")
  return jax.ShapeDtypeStruct((batch, time, *model.shape), jnp.float32)


def stablehlo(model: Trained) -> bytes:
  """What `jax.export.deserialize` reads."""
  exported = export.export(jax.jit(_program(model)), platforms=PLATFORMS)
  return bytes(exported(_frames(model)).serialize())


def run_stablehlo(content: bytes, frames: np.ndarray) -> list[np.ndarray]:
  """The outputs, in order."""
  called = export.deserialize(bytearray(content)).call(frames)
  return [np.asarray(x) for x in called]


def has_onnx() -> bool:
  """Whether `onnx` and `run_onnx` can be called."""
  return all(map(importlib.util.find_spec, ("jax2onnx", "onnxruntime")))


def onnx(model: Trained) -> bytes:
  """An ONNX file, by jax2onnx."""
  from jax2onnx import to_onnx

  # It warns of every dimension whose size is not known; none is meant to be.
  logging.getLogger("onnx_ir").setLevel(logging.ERROR)
  # jax2onnx replaces parts of Flax by its own; what it gets has none in it.
  frames = _frames(model)
  traced = jax.make_jaxpr(_program(model))(frames)
  # Without what nothing depends on: a cell splits a key for its first carry,
  # which is zero all the same, and ONNX knows no keys.
  needed, _ = partial_eval.dce_jaxpr(
    traced.jaxpr, [True] * len(traced.jaxpr.outvars), instantiate=True
  )
  traced = jax.extend.core.ClosedJaxpr(needed, traced.consts)
  return to_onnx(
    jax.extend.core.jaxpr_as_fun(traced),
    [frames],
    model_name=f"seqsum {model.name}",
    input_names=["frames"],
    output_names=list(outputs(model)),
  ).SerializeToString()


def run_onnx(content: bytes, frames: np.ndarray) -> list[np.ndarray]:
  """The outputs, in order, by ONNX Runtime."""
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.log_severity_level = 3  # errors
  session = onnxruntime.InferenceSession(content, options)
  return session.run(None, {"frames": frames})


def read_runtime(dist: epath.PathLike) -> tuple[bytes, bytes]:
  """The program of onnxruntime-web and its WebAssembly.

  Raises:
    InputError: They are not in the folder.
  """
  folder = epath.Path(dist)
  for name in (BUNDLE, WASM):
    if not (folder / name).exists():
      raise InputError(
        f"--onnxruntime_web={dist}: has no {name}; name the folder dist/ of "
        "the npm package onnxruntime-web (npm pack onnxruntime-web)"
      )
  return (folder / BUNDLE).read_bytes(), (folder / WASM).read_bytes()


def pack_weights(workdir: epath.PathLike) -> dict[str, bytes]:
  """The files of a folder that `seqsum.load` reads, by name.

  Raises:
    InputError: The run is not finished: it has no summary.json.
  """
  model = load(workdir)
  workdir = files.parse_path(workdir)
  said = folder.read_config(workdir)
  summary = run_files.read_json(workdir / "summary.json", run_files.SUMMARY)
  if summary is None:
    raise InputError(
      f"--workdir={workdir}: the run is not finished, so its test accuracy is "
      "not known; run it to its end"
    )
  for name in folder.MACHINE_FIELDS:
    section, field = name.split(".")
    said["config"][section][field] = ""
  kept = {x: said[x] for x in ("format", *run_files.CONFIG, "versions")}
  as_bytes = lambda x: (json.dumps(x, indent=2) + "\n").encode()
  return {
    "config.json": as_bytes(kept),
    "summary.json": as_bytes(summary),
    **weights.pack(model.step, model.params),
  }


READER = """
// read(frames) -> {predictions: [T], probabilities: [T][V] or null}, here, by
// ONNX Runtime. What it needs is in the page, gzipped and in base64.
const unpack = async id => {
  const text = document.getElementById(id).textContent;
  const bytes = Uint8Array.from(atob(text), x => x.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(
    new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(plain).arrayBuffer());
};
const started = (async () => {
  const source = new Blob([await unpack("runtime")],
    { type: "text/javascript" });
  const ort = await import(URL.createObjectURL(source));
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await unpack("wasm");
  const session = await ort.InferenceSession.create(
    await unpack("network"),
    { logSeverityLevel: 3 }); // errors; else it tells of all that it folds
  return { ort, session };
})();
const read = async frames => {
  const { ort, session } = await started;
  const data = new Float32Array(784 * frames.length);
  frames.forEach((x, t) => x.forEach((ink, i) => {
    data[784 * t + i] = ink / 255;
  }));
  const shape = [1, frames.length, 28, 28, 1];
  const said = await session.run(
    { frames: new ort.Tensor("float32", data, shape) });
  const shares = said.probabilities;
  const wide = shares && shares.dims[2];
  return { predictions: Array.from(said.predictions.data),
    probabilities: !shares ? null : frames.map((_, t) =>
      Array.from(shares.data.slice(t * wide, (t + 1) * wide))) };
};
"""


def reader(network: bytes, runtime: bytes, wasm: bytes) -> str:
  """What makes the page to draw on run by itself, HTML.

  Args:
    network: The ONNX file.
    runtime, wasm: As `read_runtime` gives them.
  """
  packed = {"runtime": runtime, "wasm": wasm, "network": network}
  held = "\n".join(
    f'<script id="{name}" type="text/plain">'
    f"{base64.b64encode(gzip.compress(data, mtime=0)).decode()}</script>"
    for name, data in packed.items()
  )
  return f'{held}\n<script id="reader">{READER}</script>'


def readme(model: Trained, files: Collection[str]) -> str:
  """How to run what was written, about ten lines for each format."""
  shape = ", ".join(map(str, model.shape))
  out = io.StringIO()
  say = lambda *lines: print(*lines, sep="\n", file=out)
  if model.reads_digits:
    units = "ink 1, paper 0, each as MNIST has them"
  else:
    units = "as it was trained on" if model.floats else "bytes divided by 255"
  size = model.experiment.sampler.task.size
  parts = f", {size}" if size else ""
  say(
    f"The network of run {model.name}, step {model.step:,}: the {model.task} "
    "so far after each frame.",
    f"frames [b, t, {shape}] float32, {units};",
    f"predictions [b, t{parts}] float32, the last of a sequence is the answer.",
    f"Trained on up to {model.longest} frames.",
  )
  task = model.experiment.sampler.task
  if model.experiment.sampler.kind == "files" and task.pictures:
    say(f"Frames of pictures and videos: {task.describe_frames()}.")
  if len(model.values):
    low, high = model.values[[0, -1]]
    say(
      f"probabilities [b, t, {len(model.values)}] float32, of the values "
      f"{low:g} to {high:g}."
    )
  say(
    "",
    "In Python, with JAX and without seqsum:",
    "",
    "    import jax, numpy",
    "    frames = numpy.zeros((2, 3, " + shape + "), 'float32')",
    "    data = open('model.stablehlo', 'rb').read()",
    "    network = jax.export.deserialize(bytearray(data))",
    "    predictions = network.call(frames)[0]",
    "    print(predictions)",
  )
  if "model.onnx" in files:
    say(
      "",
      "In ONNX Runtime, here in Python:",
      "",
      "    import numpy, onnxruntime",
      "    frames = numpy.zeros((2, 3, " + shape + "), 'float32')",
      "    network = onnxruntime.InferenceSession('model.onnx')",
      "    predictions = network.run(None, {'frames': frames})[0]",
      "    print(predictions)",
    )
  if "index.html" in files:
    say(
      "",
      "index.html is a page to draw on that needs no server: open it, or put",
      "it on the web as it is. It holds ONNX Runtime Web, which is",
      "Microsoft's, under the MIT licence (github.com/microsoft/onnxruntime).",
    )
  return out.getvalue()
