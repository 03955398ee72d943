r"""Serve a page to draw digits on, with the value after each.

    pip install 'seqsum[demo]'     # in a clone: pip install -e '.[demo]'
    python -m seqsum.demo
    python -m seqsum.demo --workdir=runs/sum

The second command uses the network that comes with seqsum, the third one of
your own runs. The page is served to this machine only, at the printed address;
Ctrl-C stops the server.
"""

import importlib.util

from absl import flags

from seqsum.runtime import cli
from seqsum.runtime.errors import InputError

flags.adopt_module_key_flags(cli)
WORKDIR = flags.DEFINE_string(
  "workdir",
  None,
  "Folder of a run; default: the network that comes with seqsum.",
)
PORT = flags.DEFINE_integer("port", 8000, "TCP port; 0: any free port.")


def main() -> int:
  """Serves the page until Ctrl-C; returns the exit code."""
  if not all(map(importlib.util.find_spec, ("fastapi", "uvicorn"))):
    raise InputError(
      "the page needs FastAPI and uvicorn: pip install 'seqsum[demo]', or in a "
      "clone pip install -e '.[demo]'"
    )
  if not 0 <= PORT.value <= 65535:
    raise InputError(f"--port={PORT.value}: must be in 0..65535")
  from seqsum.inference import draw_app, trained  # takes seconds

  cli.enable_compilation_cache()
  model = trained.load(WORKDIR.value)
  if not model.takes_digits:
    raise InputError(
      f"--workdir={WORKDIR.value}: the page draws digits, {model.name} was "
      f"trained on other frames {model.shape}; use seqsum.predict"
    )
  if model.experiment.sampler.task.size:
    raise InputError(
      f"--workdir={WORKDIR.value}: the page shows one number for each digit, "
      f"{model.name} predicts vectors; use seqsum.predict"
    )
  draw_app.serve(model, PORT.value)
  return 0


if __name__ == "__main__":
  cli.run(main)
