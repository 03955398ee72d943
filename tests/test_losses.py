import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.errors import InputError
from seqsum.losses import build_objective


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


def test_an_unknown_loss_is_refused():
  with pytest.raises(InputError, match=r"loss='mes'.*did you mean 'mse'"):
    build_objective("mes")
