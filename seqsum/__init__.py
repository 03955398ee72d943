"""Learn sums of handwritten digits from sequences of images, in JAX.

For notebooks: `load` returns a run's model, or the one that comes with seqsum;
`read_images` reads images for it.
"""

from importlib import import_module

_MODULES = {"load": "inference.trained", "read_images": "inference.photos"}


def __getattr__(name: str):
  # Lazy: `import seqsum` imports nothing else.
  if name not in _MODULES:
    raise AttributeError(f"module 'seqsum' has no attribute {name!r}")
  return getattr(import_module(f"seqsum.{_MODULES[name]}"), name)
