import numpy as np
import pytest

from seqsum.studies import (
  addition_tables,
  divergence,
  filter_tables,
  question_tables,
)


def kernels(*filters):
  """[1, 2, 1, F] from pairs of weights."""
  return np.array(filters, float).T.reshape(1, 2, 1, -1)


def test_similar_filters_by_hand():
  one = kernels((1, 0), (0, 2))
  assert filter_tables.similarity(one, one) == pytest.approx(1)
  # Order, length and sign do not count.
  assert filter_tables.similarity(
    one, kernels((0, -3), (5, 0))
  ) == pytest.approx(1)
  # Each alone would choose (1, 0); only one can: (1 + cos 45°) / 2.
  both = kernels((1, 0), (1, 1))
  assert filter_tables.similarity(one, both) == pytest.approx(
    (1 + 0.5**0.5) / 2
  )
  assert filter_tables.similarity(kernels((1, 0)), kernels((0, 1))) == 0


def test_random_similarity_is_between_0_and_1():
  alone = filter_tables.random_similarity((1, 2, 1, 1))
  assert alone == pytest.approx(2 / np.pi, abs=0.05)  # mean |cos| in the plane
  assert filter_tables.random_similarity((4, 4, 1, 8)) < 0.6


def test_tables_are_markdown():
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
  overrides = {
    "model.activation": "relu",
    "model.cell_activation": "relu",
    "model.input_max": 255.0,
    "optimizer.name": "sgd",
    "optimizer.clip_norm": 1.0,
  }
  good = {
    "overrides": overrides,
    "test": {"mse": 3.0},
    "guess_the_mean_mse": 45.0,
  }
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
      **good | {"overrides": overrides | {"optimizer.clip_norm": 0.0}},
    ),
  ]
  first, second = rows(divergence.table(lines))
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


def test_measured_lengths_have_a_column():
  measured = [{"length": 20, "exact_accuracy": 0.9876, "mae": 0.05}]
  table = question_tables.lengths([run("a", measured=measured)], digits=1)
  assert "| exact, mae at length | 20 |" in table
  assert rows(table) == [["a", "98.8%, 0.05"]]


def test_deformed_digits_have_a_table_of_their_own():
  part = {"exact_accuracy": 0.5, "mae": 3.0}
  measured = [
    {"length": 20, "exact_accuracy": 0.25, "mae": 1.0, "deformed": part},
    {"length": 50, "exact_accuracy": 0.125, "mae": 2.0},
  ]
  lines = [run("a", measured=measured)]
  assert rows(question_tables.lengths(lines)) == [["a", "25%, 1", "12%, 2"]]
  table = question_tables.lengths(lines, part="deformed")
  assert "| deformed: exact, mae at length | 20 |" in table
  assert rows(table) == [["a", "50%, 3"]]


def test_seeds_by_hand():
  test = {"exact_accuracy": 0.9912, "mse": 0.1}
  lines = [
    run("a", seed=1, test=test),
    run("a", "diverged", seed=0),
    run("b", seed=0, test=test),
  ]
  assert rows(question_tables.seeds(lines)) == [
    ["a", "diverged", "99.12%, 0.1"],
    ["b", "99.12%, 0.1", ""],
  ]


def test_identified_by_hand():
  """Digits that are all read as the next one; and classes of parity alone."""
  shifted = np.roll(5 * np.eye(10, dtype=int), 1, axis=1)
  parity = np.zeros((10, 10), int)
  parity[::2, 0] = parity[1::2, 1] = 5
  test = {"exact_accuracy": 0.5}
  lines = [
    run("a", measured=shifted.tolist(), test=test),
    run("b", measured=parity.tolist(), test=test),
    run("b", measured=(5 * np.eye(10)).tolist(), test={"exact_accuracy": 1.0}),
    run("b", "diverged", measured=None),
  ]
  table = question_tables.identified(lines, {"b": (0, 1) * 5})
  assert rows(table) == [
    ["a", "50.00%", "0.00%", "100.00%", "3.32", "3.32", "3.32"],
    ["b", "75.00%", "60.00%", "60.00%", "2.16", "1.00", "1.00"],
  ]


def test_misread_by_hand():
  of = lambda n, m: {
    "validation": {"misread": n, "averaged": n - 3, "of": 5000},
    "test": {"misread": m, "averaged": m - 10, "of": 10_000},
  }
  lines = [
    run("a", measured=of(20, 41), parameters=98_554),
    run("a", measured=of(24, 47), parameters=98_554),
    run("a", "diverged", measured=None),
  ]
  table = question_tables.misread(lines)
  assert "misread of 5,000 validation digits" in table
  assert "misread of 10,000 test digits" in table
  assert rows(table) == [
    ["a", "98,554"]
    + ["22.0 ± 2.8", "20, 24", "19.0 ± 2.8"]
    + ["44.0 ± 4.2", "41, 47", "34.0 ± 4.2"]
  ]


