import pytest

from seqsum.plots import figures


@pytest.fixture
def small(monkeypatch):
  """Low resolution, for pictures that are only compared with each other."""
  monkeypatch.setitem(figures.STYLE, "savefig.dpi", 60)
  monkeypatch.setitem(figures.STYLE, "figure.constrained_layout.use", False)
