"""A trained model as a StableHLO or ONNX program, and calls of both.

The programs map frames [b, t, H, W, C] float32, any b and t, to predictions
[b, t] or [b, t, D] and, for a model that has them, probabilities [b, t, V].
Frames are in 0..1, unless the model was trained on floats of any range. The
programs are compiled from the plain recurrence, which allows an unknown length.
"""

import dataclasses
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

INSTALL_ONNX = (
  "pip install 'seqsum[onnx]' (in a clone: -e '.[onnx]') && "
  "pip install --no-deps jax2onnx"
)
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


def _program(model: TrainedModel):
  """`frames -> (predictions[, probabilities])`, with constant parameters."""
  objective = model.experiment.objective
  attributes = {
    field.name: getattr(model.experiment.model, field.name)
    for field in dataclasses.fields(SequenceModel)
    if field.name not in ("parent", "name")
  }
  plain = _FlatModel(**attributes)

  def program(frames):
    outputs: Any = plain.apply(model.params, frames)
    decoded = objective.decode(outputs)
    return tuple(x for x in decoded if x is not None)

  return program


def _frames(model: TrainedModel) -> jax.ShapeDtypeStruct:
  """Frames of unknown batch and length."""
  batch, time = export.symbolic_shape("b, t")
  return jax.ShapeDtypeStruct((batch, time, *model.shape), jnp.float32)


def stablehlo(model: TrainedModel) -> bytes:
  """The model as StableHLO bytes, for `jax.export.deserialize`."""
  exported = export.export(jax.jit(_program(model)), platforms=PLATFORMS)
  return bytes(exported(_frames(model)).serialize())


def run_stablehlo(content: bytes, frames: np.ndarray) -> list[np.ndarray]:
  """Returns the outputs of a StableHLO file, in order."""
  outputs = export.deserialize(bytearray(content)).call(frames)
  return [np.asarray(x) for x in outputs]


def has_onnx() -> bool:
  """Whether the packages of `onnx` and `run_onnx` are installed."""
  return all(map(importlib.util.find_spec, ("jax2onnx", "onnxruntime")))


def onnx(model: TrainedModel) -> bytes:
  """An ONNX file, converted by jax2onnx."""
  from jax2onnx import to_onnx

  # It warns of every unknown dimension.
  logging.getLogger("onnx_ir").setLevel(logging.ERROR)
  # Trace before the call: jax2onnx patches modules of Flax.
  frames = _frames(model)
  traced = jax.make_jaxpr(_program(model))(frames)
  # Remove dead code: a cell splits a key for its initial carry, which is zero,
  # and ONNX has no keys.
  needed, _ = partial_eval.dce_jaxpr(
    traced.jaxpr, [True] * len(traced.jaxpr.outvars), instantiate=True
  )
  traced = jax.extend.core.ClosedJaxpr(needed, traced.consts)
  names = ["predictions"]
  if len(model.values):
    names.append("probabilities")
  return to_onnx(
    jax.extend.core.jaxpr_as_fun(traced),
    [frames],
    model_name=f"seqsum {model.name}",
    input_names=["frames"],
    output_names=names,
  ).SerializeToString()


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
) -> float:
  """Compares a file's outputs with the model's on random frames.

  `run` is `run_stablehlo` or `run_onnx`.

  Returns:
    The largest absolute difference, relative to the largest value.

  Raises:
    RuntimeError: It is above `MAX_DIFFERENCE`.
  """
  rng = np.random.default_rng(0)
  largest = 0.0
  for batch, time in ((1, 1), (3, model.max_len + 2)):
    frames = rng.uniform(size=(batch, time, *model.shape)).astype(np.float32)
    expected = model.predict_distribution(frames)
    for ours, theirs in zip(expected, run(content, frames), strict=False):
      if ours is not None:
        scale = max(1.0, np.abs(ours).max())
        largest = max(largest, float(np.abs(ours - theirs).max() / scale))
  if not largest <= MAX_DIFFERENCE:
    raise RuntimeError(f"{run.__name__}: differs from JAX by {largest:g}")
  return largest
