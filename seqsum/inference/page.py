"""The page to draw digits on: served by `draw_app`, or a file by itself."""

import base64
import gzip
import html
import json
import string
from importlib import resources

from etils import epath

from seqsum.inference.trained import TrainedModel
from seqsum.runtime.errors import InputError

# The files of the npm package onnxruntime-web.
BUNDLE, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"


class _Template(string.Template):
  delimiter = "@@"  # JavaScript has its own use for $


def render(model: TrainedModel, predictor: str | None = None) -> str:
  """Renders the page as HTML.

  `predictor` is HTML that defines `predict(frames)`; by default a script that
  asks the server.
  """
  facts = {
    "name": model.name,
    "step": model.step,
    "task": model.task,
    "longest": model.max_len,
    "values": model.values.tolist(),
  }
  return _Template(_read("demo.html")).substitute(
    title=html.escape(model.name),
    model=json.dumps(facts).replace("<", "\\u003c"),
    predictor=predictor or _script(_read("predict_by_server.js")),
  )


def render_standalone(
  model: TrainedModel, network: bytes, runtime: tuple[bytes, bytes]
) -> str:
  """Renders the page with an ONNX network and `read_runtime`'s files inside."""
  packed = dict(zip(("runtime", "wasm"), runtime, strict=True))
  packed["network"] = network
  scripts = [
    f'<script id="{name}" type="text/plain">'
    f"{base64.b64encode(gzip.compress(data, mtime=0)).decode()}</script>"
    for name, data in packed.items()
  ]
  scripts.append(_script(_read("predict_in_browser.js")))
  return render(model, "\n".join(scripts))


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


def _read(name: str) -> str:
  return resources.files(__package__).joinpath(name).read_text("utf-8")


def _script(code: str) -> str:
  return f"<script>\n{code}</script>"
