import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.sequences.tasks import PRODUCT, SUM
from seqsum.training.experiment import build_objective
from seqsum.training.losses import classification


@pytest.mark.parametrize(
  ("name", "expected"),
  [
    ("mse", [4.0, 0.25]),
    ("mae", [2.0, 0.5]),
    ("huber", [1.5, 0.125]),
    ("log_cosh", [np.log(np.cosh(2)), np.log(np.cosh(0.5))]),
  ],
)
def test_losses_by_hand(name, expected):
  objective = build_objective(name)
  outputs, targets = jnp.array([[3.0], [7.5]]), jnp.array([5.0, 7.0])
  np.testing.assert_allclose(
    objective.loss(outputs, targets), expected, rtol=1e-6
  )
  np.testing.assert_array_equal(objective.predict(outputs), [3.0, 7.5])


@pytest.mark.parametrize(
  ("target", "outputs", "predictions"),
  [
    ("log", np.log([1, 8, 82]), [0, 7, 81]),  # log(1 + y)
    ("standard", [0, 1, -2], 4.5 + np.sqrt(8.25) * np.array([0, 1, -2])),
  ],
)
def test_transforms_by_hand(target, outputs, predictions):
  """One digit has mean 4.5 and variance (10^2 - 1) / 12 = 8.25."""
  objective = build_objective("mse", target, task=PRODUCT, max_len=1)
  outputs = jnp.array(outputs, jnp.float32)[:, None]
  predictions = jnp.array(predictions, jnp.float32)
  np.testing.assert_allclose(
    objective.predict(outputs), predictions, rtol=1e-5, atol=1e-6
  )
  # Errors of 0.5 in the transformed units.
  np.testing.assert_allclose(
    objective.loss(outputs + 0.5, predictions), 0.25, rtol=1e-5
  )


def test_the_z_score_depends_on_lengths_and_per_step():
  final = build_objective("mse", "standard", task=SUM, max_len=4)
  every = build_objective("mse", "standard", task=SUM, max_len=4, per_step=True)
  zero = jnp.zeros((1, 1))
  np.testing.assert_allclose(final.predict(zero), [2.5 * 4.5], rtol=1e-6)
  # 4, 3, 2, 1 of the lengths reach steps 1, 2, 3, 4: 2 digits on average.
  np.testing.assert_allclose(every.predict(zero), [2 * 4.5], rtol=1e-6)


def test_cross_entropy_by_hand():
  """37 products of two digits; the logit of 81 is 2, the others are 0."""
  objective = build_objective(
    "cross_entropy", task=PRODUCT, max_len=2, min_len=2
  )
  assert objective.outputs == 37
  outputs = jnp.zeros((2, 3, 37)).at[1, :, -1].set(2.0)
  targets = jnp.array([[0.0, 48.0, 81.0], [0.0, 72.0, 81.0]])
  whole = np.log(36 + np.exp(2))
  np.testing.assert_allclose(
    objective.loss(outputs, targets),
    [[np.log(37)] * 3, [whole, whole, whole - 2]],
    rtol=1e-6,
  )
  np.testing.assert_array_equal(objective.predict(outputs[1]), [81.0] * 3)


@pytest.mark.parametrize("values", [SUM.reachable(4), PRODUCT.reachable(9)])
def test_every_value_has_a_class(values):
  """Also products of nine digits, some of which are equal in float32."""
  objective = classification(values)
  some = np.unique(np.linspace(0, objective.outputs - 1, 200).astype(int))
  outputs = 50 * jnp.eye(objective.outputs)[some]
  read = objective.predict(outputs)
  np.testing.assert_allclose(read, np.unique(values.astype("f"))[some])
  np.testing.assert_allclose(objective.loss(outputs, read), 0, atol=1e-6)


def test_a_nan_logit_predicts_nan():
  objective = build_objective("cross_entropy")
  outputs = jnp.zeros((2, 37)).at[1, 5].set(jnp.nan)
  np.testing.assert_array_equal(objective.predict(outputs), [0, np.nan])
