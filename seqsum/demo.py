r"""A page to draw on: each digit that is added, and the value that follows.

    pip install -e '.[demo]'
    python -m seqsum.demo
    python -m seqsum.demo --workdir=runs/sum

The first uses the network that comes with seqsum, the second one of your own.
It answers on this machine only, at the address that it prints; Ctrl-C ends it.
"""

import signal
import socket

from absl import flags

from seqsum.runtime import cli
from seqsum.runtime.errors import InputError

flags.adopt_module_key_flags(cli)
WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "The folder of a run; by default the network that comes with seqsum.",
)
PORT = flags.DEFINE_integer("port", 8000, "Where it listens; 0: any free one.")
HOST = "127.0.0.1"


def main() -> int:
  """Serves the page until Ctrl-C; returns the exit code."""
  try:
    import uvicorn
  except ImportError as error:
    raise InputError(
      "the page needs FastAPI and uvicorn: pip install -e '.[demo]'"
    ) from error
  if not 0 <= PORT.value <= 65535:
    raise InputError(f"--port={PORT.value}: must be in 0..65535")
  from seqsum.inference import draw_app, trained  # seconds

  cli.enable_compilation_cache()
  model = trained.load(WORKDIR.value)
  if not model.reads_digits:
    raise InputError(
      f"--workdir={WORKDIR.value}: the page draws digits, {model.name} was "
      f"trained on other frames {model.shape}; take seqsum.predict"
    )
  with socket.socket() as listener:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
      listener.bind((HOST, PORT.value))
      listener.listen()  # so that the printed address can be opened at once
    except OSError as error:
      raise InputError(
        f"--port={PORT.value}: {error.strerror}; take another, or 0"
      ) from error
    app = draw_app.make_app(model)
    port = listener.getsockname()[1]
    print(f"draw at http://{HOST}:{port}, Ctrl-C ends it", flush=True)
    # At its end uvicorn raises the signal again, which this handler may get.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config = uvicorn.Config(app, log_level="warning")
    uvicorn.Server(config).run(sockets=[listener])
  return 0


if __name__ == "__main__":
  cli.run(main)
