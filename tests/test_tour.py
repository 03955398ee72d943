"""docs/tour.ipynb runs, its model beats the mean and its folds the model."""

import re

import pytest
from short_runs import ROOT


@pytest.mark.slow
def test_the_tour_runs(environment, monkeypatch):
  nbformat = pytest.importorskip("nbformat")
  nbclient = pytest.importorskip("nbclient")
  for key in ("XLA_FLAGS", "JAX_PLATFORMS"):  # as in a user's environment
    monkeypatch.delenv(key, raising=False)
  monkeypatch.setenv("PYTHONPATH", str(ROOT))
  notebook = nbformat.read(ROOT / "docs" / "tour.ipynb", as_version=4)
  nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute(
    cwd=str(ROOT)
  )
  said = "\n".join(
    output.get("text", "")
    for cell in notebook.cells
    for output in cell.get("outputs", [])
  )
  mse, guess = (
    float(re.search(f"{words} (\\d+\\.\\d+)", said)[1])
    for words in (r"\bmse(?=.*sums exact)", "guessing the mean: mse")
  )
  assert mse < guess / 5
  learned, folded, added = (
    int(share) for share in re.findall(r"(\d+)% of (?:\d+|the) sums", said)
  )
  assert learned < folded
  assert folded > 90
  assert added > 80
  first, *_ = re.findall(r"carries ([01 ]+) digits (.*) \+ (.*)", said)
  carry, x, y = (int(part.replace(" ", "")) for part in first)
  carries = [(x % 10**n + y % 10**n) // 10**n for n in (3, 2, 1)]
  assert [int(c) for c in f"{carry:04}"] == [*carries, 0]
  assert len(re.findall(r"true importance there", said)) == 4
