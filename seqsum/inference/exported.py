"""The files that `seqsum.export` writes, by name."""

import json
from collections.abc import Collection

from etils import epath

from seqsum.inference import formats, page, weights
from seqsum.inference.trained import TrainedModel, load
from seqsum.runs import folder, run_files
from seqsum.runtime import files
from seqsum.runtime.errors import InputError
from seqsum.sequences.addition import COLUMN_TASKS


def pack_weights(
  workdir: epath.PathLike, file: str = weights.FILE
) -> dict[str, bytes]:
  """A finished run as files that `seqsum.load` reads.

  Args:
    workdir: The run's folder.
    file: The name of the parameters' file, see `weights.pack`.

  Raises:
    InputError: The run is not finished: it has no summary.json.
  """
  model = load(workdir)
  workdir = files.parse_path(workdir)
  content = folder.read_config(workdir)
  summary = run_files.read_json(workdir / "summary.json", run_files.SUMMARY)
  if summary is None:
    raise InputError(
      f"--workdir={workdir}: the run is not finished, so its test accuracy is "
      "unknown; rerun its command to finish it"
    )
  for name in folder.MACHINE_FIELDS:  # paths of the machine that trained it
    section, field = name.split(".")
    content["config"][section][field] = ""
  config = {x: content[x] for x in ("format", *run_files.CONFIG, "versions")}
  as_bytes = lambda x: (json.dumps(x, indent=2) + "\n").encode()
  return {
    "config.json": as_bytes(config),
    "summary.json": as_bytes(summary),
    **weights.pack(model.step, model.params, file),
  }


def pack_programs(
  workdir: epath.PathLike,
  onnx: bool | None = None,
  onnxruntime_web: epath.PathLike | None = None,
) -> tuple[dict[str, bytes], dict[str, float]]:
  """A run as programs that need no seqsum, with a README.txt.

  Args:
    workdir: The run's folder.
    onnx: Whether to add ONNX; None: if jax2onnx is installed.
    onnxruntime_web: The folder dist/ of that package, to add the page.

  Returns:
    The files; the largest difference of each program from JAX.

  Raises:
    InputError: The run cannot be exported, or packages are missing.
  """
  has_onnx = formats.has_onnx()
  onnx = has_onnx if onnx is None else onnx
  if onnx and not has_onnx:
    raise InputError(f"--onnx: {formats.INSTALL_ONNX}")
  if onnxruntime_web is not None:
    if not onnx:
      raise InputError(f"--onnxruntime_web: needs ONNX; {formats.INSTALL_ONNX}")
    runtime = page.read_runtime(onnxruntime_web)
  model = load(workdir)
  if model.experiment.objective.fold or model.task in COLUMN_TASKS:
    raise InputError(
      f"--workdir={workdir}: a run of config.model.core='fold' or of the task "
      f"{' or '.join(COLUMN_TASKS)} cannot be exported: predictions of "
      "longer sequences are larger"
    )
  if onnxruntime_web is not None and not model.takes_digits:
    raise InputError(
      f"--onnxruntime_web: the page draws digits, {model.name} was trained on "
      f"other frames {model.shape}; omit the flag"
    )
  outputs = {"model.stablehlo": formats.stablehlo(model)}
  run = {"model.stablehlo": formats.run_stablehlo}
  if onnx:
    outputs["model.onnx"] = formats.onnx(model)
    run["model.onnx"] = formats.run_onnx
  differences = {
    name: formats.max_difference(model, outputs[name], run[name])
    for name in run
  }
  if onnxruntime_web is not None:
    rendered = page.render_standalone(model, outputs["model.onnx"], runtime)
    outputs["index.html"] = rendered.encode()
  outputs["README.txt"] = readme(model, outputs).encode()
  return outputs, differences


def readme(model: TrainedModel, names: Collection[str]) -> str:
  """How to run the files."""
  shape = ", ".join(map(str, model.shape))
  task = model.experiment.sampler.task
  if model.takes_digits:
    units = "ink 1, paper 0, normalized like MNIST"
  else:
    units = "as in training" if model.takes_floats else "bytes divided by 255"
  parts = f", {task.size}" if task.size else ""
  text = f"""\
The network of run {model.name}, step {model.step:,}: the {model.task} so far
after each frame.
frames [b, t, {shape}] float32, {units};
predictions [b, t{parts}] float32, the last of a sequence is the answer.
Trained on up to {model.max_len} frames.
"""
  if model.experiment.sampler.kind == "files" and task.pictures:
    text += f"Frames of pictures and videos: {task.describe_frames()}.\n"
  if len(model.values):
    low, high = model.values[[0, -1]]
    text += (
      f"probabilities [b, t, {len(model.values)}] float32, of the values "
      f"{low:g} to {high:g}.\n"
    )
  text += f"""
In Python, with JAX and without seqsum:

    import jax, numpy
    frames = numpy.zeros((2, 3, {shape}), 'float32')
    data = open('model.stablehlo', 'rb').read()
    network = jax.export.deserialize(bytearray(data))
    predictions = network.call(frames)[0]
    print(predictions)
"""
  if "model.onnx" in names:
    text += f"""
In ONNX Runtime, here in Python:

    import numpy, onnxruntime
    frames = numpy.zeros((2, 3, {shape}), 'float32')
    network = onnxruntime.InferenceSession('model.onnx')
    predictions = network.run(None, {{'frames': frames}})[0]
    print(predictions)
"""
  if "index.html" in names:
    text += """
index.html is a page to draw digits on. It needs no server: open it, or put it
on the web. It contains ONNX Runtime Web by Microsoft, under the MIT license
(github.com/microsoft/onnxruntime).
"""
  return text
