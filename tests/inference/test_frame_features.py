"""Features of frames by an ONNX file and by a network of ours."""

import films
import numpy as np
import pytest

from seqsum.inference import frame_features
from seqsum.runtime.errors import InputError

FRAMES = np.random.default_rng(0).integers(0, 256, (5, 64, 96, 3), np.uint8)


def compute(network, frames=FRAMES):
  return network.compute([network.prepare(x) for x in frames])


@pytest.fixture
def path(tmp_path):
  pytest.importorskip("onnx", reason="pip install -e '.[onnx]'")
  pytest.importorskip("onnxruntime", reason="pip install -e '.[onnx]'")
  return tmp_path / "net.onnx"


@pytest.mark.parametrize(
  "options",
  [{}, {"batch": 1}, {"batch": 3}, {"channels_last": True}, {"side": "S"}],
)
def test_a_layer_is_computed_as_by_numpy(path, options):
  filters = films.write_onnx(path, **options)
  side = 224 if "side" in options else 32
  # The middle 64 columns; then each pixel is the mean of an area, or repeated.
  middle = FRAMES[:, :, 16:80].astype(float)
  if side == 32:
    middle = middle.reshape(5, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    middle = np.floor(middle + 0.5)
  else:
    middle = np.stack(
      [frame_features.cover(x, side, side) for x in FRAMES]
    ).astype(float)
  mean, deviation = frame_features.MEAN, frame_features.DEVIATION
  x = (middle / 255 - mean) / deviation
  blocks = x.reshape(5, side // 4, 4, side // 4, 4, 3)
  maps = np.einsum("nyixjc,dcij->nyxd", blocks, filters)
  expected = np.maximum(maps, 0).mean(axis=(1, 2))
  for layer in ("pool5", "relu", "flat"):
    network = frame_features.open_network(str(path), layer)
    found = compute(network)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.02)
  assert compute(frame_features.open_network(str(path))).shape == (5, 10)


def test_scales_of_pixels(path):
  films.write_onnx(path)
  frame = np.full((40, 40, 3), 255, np.uint8)
  for scale, white in (("unit", 1), ("symmetric", 1), ("bytes", 255)):
    network = frame_features.open_network(str(path), scale=scale)
    assert (network.prepare(frame) == white).all()
    black = -1 if scale == "symmetric" else 0
    assert (network.prepare(0 * frame) == black).all()


@pytest.mark.parametrize("size", [(3, 4000), (4000, 3), (1, 1), (31, 57)])
def test_frames_of_any_size_are_covered(size):
  frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
  assert frame_features.cover(frame, 32, 48).shape == (32, 48, 3)


def test_networks_that_cannot_be_used_are_refused(path):
  films.write_onnx(path)
  for name, words in (
    ({"layer": "pol5"}, "no tensor of .* did you mean 'pool5'.*flat, scores"),
    ({"layer": "filters"}, "no tensor of"),
    ({"scale": "x"}, "--scale=x: choose from imagenet"),
  ):
    with pytest.raises(InputError, match=words):
      frame_features.open_network(str(path), **name)
  whole = path.read_bytes()
  for content in (b"", b"words" * 99, whole[: len(whole) // 2]):
    path.write_bytes(content)
    with pytest.raises(InputError, match="not an ONNX file") as caught:
      frame_features.open_network(str(path))
    assert "\n" not in str(caught.value)
  with pytest.raises(InputError, match="No such file"):
    frame_features.open_network(str(path) + ".onnx")
  films.write_onnx(path, side=2)  # smaller than the filters
  with pytest.raises(InputError, match="ONNX Runtime"):
    compute(frame_features.open_network(str(path)))


def test_other_inputs_and_outputs_are_refused(path):
  import onnx
  from onnx import TensorProto, helper

  def save(kind, shape, output):
    graph = helper.make_graph(
      [helper.make_node("Identity", ["x"], ["y"])],
      "network",
      [helper.make_tensor_value_info("x", kind, shape)],
      [helper.make_tensor_value_info("y", kind, output)],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)

  for kind, shape in (
    (TensorProto.INT64, ["N", 3, 8, 8]),
    (TensorProto.FLOAT, ["N", 8]),
    (TensorProto.FLOAT, ["N", 4, 8, 8]),
  ):
    save(kind, shape, shape)
    with pytest.raises(InputError, match=r"its inputs are x .*expected one"):
      frame_features.open_network(str(path))
  save(TensorProto.UINT8, ["N", 3, 8, 8], ["N", 3, 8, 8])
  with pytest.raises(InputError, match=r"y is uint8 .* name another --layer"):
    compute(frame_features.open_network(str(path)))


def test_the_encoder_that_comes_with_seqsum():
  network = frame_features.open_network(None)
  frames = FRAMES[..., :1]
  found = compute(network, frames)
  assert found.shape == (5, 128)
  assert network.channels == 1
  alone = compute(network, frames[3:4])
  np.testing.assert_allclose(alone[0], found[3], atol=1e-5)
  with pytest.raises(InputError, match=r"only an \.onnx file has layers"):
    frame_features.open_network(None, layer="pool5")
