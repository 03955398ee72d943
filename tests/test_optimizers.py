import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seqsum.errors import InputError
from seqsum.optimizers import build_optimizer


def test_rmsprop_by_hand():
  """v = 0.9 v + 0.1 g^2; x = x - rate g / sqrt(v + 1e-7), as in Keras."""
  optimizer = build_optimizer("rmsprop", 0.1, 0.9)
  x = jnp.array([1.0])
  state = optimizer.init(x)
  v, expected = 0.0, 1.0
  for g in (2.0, -3.0):
    updates, state = optimizer.update(jnp.array([g]), state)
    x = optax.apply_updates(x, updates)
    v = 0.9 * v + 0.1 * g * g
    expected -= 0.1 * g / np.sqrt(v + 1e-7)
  np.testing.assert_allclose(x, [expected], rtol=1e-6)


def test_the_cosine_ends_at_nothing():
  optimizer = build_optimizer("sgd", 1.0, 0.0, "cosine", steps=2)
  x, state = jnp.array([0.0]), optimizer.init(jnp.array([0.0]))
  moves = []
  for _ in range(3):
    updates, state = optimizer.update(jnp.array([-1.0]), state, x)
    moves.append(float(updates[0]))
  np.testing.assert_allclose(moves, [1.0, 0.5, 0.0], atol=1e-6)


@pytest.mark.parametrize(
  ("wrong", "words"),
  [
    ({"learning_rate": 0.0}, "learning_rate=0.0"),
    ({"learning_rate": -1.0}, "learning_rate=-1.0"),
    ({"learning_rate": float("nan")}, "learning_rate=nan"),
    ({"decay": 1.0}, "decay=1.0"),
    ({"name": "rmsporp"}, "did you mean 'rmsprop'"),
    ({"schedule": "cos"}, "did you mean 'cosine'"),
  ],
)
def test_impossible_settings_are_refused(wrong, words):
  with pytest.raises(InputError, match=words):
    build_optimizer(**{"name": "rmsprop", "learning_rate": 1e-3} | wrong)
