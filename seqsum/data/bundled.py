"""The digits that are bundled with scikit-learn; no network needed."""

import importlib.util
from pathlib import Path

import numpy as np

from seqsum.sequences.digit import SHAPE


def load() -> tuple[np.ndarray, np.ndarray]:
  """Loads scikit-learn's digits in the geometry of MNIST.

  MNIST fits a digit into 20x20 pixels and puts its centre of mass at (14, 14).
  These are 8x8 counts of ink: a cubic zoom makes them 20x20, and clipping the
  greys restores the stroke width and the mean ink of MNIST.

  Source: the test part of https://archive.ics.uci.edu/dataset/80.

  Returns:
    [1797, 28, 28, 1] uint8 images, ink is 255; and [1797] int32 labels, 0..9.
  """
  from scipy import ndimage

  raw, labels = read()
  zoom = ndimage.zoom(  # [20, 8], the matrix of the zoom, which is linear
    np.eye(8), (2.5, 1), order=3, mode="grid-constant", grid_mode=True
  )
  ink = zoom @ (raw / 16.0) @ zoom.T  # [N, 20, 20]
  ink = np.rint(255 * np.clip((ink - 0.25) / (0.9 - 0.25), 0, 1))
  images = np.zeros((len(ink), *SHAPE), np.uint8)
  for image, box in zip(images, ink, strict=True):
    top, left = np.rint(14 - np.array(ndimage.center_of_mass(box))).astype(int)
    image[top : top + 20, left : left + 20, 0] = box
  return images, labels


def read() -> tuple[np.ndarray, np.ndarray]:
  """Reads [1797, 8, 8] 0..16 and [1797] int32 without the import of sklearn."""
  spec = importlib.util.find_spec("sklearn")
  assert spec is not None
  assert spec.origin is not None
  path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
  if path.exists():
    table = np.loadtxt(path, delimiter=",", dtype=np.int32)
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1]
  from sklearn.datasets import load_digits  # takes 2 s

  bunch = load_digits()
  return bunch.images.astype(np.int32), bunch.target.astype(np.int32)
