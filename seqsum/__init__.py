"""Learn to fold sequences of handwritten digits, end to end, in JAX.

For notebooks: `load` a run's model, or without a run the one that comes with
seqsum, and `read_images` for it.
"""

from importlib import import_module

_HOMES = {"load": "inference.trained", "read_images": "inference.photos"}


def __getattr__(name: str):
  # Imported when it is asked for: `import seqsum` costs nothing.
  if name not in _HOMES:
    raise AttributeError(f"module 'seqsum' has no attribute {name!r}")
  return getattr(import_module(f"seqsum.{_HOMES[name]}"), name)
