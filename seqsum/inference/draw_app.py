"""The server of the page to draw digits on."""

import signal
import socket
from typing import Annotated

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field, ValidationError

from seqsum.inference import page
from seqsum.inference.trained import TrainedModel
from seqsum.runtime import files
from seqsum.runtime.errors import InputError
from seqsum.sequences.digit import SHAPE

HOST = "127.0.0.1"
MAX_FRAMES = 100  # in a sequence
MAX_BYTES = 1 << 20  # of a request; 100 frames are 400,000
PIXELS = SHAPE[0] * SHAPE[1]

# Strict, so that JSON's `true` is not 1.
Byte = Annotated[int, Field(strict=True, ge=0, le=255)]
Frame = Annotated[list[Byte], Field(min_length=PIXELS, max_length=PIXELS)]


class Sequence(BaseModel):
  """The body of a request: frames row by row, ink is 255."""

  frames: Annotated[list[Frame], Field(min_length=1, max_length=MAX_FRAMES)]


def serve(model: TrainedModel, port: int) -> None:
  """Serves the page on this machine until Ctrl-C.

  Args:
    model: A model of single digits.
    port: 0 for any free port; the address is printed.

  Raises:
    InputError: The port cannot be used.
  """
  with socket.socket() as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      listener.bind((HOST, port))
      listener.listen()  # the printed address answers at once
    except OSError as error:
      raise InputError(
        f"--port={port}: {error.strerror}; use another port, or 0 for any"
      ) from error
    port = listener.getsockname()[1]
    print(f"draw at http://{HOST}:{port} (Ctrl-C to stop)", flush=True)
    # uvicorn raises the signal again when it has stopped.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config = uvicorn.Config(make_app(model), log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])


def make_app(model: TrainedModel) -> FastAPI:
  """The application: `GET /` returns the page, `POST /predict` predictions.

  A request without valid frames gets status 422, one of more than `MAX_BYTES`
  status 413, without being held in memory.
  """
  app = FastAPI(title=f"seqsum {model.name}", openapi_url=None)
  # Refuses pages of other sites whose name resolves to this machine.
  app.add_middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
  rendered = page.render(model)

  @app.get("/", response_class=HTMLResponse)
  def index() -> str:
    return rendered

  @app.get("/favicon.ico")
  def icon() -> Response:
    return Response(status_code=204)  # the page contains its icon

  def answer(sequence: Sequence) -> dict:
    frames = np.array(sequence.frames, np.uint8).reshape(-1, *SHAPE)
    predictions, probabilities, values = model.predict_distribution(frames)
    return files.to_json(
      {
        "predictions": predictions.tolist(),
        "probabilities": (
          None if probabilities is None else probabilities.tolist()
        ),
        "values": values.tolist(),
      }
    )

  @app.post("/predict")
  async def predict(request: Request) -> dict:
    body, size = bytearray(), 0
    async for part in request.stream():
      size += len(part)
      if size <= MAX_BYTES:
        body += part
    if size > MAX_BYTES:
      raise HTTPException(413, f"{size:,} bytes, at most {MAX_BYTES:,}")
    try:
      sequence = Sequence.model_validate_json(bytes(body))
    except ValidationError as error:
      # The input is not repeated: it may not be valid JSON.
      raise HTTPException(
        422,
        f'expected {{"frames": [...]}}: 1 to {MAX_FRAMES} lists of {PIXELS} '
        "integers in 0..255",
      ) from error
    return await run_in_threadpool(answer, sequence)

  return app
