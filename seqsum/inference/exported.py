"""The files that `seqsum.export` writes, by name."""

import json
from collections.abc import Collection

from etils import epath

from seqsum.inference import formats, page, weights
from seqsum.inference.trained import TrainedModel, load
from seqsum.models.whole_sequence import WholeCore
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
  length: int | None = None,
) -> tuple[dict[str, bytes], dict[str, float]]:
  """A run as programs that need no seqsum, with a README.txt.

  Args:
    workdir: The run's folder.
    onnx: Whether to add ONNX; None: if jax2onnx is installed.
    onnxruntime_web: The folder dist/ of that package, to add the page.
    length: Frames of a sequence, of a run whose programs have a fixed number
      (`formats.has_fixed_length`); by default that of the longest in training.

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
  if not formats.has_fixed_length(model):
    if length is not None:
      raise InputError(
        f"--frames={length}: the programs of {model.name} take any number of "
        "frames; omit the flag"
      )
  elif onnxruntime_web is not None:
    raise InputError(
      f"--onnxruntime_web: the page needs a program of any number of frames; "
      f"those of {model.name}, a {model.task} with a built-in fold, have a "
      "fixed number; omit the flag"
    )
  else:
    length = model.max_len if length is None else length
    unit = model.experiment.sampler.task.unit
    if length < 1 or length % unit:
      whole = f", a multiple of {unit}" if unit > 1 else ""
      raise InputError(f"--frames={length}: must be at least 1{whole}")
  if onnxruntime_web is not None and not model.takes_digits:
    raise InputError(
      f"--onnxruntime_web: the page draws digits, {model.name} was trained on "
      f"other frames {model.shape}; omit the flag"
    )
  outputs = {"model.stablehlo": formats.stablehlo(model, length)}
  run = {"model.stablehlo": formats.run_stablehlo}
  if onnx:
    outputs["model.onnx"] = formats.onnx(model, length)
    run["model.onnx"] = formats.run_onnx
  differences = {
    name: formats.max_difference(model, outputs[name], run[name], length)
    for name in run
  }
  if onnxruntime_web is not None:
    rendered = page.render_standalone(model, outputs["model.onnx"], runtime)
    outputs["index.html"] = rendered.encode()
  outputs["README.txt"] = readme(model, outputs, length).encode()
  return outputs, differences


def readme(
  model: TrainedModel, names: Collection[str], length: int | None = None
) -> str:
  """How to run the files; `length` is their fixed number of frames."""
  shape = ", ".join(map(str, model.shape))
  task = model.experiment.sampler.task
  time = "t" if length is None else str(length)
  example = f"(2, {length or 3}, {shape})"
  if model.takes_digits:
    units = "ink 1, paper 0, normalized like MNIST"
  else:
    units = "as in training" if model.takes_floats else "bytes divided by 255"
  columns = model.task in COLUMN_TASKS
  size = max(task.size, length // 2 + 1) if length and columns else task.size
  parts = f", {size}" if size else ""
  sees_all = isinstance(model.experiment.model.core, WholeCore)
  later = ""
  if sees_all:
    later = " Each prediction also sees later frames"
    later += "." if model.experiment.per_step else "; only the last is trained."
  text = f"""\
The network of run {model.name}, step {model.step:,}: the {model.task} so far
after each frame.{later}
frames [b, {time}, {shape}] float32, {units};
predictions [b, {time}{parts}] float32, the last of a sequence is the answer.
Trained on up to {model.max_len} frames.
"""
  if columns:
    text += """\
Frames are the digits of two numbers of equal length, least significant column
first, and in each column the first number's digit before the second's: 47 and
85 are 7, 5, 4, 8. Predictions are digits, least significant first.
"""
  if length is not None:
    shorter = (
      "; shorter ones have other predictions"
      if sees_all
      else """: append blank frames to a shorter one, and read
the prediction after its last frame"""
    )
    text += f"""\
Sequences have {length} frames{shorter}. python -m seqsum.export --frames=N
writes programs of N frames.
"""
  if model.experiment.sampler.kind == "files" and task.pictures:
    text += f"Frames of pictures and videos: {task.describe_frames()}.\n"
  values = model.values
  if length is not None:
    values = model.experiment.objective.support(length)
  if len(values):
    low, high = values[[0, -1]]
    text += (
      f"probabilities [b, {time}, {len(values)}] float32, of the "
      f"values {low:g} to {high:g}.\n"
    )
  fold = model.experiment.objective.fold
  if fold is not None:
    digits = range(10) if columns else fold.task.digits
    text += (
      f"digits [b, {time}, {len(digits)}] float32, probabilities of each "
      f"frame's digit ({', '.join(map(str, digits))}).\n"
    )
  text += f"""
In Python, with JAX and without seqsum:

    import jax, numpy
    frames = numpy.zeros({example}, 'float32')
    data = open('model.stablehlo', 'rb').read()
    network = jax.export.deserialize(bytearray(data))
    predictions = network.call(frames)[0]
    print(predictions)
"""
  if "model.onnx" in names:
    text += f"""
In ONNX Runtime, here in Python:

    import numpy, onnxruntime
    frames = numpy.zeros({example}, 'float32')
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
