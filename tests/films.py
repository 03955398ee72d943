"""Small video files with scenes, and a small ONNX network."""

import fractions

import numpy as np

TICKS = 1000  # time units in a second


def scenes(lengths, height=48, width=64, seed=0):
  """Yields [height, width, 3] uint8: stripes and a square that moves."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[0:height, 0:width]
  for length in lengths:
    color, down = rng.uniform(30, 220, 3), rng.uniform(0.1, 0.9)
    slope = rng.uniform(0.05, 0.4, 2)
    waves = [np.sin(slope[0] * x * c + slope[1] * y) for c in (1, 2, 3)]
    still = color + 60 * np.stack(waves, -1)
    for i in range(length):
      frame = still.copy()
      left, top = int(i % (width - 8)), int(down * (height - 8))
      frame[top : top + 8, left : left + 8] = 255 - color
      yield np.clip(frame, 0, 255).astype(np.uint8)


def write(path, frames, rate=10, times=None, **options):
  """Encodes frames [h, w, 3] uint8, at `times` in seconds if they are given."""
  import av

  with av.open(path, "w", options=options) as box:
    stream = box.add_stream("libx264", rate=rate)
    if times is not None:
      stream.codec_context.time_base = fractions.Fraction(1, TICKS)
    for i, frame in enumerate(frames):
      if not i:
        stream.height, stream.width = frame.shape[:2]
        is_odd = stream.height % 2 or stream.width % 2
        stream.pix_fmt = "yuv444p" if is_odd else "yuv420p"
      picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
      if times is not None:
        picture.pts = round(times[i] * TICKS)
        picture.time_base = fractions.Fraction(1, TICKS)
      box.mux(stream.encode(picture))
    box.mux(stream.encode(None))
  return path


def write_sound(path, cover=None):
  """Writes a sound file, with a picture as its cover if one is given."""
  import av

  with av.open(path, "w") as box:
    stream = box.add_stream("aac", rate=44100)
    if cover is not None:
      picture = box.add_stream("mjpeg", rate=1)
      picture.height, picture.width = cover.shape[:2]
      picture.pix_fmt = "yuvj420p"
      picture.disposition = av.stream.Disposition.attached_pic
    for i in range(50):
      silence = av.AudioFrame.from_ndarray(
        np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
      )
      silence.rate, silence.pts = 44100, 1024 * i
      box.mux(stream.encode(silence))
    box.mux(stream.encode(None))
    if cover is not None:
      frame = av.VideoFrame.from_ndarray(cover, format="rgb24")
      box.mux(picture.encode(frame))
      box.mux(picture.encode(None))
  return path


def write_onnx(
  path, batch="N", side=32, width=24, channels_last=False, output="scores"
):
  """Writes a random network: a convolution, "pool5", "flat" and ten "scores".

  Returns:
    The filters of the convolution, [width, 3, 4, 4], of stride 4.
  """
  import onnx
  from onnx import TensorProto, helper, numpy_helper

  rng = np.random.default_rng(0)
  filters = rng.normal(size=(width, 3, 4, 4)).astype(np.float32) / 7
  dense = rng.normal(size=(width, 10)).astype(np.float32)
  nodes = [
    helper.make_node("Conv", ["chw", "filters"], ["conv"], strides=[4, 4]),
    helper.make_node("Relu", ["conv"], ["relu"]),
    helper.make_node("GlobalAveragePool", ["relu"], ["pool5"]),
    helper.make_node("Flatten", ["pool5"], ["flat"]),
    helper.make_node("MatMul", ["flat", "dense"], ["scores"]),
  ]
  shape = [batch, 3, side, side]
  if channels_last:
    shape = [batch, side, side, 3]
    first = helper.make_node(
      "Transpose", ["frames"], ["chw"], perm=[0, 3, 1, 2]
    )
  else:
    first = helper.make_node("Identity", ["frames"], ["chw"])
  graph = helper.make_graph(
    [first, *nodes],
    "network",
    [helper.make_tensor_value_info("frames", TensorProto.FLOAT, shape)],
    [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
    [
      numpy_helper.from_array(filters, "filters"),
      numpy_helper.from_array(dense, "dense"),
    ],
  )
  opset = [helper.make_opsetid("", 17)]
  onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
  return filters
