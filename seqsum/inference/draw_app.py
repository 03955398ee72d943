"""The page to draw on, and the server behind it."""

import html
import json
from importlib import resources
from typing import Annotated

import numpy as np

from seqsum.inference.trained import Trained
from seqsum.runtime import files
from seqsum.sequences.digit import SHAPE

MOST_FRAMES = 100  # of one drawn sequence
MOST_BYTES = 1 << 20  # of a request; 100 frames are 400,000
PIXELS = SHAPE[0] * SHAPE[1]


def page(model: Trained, reader: str | None = None) -> str:
  """The page, HTML 5, with what it must know of the model.

  Args:
    model: Whose name and values it shows.
    reader: HTML, a script that defines `read(frames)`; by default it asks a
      server.
  """
  text = (
    resources.files("seqsum.inference").joinpath("demo.html").read_text("utf-8")
  )
  facts = {
    "name": model.name,
    "step": model.step,
    "task": model.task,
    "longest": model.longest,
    "values": model.values.tolist(),
  }
  about = json.dumps(facts).replace("<", "\\u003c")
  text = text.replace('json">{}<', f'json">{about}<', 1)
  text = text.replace(
    "<title>Draw digits", f"<title>{html.escape(model.name)}", 1
  )
  if reader is None:
    return text
  start = text.index('<script id="reader">')
  end = text.index("</script>", start) + len("</script>")
  return text[:start] + reader + text[end:]


def make_app(model: Trained):
  """The application: `GET /` the page, `POST /read` frames.

  A request that is not frames is answered with 422, one of more than
  `MOST_BYTES` with 413; of neither more than `MOST_BYTES` is kept.
  """
  from fastapi import FastAPI, HTTPException, Request
  from fastapi.concurrency import run_in_threadpool
  from fastapi.middleware.trustedhost import TrustedHostMiddleware
  from fastapi.responses import HTMLResponse
  from pydantic import BaseModel, Field, ValidationError

  Byte = Annotated[int, Field(ge=0, le=255)]
  Frame = Annotated[list[Byte], Field(min_length=PIXELS, max_length=PIXELS)]

  class Drawn(BaseModel):
    """One sequence: frames, row by row, ink is 255."""

    frames: Annotated[list[Frame], Field(min_length=1, max_length=MOST_FRAMES)]

  app = FastAPI(title=f"seqsum {model.name}", openapi_url=None)
  # A page of somebody else's whose name leads to this machine is refused.
  app.add_middleware(
    TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"]
  )
  shown = page(model)

  @app.get("/", response_class=HTMLResponse)
  def index() -> str:
    return shown

  def answer(drawn: Drawn) -> dict:
    frames = np.array(drawn.frames, np.uint8).reshape(-1, *SHAPE)
    reading = model.read(frames)
    shares = reading.probabilities
    return files.to_json(
      {
        "predictions": reading.predictions.tolist(),
        "probabilities": None if shares is None else shares.tolist(),
        "values": reading.values.tolist(),
      }
    )

  @app.post("/read")
  async def read(request: Request) -> dict:
    body, size = bytearray(), 0
    async for part in request.stream():
      size += len(part)
      if size <= MOST_BYTES:
        body += part
    if size > MOST_BYTES:
      raise HTTPException(413, f"{size:,} bytes, at most {MOST_BYTES:,}")
    try:
      drawn = Drawn.model_validate_json(bytes(body))
    except ValidationError as error:
      # What was sent is not repeated: JSON has no form for all of it.
      raise HTTPException(
        422,
        f'expected {{"frames": [...]}}: 1 to {MOST_FRAMES} lists of {PIXELS} '
        "whole numbers in 0..255",
      ) from error
    return await run_in_threadpool(answer, drawn)

  return app
