import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seqsum.training.optimizers import build_optimizer


def test_rmsprop_by_hand():
  """v = 0.9 v + 0.1 g^2; x = x - rate g / sqrt(v + 1e-7), as in Keras."""
  optimizer = build_optimizer("rmsprop", 0.1, decay=0.9)
  x = jnp.array([1.0])
  state = optimizer.init(x)
  v, expected = 0.0, 1.0
  for g in (2.0, -3.0):
    updates, state = optimizer.update(jnp.array([g]), state)
    x = optax.apply_updates(x, updates)
    v = 0.9 * v + 0.1 * g * g
    expected -= 0.1 * g / np.sqrt(v + 1e-7)
  np.testing.assert_allclose(x, [expected], rtol=1e-6)


def test_the_cosine_schedule_ends_at_0():
  optimizer = build_optimizer(
    "sgd", 1.0, schedule="cosine", steps=2, momentum=0.0
  )
  x, state = jnp.array([0.0]), optimizer.init(jnp.array([0.0]))
  augmentation = []
  for _ in range(3):
    updates, state = optimizer.update(jnp.array([-1.0]), state, x)
    augmentation.append(float(updates[0]))
  np.testing.assert_allclose(augmentation, [1.0, 0.5, 0.0], atol=1e-6)


@pytest.mark.parametrize(
  ("schedule", "expected"),
  [
    ("constant", [0.25, 0.5, 0.75, 1, 1, 1]),
    ("cosine", [0.25, 0.5, 0.75, 1, 1, 0.5]),
  ],
)
def test_the_rate_rises_linearly_during_warmup(schedule, expected):
  """Over four of six steps; half a cosine covers the other two."""
  optimizer = build_optimizer(
    "sgd", 1.0, schedule=schedule, steps=6, warmup=4 / 6, momentum=0.0
  )
  x, state = jnp.array([0.0]), optimizer.init(jnp.array([0.0]))
  augmentation = []
  for _ in range(6):
    updates, state = optimizer.update(jnp.array([-1.0]), state, x)
    augmentation.append(float(updates[0]))
  np.testing.assert_allclose(augmentation, expected, atol=1e-6)


@pytest.mark.parametrize(
  ("clip_norm", "move"),
  [(0.0, [-3.0, -4.0]), (1.0, [-0.6, -0.8]), (9.0, [-3.0, -4.0])],
)
def test_the_global_norm_is_clipped_before_the_optimizer(clip_norm, move):
  optimizer = build_optimizer("sgd", 1.0, clip_norm=clip_norm, momentum=0.0)
  x = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
  gradient = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}  # of norm 5
  updates, _ = optimizer.update(gradient, optimizer.init(x), x)
  np.testing.assert_allclose([*updates["a"], *updates["b"]], move, rtol=1e-6)


@pytest.mark.parametrize(
  ("name", "own"), [("rmsprop", "decay"), ("adam", "b1"), ("sgd", "momentum")]
)
def test_each_optimizer_uses_its_own_parameter_alone(name, own):
  def second_update(**changes):
    parameters = {"decay": 0.9, "b1": 0.9, "momentum": 0.9} | changes
    optimizer = build_optimizer(name, 0.1, **parameters)
    state = optimizer.init(jnp.array([1.0]))
    for gradient in (1.0, 3.0):
      update, state = optimizer.update(jnp.array([gradient]), state)
    return update.item()

  for parameter in ("decay", "b1", "momentum"):
    changes = second_update(**{parameter: 0.5}) != second_update()
    assert changes == (parameter == own)