def test_information_by_hand():
  assert question_tables.information(np.ones((2, 5))) == pytest.approx(0)
  # Of a threes: H(0.1).
  counts = np.array([[9, 0], [0, 1]])
  expected = -0.9 * np.log2(0.9) - 0.1 * np.log2(0.1)
  assert question_tables.information(counts) == pytest.approx(expected)


def test_soonest_by_hand():
  lines = [
    run("a", clock=[[9.6, 0.9], [20.2, 0.981], [31.0, 0.99]]),
    run("a", clock=[[10.0, 0.98]]),
    run("b", "diverged", clock=[]),
  ]
  table = question_tables.soonest(lines, 0.981)
  assert "seconds to 98.1%, each seed" in table
  assert rows(table) == [["a", "20 s, never"]]


def test_solved_by_hand():
  at = lambda share: [
    {"length": 2, "exact_accuracy": 1.0},
    {"length": 20, "exact_accuracy": share},
  ]
  lines = [
    run("a", measured=at(0.9)),
    run("a", measured=at(0.5)),
    run("a", "diverged", measured=None),
  ]
  assert rows(question_tables.solved(lines, 20, 0.818)) == [
    ["a", "1 of 3", "90.0%, 50.0%"]
  ]


def test_targets_by_hand():
  found = lambda count, share: {"count": count, "exact_accuracy": share}
  lines = [
    run("a", measured={"0": found(10, 0.9), "6561": found(1, 0.0)}),
    run("a", measured={"0": found(30, 1.0), "12": found(4, 0.5)}),
  ]
  table = question_tables.targets(lines, (0, 1, 10, 7000), single=1)
  assert rows(table) == [
    ["0", "1", "40", "97.50%"],
    ["10 to 6,999", "2", "5", "40.00%"],
    ["6,561, the worst", "1", "1", "0.00%"],
  ]


def test_filters_within_and_between_variants():
  one, other = kernels((1, 0)).tolist(), kernels((0, 1)).tolist()
  lines = [
    run("a", seed=0, measured={"before": one, "after": one}),
    run("a", seed=1, measured={"before": other, "after": one}),
    run("b", seed=0, measured={"before": one, "after": other}),
  ]
  found = rows(filter_tables.filters(lines))
  assert found[0] == ["a, before and after training", "0.5", "2"]
  assert found[1] == ["a, two seeds", "1", "1"]
  assert found[2] == ["b, before and after training", "0", "1"]
  assert found[3] == ["b, two seeds", "-", "0"]
  assert found[4] == ["a and b, the same seed", "0", "1"]
  assert found[5] == ["a and b, two seeds", "0", "1"]


def test_columns_by_hand():
  def measured(exact, digits, longer):
    own = {"columns": 2, "trained": True, "digits": digits}
    other = {"columns": 4, "trained": False, "digits": [0.0] * 5}
    return [
      own | {"exact_accuracy": exact},
      other | {"exact_accuracy": longer},
    ]

  lines = [
    run("a", measured=measured(0.5, [1.0, 0.6, 0.9], 0.0)),
    run("a", measured=measured(0.7, [1.0, 0.8, 0.9], 0.1)),
    run("b", "diverged", measured=None),
  ]
  own, others = addition_tables.columns(lines).split("\n\n")
  assert rows(own) == [
    ["a", "60.0%", "50.0%", "70.0%", "100.0%", "70.0%", "90.0%"]
  ]
  assert rows(others.strip()) == [["a", "60.0%", "5.0%"]]


def test_additions_by_hand():
  measured = lambda exact, first: {
    "exact_accuracy": exact,
    "first_deal": first,
    "digit_accuracy": 0.995,
    "averaged": {"exact_accuracy": exact + 0.01, "digit_accuracy": 0.9965},
  }
  lines = [
    run("4", measured=measured(0.96, 0.97)),
    run("4", measured=measured(0.98, 0.95)),
  ]
  assert rows(addition_tables.additions(lines)) == [
    ["4", "97.0 ± 1.4%", "96.0%", "96.0 ± 1.4%", "99.50%"]
    + ["98.0 ± 1.4%", "99.65%"]
  ]
  assert rows(addition_tables.additions(lines[:1])) == [
    ["4", "96.0%", "96.0%", "97.0%", "99.50%", "97.0%", "99.65%"]
  ]
