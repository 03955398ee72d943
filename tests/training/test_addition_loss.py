import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.models import carry
from seqsum.models.carry import CarryCore
from seqsum.sequences.addition import Addition, Subtraction
from seqsum.training.addition_loss import CarryObjective, ColumnObjective

TASK = Addition(2)
FRAMES, LENGTHS = jnp.array([[7, 5, 4, 8]]), jnp.array([4])  # 47 + 85
TARGETS = TASK.running(FRAMES, LENGTHS)  # 132 at the end


def columns(digits, leading):
  """Outputs [1, 4, 12] that are sure of the digits after each column."""
  outputs = np.zeros((1, 4, 12), np.float32)
  for column, (digit, first) in enumerate(zip(digits, leading, strict=True)):
    outputs[0, 2 * column + 1, digit] = 50
    outputs[0, 2 * column + 1, 10 + first] = 50
  return jnp.asarray(outputs)


def test_columns_of_the_right_sum():
  output = ColumnObjective(2)(columns((2, 3), (1, 1)), TARGETS, LENGTHS)
  np.testing.assert_allclose(output.losses, 0, atol=1e-6)
  np.testing.assert_array_equal(output.predictions[0, 1::2], TARGETS[0, 1::2])
  assert np.isnan(output.predictions[0, ::2]).all()  # half a column


def test_columns_of_a_wrong_carry():
  output = ColumnObjective(2)(columns((2, 2), (1, 1)), TARGETS, LENGTHS)
  np.testing.assert_allclose(output.losses, [[0, 0, 0, 50]], rtol=1e-5)
  np.testing.assert_array_equal(output.predictions[0, -1], [2, 2, 1])


def test_only_whole_columns_have_a_gradient():
  loss = lambda x: ColumnObjective(2)(x, TARGETS, LENGTHS).losses.sum()
  gradient = jax.grad(loss)(jnp.zeros((1, 4, 12)))[0]
  used = np.abs(gradient) > 0
  assert not used[::2].any()
  assert used[1, :10].all()
  assert not used[1, 10:].any()  # the leading digit is that of the last column
  assert used[3].all()


def test_columns_have_one_loss_for_every_digit():
  """Uniform outputs: N log 10 for the columns, log 2 for the leading digit."""
  output = ColumnObjective(2)(jnp.zeros((1, 4, 12)), TARGETS, LENGTHS)
  expected = 2 * np.log(10) + np.log(2)
  np.testing.assert_allclose(output.losses, [[0, 0, 0, expected]], rtol=1e-6)


@pytest.mark.slow
def test_sums_of_different_numbers_of_columns():
  """7 + 5 = 12 beside 47 + 85 = 132, in one batch."""
  outputs = jnp.tile(columns((2, 3), (1, 1)), (2, 1, 1))
  lengths = jnp.array([4, 2])
  targets = TASK.running(jnp.tile(FRAMES, (2, 1)), lengths)
  output = ColumnObjective(2)(outputs, targets, lengths)
  np.testing.assert_allclose(output.losses, 0, atol=1e-6)
  np.testing.assert_array_equal(output.predictions[:, -1], targets[:, -1])
  np.testing.assert_array_equal(output.predictions[1, 2:], targets[1, 2:])
  loss = lambda x: ColumnObjective(2)(x, targets, lengths).losses.sum()
  gradient = np.abs(jax.jit(jax.grad(loss))(0 * outputs))
  assert gradient[1, 1].all()  # the leading digit of a number of one digit
  assert not gradient[1, 2:].any()


def test_columns_of_differences():
  """47 - 85 is -38; after the first column it is 2."""
  task = Subtraction(2)
  targets = task.running(FRAMES, LENGTHS)
  objective = ColumnObjective(2, subtracts=True)
  output = objective(columns((2, 6), (1, 0)), targets, LENGTHS)
  np.testing.assert_allclose(output.losses, 0, atol=1e-6)
  np.testing.assert_array_equal(output.predictions[0, 1::2], targets[0, 1::2])
  # 5 - 7, of one column: the higher digit is that of the complement, 98 - 100.
  frames, one = jnp.array([[5, 7, 0, 0]]), jnp.array([2])
  targets = task.running(frames, one)
  output = objective(columns((8, 0), (0, 0)), targets, one)
  np.testing.assert_allclose(output.losses, 0, atol=1e-6)
  np.testing.assert_array_equal(output.predictions[0, 1:], [[8, 9, 0]] * 3)


def sure_of(classes, code, codes=2):
  """[B, T, 10 + codes] of a model sure of classes and of their code."""
  code = jax.nn.one_hot(0 * classes + code, codes)
  parts = jax.nn.one_hot(classes, 10), code
  logits = [jax.nn.log_softmax(50.0 * part) for part in parts]
  return jnp.concatenate(logits, axis=-1)


