"""A trained model as a StableHLO or ONNX program, and calls of both.

The programs map frames [b, t, H, W, C] float32, any b and t, to predictions
[b, t] or [b, t, D] and, for a model that has them, probabilities [b, t, V].
Frames are in 0..1, unless the model was trained on floats of any range. The
programs are compiled from the plain recurrence, which allows an unknown length.

Where the shape of the predictions depends on the number of frames, as the
values of a fold and the digits of a sum do, the number is fixed
(`has_fixed_length`). Programs of a known fold also have digits [b, t, 10], the
probabilities of each frame's digit.
"""

import dataclasses
import functools
import importlib.util
import logging
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
from jax import export
from jax.interpreters import partial_eval

from seqsum.inference.trained import TrainedModel
from seqsum.models.model import SequenceModel
from seqsum.sequences.addition import COLUMN_TASKS

INSTALL_ONNX = (
  "pip install 'seqsum[onnx]' (in a clone: -e '.[onnx]') && "
  "pip install --no-deps jax2onnx"
)
OUTPUTS = ("predictions", "probabilities", "digits")
PLATFORMS = ("cpu", "cuda", "tpu")  # of one StableHLO file
MAX_DIFFERENCE = 1e-5  # from JAX, relative to the largest value


class _FlatModel(SequenceModel):
  """The same model, with time merged into the encoder's batch.

  jax2onnx 0.17 converts `nn.vmap` wrongly if batch and length are unknown.
  """

  @nn.nowrap
  def over_time(self, encoder, frames):
    features = encoder(frames.reshape(-1, *frames.shape[2:]))
    return features.reshape(*frames.shape[:2], -1)


def has_fixed_length(model: TrainedModel) -> bool:
  """Whether the shape of the predictions depends on the number of frames."""
  return (
    model.experiment.objective.fold is not None or model.task in COLUMN_TASKS
  )


def _outputs(
  model: TrainedModel, network: SequenceModel, params: Any, frames: jax.Array
) -> dict[str, jax.Array]:
  """The outputs of a program, by name."""
  outputs, variables = network.apply(params, frames, mutable=["intermediates"])
  objective = model.experiment.objective
  predictions, probabilities = objective.decode(outputs)
  named = {"predictions": predictions, "probabilities": probabilities}
  if objective.fold is not None:
    inputs: Any = variables["intermediates"]["fold_inputs"][0]
    named["digits"] = objective.fold.probabilities(inputs)
  return {name: x for name, x in named.items() if x is not None}


def _program(model: TrainedModel):
  """`frames -> outputs`, with constant parameters."""
  attributes = {
    field.name: getattr(model.experiment.model, field.name)
    for field in dataclasses.fields(SequenceModel)
    if field.name not in ("parent", "name")
  }
  plain = _FlatModel(**attributes)
  return lambda frames: tuple(
    _outputs(model, plain, model.params, frames).values()
  )


def _frames(model: TrainedModel, length: int | None) -> jax.ShapeDtypeStruct:
  """Frames of unknown batch and, with `length` None, of unknown length."""
  batch, time = export.symbolic_shape("b, t")
  shape = (batch, time if length is None else length, *model.shape)
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def stablehlo(model: TrainedModel, length: int | None = None) -> bytes:
  """The model as StableHLO bytes, for `jax.export.deserialize`.

  `length` is the number of frames of models with a `has_fixed_length`.
  """
  exported = export.export(jax.jit(_program(model)), platforms=PLATFORMS)
  return bytes(exported(_frames(model, length)).serialize())


def run_stablehlo(content: bytes, frames: np.ndarray) -> list[np.ndarray]:
  """Returns the outputs of a StableHLO file, in order."""
  outputs = export.deserialize(bytearray(content)).call(frames)
  return [np.asarray(x) for x in outputs]


def has_onnx() -> bool:
  """Whether the packages of `onnx` and `run_onnx` are installed."""
  return all(map(importlib.util.find_spec, ("jax2onnx", "onnxruntime")))


def onnx(model: TrainedModel, length: int | None = None) -> bytes:
  """An ONNX file, converted by jax2onnx; `length` as for `stablehlo`."""
  from jax2onnx import to_onnx

  # It warns of every unknown dimension.
  logging.getLogger("onnx_ir").setLevel(logging.ERROR)
  # Trace before the call: jax2onnx patches modules of Flax.
  frames = _frames(model, length)
  traced = jax.make_jaxpr(_program(model))(frames)
  # Remove dead code: a cell splits a key for its initial carry, which is zero,
  # and ONNX has no keys.
  needed, _ = partial_eval.dce_jaxpr(
    traced.jaxpr, [True] * len(traced.jaxpr.outvars), instantiate=True
  )
  traced = jax.extend.core.ClosedJaxpr(needed, traced.consts)
  names = output_names(model)
  return to_onnx(
    jax.extend.core.jaxpr_as_fun(traced),
    [frames],
    model_name=f"seqsum {model.name}",
    input_names=["frames"],
    output_names=names,
  ).SerializeToString()


def output_names(model: TrainedModel) -> list[str]:
  """The outputs of a model's programs, in order."""
  length = model.max_len
  frames = jax.ShapeDtypeStruct((1, length, *model.shape), jnp.float32)
  network = model.experiment.model
  shapes = jax.eval_shape(
    lambda frames: _outputs(model, network, model.params, frames), frames
  )
  return [name for name in OUTPUTS if name in shapes]


def run_onnx(content: bytes, frames: np.ndarray) -> list[np.ndarray]:
  """Returns the outputs of an ONNX file by ONNX Runtime, in order."""
  import onnxruntime

  options = onnxruntime.SessionOptions()
  options.log_severity_level = 3  # errors
  session = onnxruntime.InferenceSession(content, options)
  return session.run(None, {"frames": frames})


def max_difference(
  model: TrainedModel,
  content: bytes,
  run: Callable[[bytes, np.ndarray], list[np.ndarray]],
  length: int | None = None,
) -> float:
  """Compares a file's outputs with the model's on random frames.

  `run` is `run_stablehlo` or `run_onnx`; `length` is that of the file.

  Returns:
    The largest absolute difference, relative to the largest value.

  Raises:
    RuntimeError: It is above `MAX_DIFFERENCE`.
  """
  rng = np.random.default_rng(0)
  network = model.experiment.model
  ours = jax.jit(functools.partial(_outputs, model, network))
  lengths = (1, model.max_len + 2) if length is None else (length, length)
  largest = 0.0
  for batch, time in zip((1, 3), lengths, strict=True):
    frames = rng.uniform(size=(batch, time, *model.shape)).astype(np.float32)
    found = ours(model.params, frames)
    expected = [found[name] for name in OUTPUTS if name in found]
    for one, other in zip(expected, run(content, frames), strict=True):
      scale = max(1.0, np.abs(one).max())
      largest = max(largest, float(np.abs(one - other).max() / scale))
  if not largest <= MAX_DIFFERENCE:
    raise RuntimeError(f"{run.__name__}: differs from JAX by {largest:g}")
  return largest
