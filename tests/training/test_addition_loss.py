import jax
import jax.numpy as jnp
import numpy as np

from seqsum.models.carry import CarryCore
from seqsum.sequences.addition import Addition
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


def test_the_carry_core_adds_the_likeliest_digits():
  objective = CarryObjective(CarryCore(TASK))
  outputs = jax.nn.log_softmax(50.0 * jax.nn.one_hot(FRAMES, 10))
  output = objective(outputs, TARGETS, LENGTHS)
  np.testing.assert_allclose(output.losses, 0, atol=1e-5)
  np.testing.assert_array_equal(output.predictions, TARGETS)
  predictions, probabilities = objective.decode(outputs)
  np.testing.assert_array_equal(predictions, TARGETS)
  assert probabilities is None


def test_nan_outputs_are_no_predictions():
  outputs = jnp.full((1, 4, 10), jnp.nan)
  objective = CarryObjective(CarryCore(TASK))
  assert np.isnan(objective(outputs, TARGETS, LENGTHS).predictions).all()