def test_classes_that_are_digits_shifted_by_five_are_as_good():
  outputs = sure_of((FRAMES + 5) % 10, code=1)
  objective = CarryObjective(CarryCore(TASK))
  output = objective(outputs, TARGETS, LENGTHS)
  np.testing.assert_allclose(output.losses, 0, atol=1e-5)
  np.testing.assert_array_equal(output.predictions, TARGETS)


@pytest.mark.slow
def test_classes_that_are_shifted_digits_are_as_good_for_differences():
  """And if the code is undecided, the loss tells it."""
  task = Subtraction(1)
  frames = jnp.array(list(itertools.product(range(10), repeat=2)))
  lengths = jnp.full(100, 2)
  targets = task.running(frames, lengths)

  @jax.jit
  @functools.partial(jax.value_and_grad, has_aux=True)
  def loss(outputs):
    output = CarryObjective(CarryCore(task))(outputs, targets, lengths)
    return output.losses.sum(), output.predictions[:, -1]

  for code in (0, 3, 9):
    outputs = sure_of((frames - code) % 10, code, codes=10)
    (value, predictions), _ = loss(outputs)
    np.testing.assert_allclose(value, 0, atol=1e-4)
    np.testing.assert_array_equal(predictions, targets[:, -1])
    (value, _), gradient = loss(outputs.at[..., 10:].set(-np.log(10)))
    np.testing.assert_allclose(value, np.log(10), rtol=1e-4)
    assert gradient[..., 10:].sum((0, 1)).argmin() == code


@pytest.mark.parametrize("code", [0, 1])
def test_the_gradient_tells_the_code(code):
  """Of sure classes and an undecided code."""
  outputs = sure_of((FRAMES + 5 * code) % 10, code=0).at[..., 10:].set(0)
  objective = CarryObjective(CarryCore(TASK))
  loss = lambda x: objective(x, TARGETS, LENGTHS).losses.sum()
  value, gradient = jax.value_and_grad(loss)(outputs)
  np.testing.assert_allclose(value, np.log(2), rtol=1e-4)
  down = -gradient[..., 10:].sum((0, 1))
  assert down[code] > 0 > down[1 - code]


def test_the_gradient_is_that_of_the_likelihood_without_the_code():
  keys = jax.random.split(jax.random.key(0), 2)
  core = CarryCore(TASK)
  logits = jax.random.normal(keys[0], (3, 4, core.outputs))
  frames = jax.random.randint(keys[1], (3, 4), 0, 10)
  lengths = jnp.full(3, 4)
  targets = TASK.running(frames, lengths)

  def summed_out(logits):
    outputs = core.inputs(logits)
    prior = jax.nn.log_softmax(outputs[..., 10:].mean((0, 1)))
    likelihoods = [
      carry.log_likelihood(
        jnp.roll(outputs[..., :10], 5 * code, axis=-1), targets[:, -1], lengths
      ).sum()
      for code in (0, 1)
    ]
    return -jax.nn.logsumexp(prior + jnp.stack(likelihoods))

  ours = lambda x: CarryObjective(core)(
    core.inputs(x), targets, lengths
  ).losses.sum()
  np.testing.assert_allclose(
    jax.jit(jax.grad(ours))(logits),
    jax.jit(jax.grad(summed_out))(logits),
    atol=1e-5,
  )


def test_the_carry_core_adds_the_likeliest_digits():
  objective = CarryObjective(CarryCore(TASK))
  outputs = sure_of(FRAMES, code=0)
  output = objective(outputs, TARGETS, LENGTHS)
  np.testing.assert_allclose(output.losses, 0, atol=1e-5)
  np.testing.assert_array_equal(output.predictions, TARGETS)
  predictions, probabilities = objective.decode(outputs)
  np.testing.assert_array_equal(predictions, TARGETS)
  assert probabilities is None


def test_nan_outputs_are_no_predictions():
  outputs = jnp.full((1, 4, 12), jnp.nan)
  objective = CarryObjective(CarryCore(TASK))
  assert np.isnan(objective(outputs, TARGETS, LENGTHS).predictions).all()


LONG = jnp.array([[7, 5, 4, 8, 6, 3]])  # 647 + 385 = 1032


@pytest.mark.slow
def test_the_carry_core_adds_more_columns_than_in_training():
  objective = CarryObjective(CarryCore(TASK))
  predictions, _ = objective.decode(sure_of(LONG, code=0))
  assert predictions[0, -1].tolist() == [2, 3, 0, 1]
  short, _ = objective.decode(sure_of(LONG[:, :2], code=0))
  assert short[0, -1].tolist() == [2, 1, 0]


def test_a_learned_recurrence_adds_more_columns_than_in_training():
  outputs = np.zeros((1, 6, 12), np.float32)
  outputs[0, 1, 2] = outputs[0, 3, 3] = outputs[0, 5, 0] = 9
  outputs[0, 1::2, 11] = 9
  predictions, _ = ColumnObjective(2).decode(jnp.asarray(outputs))
  expected = [[2, 1, 0, 0], [2, 3, 1, 0], [2, 3, 0, 1]]
  np.testing.assert_array_equal(predictions[0, 1::2], expected)
