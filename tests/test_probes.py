import numpy as np
import pytest

from seqsum import probes


def kernels(*filters):
  """[1, 2, 1, F] from pairs of weights."""
  return np.array(filters, float).T.reshape(1, 2, 1, -1)


def test_similar_filters_by_hand():
  one = kernels((1, 0), (0, 2))
  assert probes.similarity(one, one) == pytest.approx(1)
  # Order, length and sign do not count.
  assert probes.similarity(one, kernels((0, -3), (5, 0))) == pytest.approx(1)
  # Each alone would choose (1, 0); only one can: (1 + cos 45°) / 2.
  both = kernels((1, 0), (1, 1))
  assert probes.similarity(one, both) == pytest.approx((1 + 0.5**0.5) / 2)
  assert probes.similarity(kernels((1, 0)), kernels((0, 1))) == 0


def test_chance_lies_between_nothing_and_all():
  alone = probes.chance((1, 2, 1, 1))
  assert alone == pytest.approx(2 / np.pi, abs=0.05)  # mean |cos| in the plane
  assert probes.chance((4, 4, 1, 8)) < 0.6
