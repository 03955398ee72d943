"""Features of single frames, by a network of ours or by any ONNX file.

A run's network gives what its encoder computes for a frame. An ONNX file gives
one of its tensors: its first output, or the one that is named, such as the
input of the last layer of a classifier. ONNX Runtime computes it: pip install
'seqsum[onnx]'.
"""

import difflib
import hashlib
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from seqsum.data import video_files
from seqsum.inference import trained
from seqsum.inference.trained import TrainedModel
from seqsum.runtime.errors import InputError, one_line, require_file

BATCH = 16  # frames
SIDE = 224  # pixels, of a network that takes any size
# Mean and standard deviation of ImageNet's RGB in 0..1, the usual input scale.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALES = {  # of an ONNX file's pixels
  "imagenet": "(pixel / 255 - mean) / deviation, those of ImageNet",
  "unit": "0..1",
  "symmetric": "-1..1",
  "bytes": "0..255",
}
ELEMENTS = {
  "tensor(float)": np.float32,
  "tensor(float16)": np.float16,
  "tensor(uint8)": np.uint8,
}


class FeatureNetwork(Protocol):
  """Computes the features of frames.

  Attributes:
    name: File or run, without its folders.
    sha256: Digest of the file, or of the parameters.
    channels: 1 for grey, 3 for RGB.
  """

  @property
  def name(self) -> str: ...

  @property
  def sha256(self) -> str: ...

  @property
  def channels(self) -> int: ...

  def prepare(self, frame: np.ndarray) -> np.ndarray:
    """[h, w, channels] uint8 -> the network's input of one frame."""

  def compute(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """Inputs of at most `BATCH` frames -> [N, D] float32."""


def open_network(
  path: str | None, layer: str = "", scale: str = "imagenet"
) -> FeatureNetwork:
  """Opens a run's folder or an .onnx file.

  Args:
    path: None: the network that comes with seqsum.
    layer: Tensor of the ONNX file; "" is its first output.
    scale: Of the ONNX file's pixels, one of `SCALES`.

  Raises:
    InputError: It cannot be used.
  """
  if path is not None and str(path).lower().endswith(".onnx"):
    return OnnxNetwork(path, layer, scale)
  if layer:
    raise InputError(f"--layer={layer}: only an .onnx file has layers by name")
  try:
    return EncoderNetwork(trained.load(path or trained.PRETRAINED))
  except InputError as error:  # it names the flag of the other commands
    words = str(error).replace("--workdir=", "--network=", 1)
    raise InputError(words) from error


def cover(frame: np.ndarray, height: int, width: int) -> np.ndarray:
  """Scales a frame to cover height x width, and cuts its middle out.

  Args:
    frame: [h, w, C] uint8.

  Returns:
    [height, width, C] uint8.
  """
  h, w = frame.shape[:2]
  times = max(height / h, width / w)
  # Cut first, so that an extreme shape does not become a huge picture.
  rows, columns = (
    min(side, max(1, round(size / times)))
    for side, size in ((h, height), (w, width))
  )
  top, left = (h - rows) // 2, (w - columns) // 2
  middle = frame[top : top + rows, left : left + columns]
  return video_files.resize(middle, height, width)


class EncoderNetwork:
  """The encoder of a trained model; see `FeatureNetwork`.

  Frames are scaled to the model's, other proportions are stretched, as for its
  training.
  """

  def __init__(self, model: TrainedModel):
    import jax

    if model.takes_floats or model.shape[-1] not in (1, 3):
      raise InputError(
        f"--network: {model.name} was trained on frames of shape "
        f"{model.shape}, which no video has; choose a run on pictures, or an "
        ".onnx file"
      )
    self.name, self.channels = model.name, model.shape[-1]
    self._shape = model.shape
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(model.params):
      digest.update(np.asarray(leaf).tobytes())
    self.sha256 = digest.hexdigest()
    module: Any = model.experiment.model
    encoder = module.encoder(plain=True, dtype=module.dtype)
    params = {"params": model.params["params"]["encoder"]}
    self._encode: Callable[..., Any] = jax.jit(
      lambda frames: encoder.apply(params, module.scale(frames))
    )

  def prepare(self, frame: np.ndarray) -> np.ndarray:
    return video_files.resize(frame, *self._shape[:2])

  def compute(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
    frames = np.zeros((BATCH, *self._shape), np.uint8)  # compiles once
    frames[: len(inputs)] = inputs
    return np.asarray(self._encode(frames), np.float32)[: len(inputs)]


class _Layout(NamedTuple):
  """Shape of an ONNX file's input."""

  batch: int | None  # None: any
  height: int
  width: int
  channels: int
  channels_last: bool


class OnnxNetwork:
  """A tensor of an ONNX file, computed by ONNX Runtime; see `FeatureNetwork`.

  The input is [N, C, H, W] or [N, H, W, C], C 1 or 3. Feature maps, [N, C, h,
  w] or [N, h, w, C], are averaged over their positions.
  """

  def __init__(self, path: str, layer: str = "", scale: str = "imagenet"):
    try:
      import onnxruntime
    except ImportError as error:
      raise InputError(
        f"--network={path}: needs ONNX Runtime: pip install 'seqsum[onnx]'"
      ) from error
    if scale not in SCALES:
      known = ", ".join(SCALES)
      raise InputError(f"--scale={scale}: choose from {known}")
    try:
      require_file(path)
      with open(path, "rb") as file:
        self.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
      raise InputError(f"--network={path}: {error.strerror}") from error
    self.name = os.path.basename(path) + (f", layer {layer}" if layer else "")
    self._where, self._scale = f"--network={path}", scale
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised
    try:
      self._session = onnxruntime.InferenceSession(
        (layer and _with_output(path, layer)) or path,
        options,
        providers=onnxruntime.get_available_providers(),
      )
    except InputError:
      raise
    except Exception as error:  # ONNX Runtime has a class for each
      raise InputError(
        f"{self._where}: not an ONNX file, damaged, or not supported by this "
        f"ONNX Runtime ({one_line(error)})"
      ) from error
    self._output = layer or self._session.get_outputs()[0].name
    self._input, self._dtype, self._layout = self._read_input()
    self.channels = self._layout.channels

  def _read_input(self) -> tuple[str, Any, _Layout]:
    inputs = self._session.get_inputs()
    described = "; ".join(f"{x.name} {x.type} {x.shape}" for x in inputs)
    wrong = InputError(
      f"{self._where}: its inputs are {described}, expected one of floats or "
      "bytes, [N, 3, H, W] or [N, H, W, 3] (or 1 channel)"
    )
    if len(inputs) != 1 or inputs[0].type not in ELEMENTS:
      raise wrong
    shape = inputs[0].shape
    known = [x if isinstance(x, int) and x > 0 else None for x in shape]
    if len(known) != 4:
      raise wrong
    if known[1] in (1, 3):
      channels, height, width = known[1], *known[2:]
    elif known[3] in (1, 3):
      channels, height, width = known[3], *known[1:3]
    else:
      raise wrong
    layout = _Layout(
      known[0],
      height or SIDE,
      width or SIDE,
      channels,
      channels_last=known[1] not in (1, 3),
    )
    return inputs[0].name, ELEMENTS[inputs[0].type], layout

  def prepare(self, frame: np.ndarray) -> np.ndarray:
    layout = self._layout
    frame = cover(frame, layout.height, layout.width)
    if self._dtype != np.uint8:
      frame = _rescale(frame, self._scale).astype(self._dtype)
    return frame if layout.channels_last else np.moveaxis(frame, -1, 0)

  def compute(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
    size = self._layout.batch or len(inputs)
    found = []
    for start in range(0, len(inputs), size):
      part = np.stack(inputs[start : start + size])
      missing = [(0, size - len(part))] + [(0, 0)] * 3
      try:
        (values,) = self._session.run(
          [self._output], {self._input: np.pad(part, missing)}
        )
      except Exception as error:  # ONNX Runtime has a class for each
        raise InputError(
          f"{self._where}: ONNX Runtime cannot run it ({one_line(error)})"
        ) from error
      found.append(self._flatten(values, size)[: len(part)])
    return np.concatenate(found)

  def _flatten(self, values: np.ndarray, size: int) -> np.ndarray:
    """[N, ...] -> [N, D] float32; feature maps are averaged."""
    values = np.asarray(values)
    shape = list(values.shape)
    if (
      values.dtype.kind != "f" or values.ndim not in (2, 4) or shape[0] != size
    ):
      raise InputError(
        f"{self._where}: {self._output} is {values.dtype} {shape}, expected "
        "floats [N, D] or feature maps of 4 axes; name another --layer"
      )
    values = values.astype(np.float32)
    if values.ndim == 4:
      # ONNX has channels first; an exporter may move them last at the end.
      channels_last = shape[1] == shape[2] != shape[3]
      values = values.mean(axis=(1, 2) if channels_last else (2, 3))
    if not np.isfinite(values).all():
      raise InputError(
        f"{self._where}: {self._output} has nan or inf; choose another --scale"
      )
    return values


def _rescale(frame: np.ndarray, scale: str) -> np.ndarray:
  """[H, W, C] uint8 -> float32 in one of `SCALES`."""
  x = frame.astype(np.float32)
  if scale == "bytes":
    return x
  x /= 255
  if scale == "symmetric":
    return 2 * x - 1
  if scale == "imagenet" and x.shape[-1] == 3:
    x -= np.array(MEAN, np.float32)
    x /= np.array(DEVIATION, np.float32)
  return x


def _with_output(path: str, layer: str) -> bytes | None:
  """The ONNX file with a tensor as an output; None if it already is one."""
  try:
    import onnx
  except ImportError as error:
    raise InputError(
      f"--layer={layer}: needs the package onnx: pip install 'seqsum[onnx]'"
    ) from error
  model = onnx.load(path)
  if layer in {x.name for x in model.graph.output}:
    return None
  names = [name for node in model.graph.node for name in node.output if name]
  if layer not in names:
    near = difflib.get_close_matches(layer, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    last = ", ".join(names[-6:])
    raise InputError(
      f"--layer={layer}: no tensor of {path} has this name; {hint}the last "
      f"ones are {last}"
    )
  model.graph.output.append(onnx.ValueInfoProto(name=layer))
  return model.SerializeToString()
