import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.runs.checkpoints import Checkpoints
from seqsum.runtime.devices import make_mesh, replicated


def tree(value, mesh):
  made = {"a": jnp.full((3, 2), value), "step": jnp.int32(value)}
  return jax.device_put(made, replicated(mesh))


def test_the_newest_few_and_the_best_are_kept(tmp_path):
  mesh = make_mesh(jax.devices()[:1])
  with Checkpoints(tmp_path / "c", keep=2) as checkpoints:
    assert checkpoints.latest_step is None
    best = None
    for step in range(1, 7):
      checkpoints.save(step, tree(step, mesh), best)
      best = min(step, 2)  # step 2 stays the best
    checkpoints.wait()
    assert checkpoints.latest_step == 6
  kept = sorted(int(p.name) for p in (tmp_path / "c").iterdir())
  assert kept == [2, 5, 6]


@pytest.mark.devices(8)
def test_a_checkpoint_is_restored_on_other_devices(tmp_path):
  one, eight = make_mesh(jax.devices()[:1]), make_mesh()
  with Checkpoints(tmp_path) as checkpoints:
    checkpoints.save(3, tree(7, one))
  abstract_state = jax.eval_shape(lambda: tree(0, eight))
  abstract_state = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(
      x.shape, x.dtype, sharding=replicated(eight)
    ),
    abstract_state,
  )
  with Checkpoints(tmp_path) as checkpoints:
    restored = checkpoints.restore(checkpoints.latest_step, abstract_state)
  jax.tree.map(np.testing.assert_array_equal, restored, tree(7, one))
  assert len(restored["a"].sharding.device_set) == 8


def test_donating_the_state_does_not_change_a_pending_save(
  tmp_path,
):
  mesh = make_mesh(jax.devices()[:1])
  state = tree(1, mesh)
  step = jax.jit(lambda t: jax.tree.map(lambda x: x + 1, t), donate_argnums=0)
  with Checkpoints(tmp_path, keep=100) as checkpoints:
    for n in range(1, 30):
      checkpoints.save(n, state)
      state = step(state)
    for n in (1, 15, 29):
      saved = checkpoints.restore(n, tree(0, mesh))
      assert saved["step"] == n
      assert (saved["a"] == n).all()
