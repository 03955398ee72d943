import jax
import jax.numpy as jnp
import numpy as np

from seqsum.models import packing

ROWS = (4, 4, 2, 1, 0)


def test_pack_by_hand():
  padded = jnp.arange(20).reshape(4, 5)  # row b, step t holds 5 b + t
  packed = packing.pack(padded, ROWS)
  np.testing.assert_array_equal(packed, [0, 5, 10, 15, 1, 6, 11, 16, 2, 7, 3])


def test_unpack_undoes_pack_and_leaves_zeros():
  padded = jax.random.normal(jax.random.key(0), (4, 5, 3))
  back = packing.unpack(packing.pack(padded, ROWS), ROWS, 4)
  is_real = np.arange(4)[:, None] < np.array(ROWS)[None]
  np.testing.assert_array_equal(back, np.where(is_real[..., None], padded, 0))


def test_scan_updates_each_row_while_it_has_real_frames():
  padded = jnp.ones((4, 5))
  step = lambda carry, x: (carry + x, carry + x)
  out = packing.scan(step, jnp.zeros(4), packing.pack(padded, ROWS), ROWS)
  np.testing.assert_array_equal(
    packing.unpack(out, ROWS, 4),
    [[1, 2, 3, 4, 0], [1, 2, 3, 0, 0], [1, 2, 0, 0, 0], [1, 2, 0, 0, 0]],
  )


def test_a_loop_equals_unrolled_steps(monkeypatch):
  inputs = jax.random.normal(jax.random.key(0), (sum(ROWS), 3))

  def read(inputs):
    step = lambda carry, x: (jnp.sin(carry + x), carry * x)
    return packing.scan(step, jnp.ones((4, 3)), inputs, ROWS)

  unrolled, back = jax.vjp(read, inputs)
  monkeypatch.setattr(packing, "MAX_UNROLL", 2)
  loop, loop_back = jax.vjp(read, inputs)
  np.testing.assert_allclose(loop, unrolled, rtol=1e-6)
  np.testing.assert_allclose(loop_back(loop)[0], back(loop)[0], rtol=1e-5)
  assert "while" in jax.jit(read).lower(inputs).as_text()
