import numpy as np
import pytest

from seqsum import divergence_study, question_tables


def kernels(*filters):
  """[1, 2, 1, F] from pairs of weights."""
  return np.array(filters, float).T.reshape(1, 2, 1, -1)


def test_similar_filters_by_hand():
  one = kernels((1, 0), (0, 2))
  assert question_tables.similarity(one, one) == pytest.approx(1)
  # Order, length and sign do not count.
  assert question_tables.similarity(
    one, kernels((0, -3), (5, 0))
  ) == pytest.approx(1)
  # Each alone would choose (1, 0); only one can: (1 + cos 45°) / 2.
  both = kernels((1, 0), (1, 1))
  assert question_tables.similarity(one, both) == pytest.approx(
    (1 + 0.5**0.5) / 2
  )
  assert question_tables.similarity(kernels((1, 0)), kernels((0, 1))) == 0


def test_chance_lies_between_nothing_and_all():
  alone = question_tables.chance((1, 2, 1, 1))
  assert alone == pytest.approx(2 / np.pi, abs=0.05)  # mean |cos| in the plane
  assert question_tables.chance((4, 4, 1, 8)) < 0.6


def test_a_table_is_markdown():
  table = question_tables.markdown(("a", "b"), [("c", "1"), ("d", "2")])
  assert table == "| a | b |\n| --- | --: |\n| c | 1 |\n| d | 2 |"


def run(variant, status="finished", **line):
  return {"variant": variant, "status": status, **line}


def rows(table):
  return [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in table.splitlines()[2:]
  ]


def test_divergence_by_hand():
  said = {
    "model.activation": "relu",
    "model.cell_activation": "relu",
    "model.input_max": 255.0,
    "optimizer.name": "sgd",
    "optimizer.clip_norm": 1.0,
  }
  good = {"overrides": said, "test": {"mse": 3.0}, "guess_the_mean_mse": 45.0}
  lines = [
    run("a", course=[[10, 80.0, 1.0, 5.0], [20, 7.0, 2.0, None]], **good),
    run("b", course=[], **good | {"test": {"mse": 45.0}}),
    run(
      "a",
      "diverged",
      course=[[10, None, 9.0, 70.0]],
      diverged_step=12,
      **good | {"test": None},
    ),
    run(
      "c",
      course=[],
      **good | {"overrides": said | {"optimizer.clip_norm": 0.0}},
    ),
  ]
  first, second = rows(divergence_study.table(lines))
  assert first == [
    *("relu everywhere", "0..255", "sgd, clipped", "1 of 3", "12"),
    *("1 of 2", "3 to 45", "80", "9", "70"),
  ]
  assert second[2:4] == ["sgd", "0 of 1"]


def test_pairs_by_hand():
  seen = np.full((10, 10), 4)
  right = np.full((10, 10), 4)
  right[9, 9], right[1, 9] = 1, 3
  lines = [run("a", measured={"right": right, "seen": seen})]
  (row,) = rows(question_tables.pairs(lines))
  assert row == ["a", "99.0%", "75.0%", "100.0%", "25.0%", "9, 9: 25.0%"]


def test_steps_and_lengths_by_hand():
  step = lambda *mse: {str(i): {"mse": x} for i, x in enumerate(mse, 1)}
  lines = [
    run("a", by_step=step(1.0, 2.0)),
    run("a", by_step=step(3.0, 2.0)),
    run("b", by_step=step(0.5)),
  ]
  assert rows(question_tables.steps(lines)) == [
    ["a", "2", "2"],
    ["b", "0.5", ""],
  ]
  measured = [
    {"length": n, "exact_accuracy": 1 / n, "mae": n / 10}
    for n in question_tables.SHOWN
  ]
  (row,) = rows(question_tables.lengths([run("a", measured=measured)]))
  assert row[:3] == ["a", "100%, 0.1", "25%, 0.4"]


def test_filters_within_and_between_variants():
  one, other = kernels((1, 0)).tolist(), kernels((0, 1)).tolist()
  lines = [
    run("a", seed=0, measured={"before": one, "after": one}),
    run("a", seed=1, measured={"before": other, "after": one}),
    run("b", seed=0, measured={"before": one, "after": other}),
  ]
  found = rows(question_tables.filters(lines))
  assert found[0] == ["a, before and after training", "0.5", "2"]
  assert found[1] == ["a, two seeds", "1", "1"]
  assert found[2] == ["b, before and after training", "0", "1"]
  assert found[3] == ["b, two seeds", "-", "0"]
  assert found[4] == ["a and b, the same seed", "0", "1"]
  assert found[5] == ["a and b, two seeds", "0", "1"]
