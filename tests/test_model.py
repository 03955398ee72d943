import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqsum.model import ConvEncoder, SequenceModel
from seqsum.sequences import Sampler
from seqsum.tasks import SUM

SMALL = functools.partial(
  ConvEncoder, features=(2, 3), kernels=(4, 3), strides=(1, 2)
)


def make(fused, encoder=SMALL, widths=(6, 5), **kwargs):
  return SequenceModel(encoder=encoder, widths=widths, fused=fused, **kwargs)


@pytest.fixture
def frames():
  return jax.random.uniform(jax.random.key(1), (8, 4, 12, 12, 1))


def real(batch):
  return np.arange(batch.targets.shape[1]) < np.asarray(batch.lengths)[:, None]


def test_the_posts_network_has_5_291_005_parameters():
  shapes = jax.eval_shape(
    SequenceModel().init, jax.random.key(0), jnp.zeros((1, 1, 28, 28, 1))
  )
  sizes = {
    layer: sum(x.size for x in jax.tree.leaves(tree))
    for layer, tree in shapes["params"].items()
  }
  assert sizes == {
    "encoder": 8 * 17 + 16 * 73,
    "gru_0": 3 * 200 * (8464 + 200 + 1) + 200,
    "gru_1": 3 * 100 * (200 + 100 + 1) + 100,
    "head": 101,
  }
  assert sum(sizes.values()) == 5_291_005


def test_both_recurrences_have_the_same_parameters(frames):
  key = jax.random.key(0)
  plain, fused = (make(f).init(key, frames) for f in (False, True))
  jax.tree.map(np.testing.assert_array_equal, plain, fused)


@pytest.mark.parametrize("packed", [True, False])
def test_fused_equals_plain_in_values_and_gradients(bundled, packed):
  """The whole network of the post, on a batch of real digits."""
  sampler = Sampler(SUM, 16, packed=packed)
  images, labels = bundled.train
  batch = sampler(jax.random.key(2), images, labels)
  params = SequenceModel().init(jax.random.key(0), batch.frames)
  weight = jax.random.normal(jax.random.key(3), (16, 4, 1))
  weight = weight * real(batch)[..., None]
  read = functools.partial(
    jax.jit(
      jax.value_and_grad(
        lambda params, model, rows: (
          model.apply(params, batch.frames, rows) * weight
        ).sum(),
      ),
      static_argnums=(1, 2),
    ),
    params,
  )
  plain, plain_grad = read(SequenceModel(fused=False), None)
  fused, fused_grad = read(SequenceModel(fused=True), sampler.rows())
  np.testing.assert_allclose(fused, plain, rtol=1e-5)
  scale = max(abs(x).max() for x in jax.tree.leaves(plain_grad))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * scale),
    fused_grad,
    plain_grad,
  )


@pytest.mark.parametrize("chunk", [1, 5, 20, 64])
def test_rematerialisation_changes_nothing(frames, chunk):
  rows = (8, 6, 4, 2)  # 20 frames
  make_params = lambda m: m.init(jax.random.key(0), frames[:1, :1])
  kept, again = make(True), make(True, remat=chunk)
  params = make_params(kept)
  jax.tree.map(np.testing.assert_array_equal, params, make_params(again))
  grad = jax.value_and_grad(
    lambda params, model: (model.apply(params, frames, rows) ** 2).sum()
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    grad(params, kept),
    grad(params, again),
  )


def test_the_plain_recurrence_is_a_loop_over_cells(frames):
  """nn.RNN and nn.vmap against cells and encoders called by hand."""
  model = make(False)
  params = model.init(jax.random.key(0), frames)
  tree = params["params"]
  states = [jnp.zeros((8, 6)), jnp.zeros((8, 5))]
  outputs = []
  for t in range(4):
    x = SMALL().apply({"params": tree["encoder"]}, frames[:, t])
    for i, width in enumerate((6, 5)):
      cell = nn.GRUCell(width)
      states[i], x = cell.apply({"params": tree[f"gru_{i}"]}, states[i], x)
    outputs.append(nn.Dense(1).apply({"params": tree["head"]}, x))
  np.testing.assert_allclose(
    model.apply(params, frames), jnp.stack(outputs, axis=1), atol=1e-6
  )


@pytest.mark.parametrize("fused", [True, False])
def test_noise_in_the_padding_changes_nothing(images, fused):
  sampler = Sampler(SUM, 8)
  batch = sampler(jax.random.key(0), *images)
  noise = jax.random.randint(jax.random.key(1), batch.frames.shape, 0, 256)
  mask = real(batch)
  noisy = jnp.where(
    mask[..., None, None, None], batch.frames, noise.astype(jnp.uint8)
  )
  model = make(fused)
  params = model.init(jax.random.key(0), batch.frames)

  def loss(params, frames):
    outputs = model.apply(params, frames, sampler.rows())[..., 0]
    return jnp.where(mask, outputs**2, 0).sum(), outputs

  grad = jax.value_and_grad(loss, has_aux=True)
  (blank_loss, blank), blank_grad = grad(params, batch.frames)
  (noisy_loss, noisy), noisy_grad = grad(params, noisy)
  assert blank_loss == noisy_loss
  np.testing.assert_array_equal(blank[mask], noisy[mask])
  jax.tree.map(np.testing.assert_array_equal, blank_grad, noisy_grad)


@pytest.mark.parametrize("fused", [True, False])
def test_every_real_frame_and_no_later_one_matters(frames, fused):
  model = make(fused)
  params = model.init(jax.random.key(0), frames)
  jacobian = jax.jacrev(lambda f: model.apply(params, f)[0, :, 0])(frames)[:, 0]
  moves = abs(jacobian).max(axis=(2, 3, 4)) > 0  # [output step, frame]
  np.testing.assert_array_equal(moves, np.tri(4, dtype=bool))


def test_uint8_frames_are_scaled_to_0_1(images):
  frames = jnp.asarray(images[0][:8]).reshape(2, 4, 28, 28, 1) * 12
  model = make(True)
  params = model.init(jax.random.key(0), frames)
  np.testing.assert_allclose(
    model.apply(params, frames),
    model.apply(params, frames.astype(jnp.float32) / 255),
    atol=1e-6,
  )


@pytest.mark.parametrize("fused", [True, False])
def test_bfloat16_stays_near_float32_with_float32_parameters(frames, fused):
  model = make(fused, dtype=jnp.bfloat16)
  params = model.init(jax.random.key(0), frames)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  outputs = model.apply(params, frames)
  assert outputs.dtype == jnp.float32
  exact = make(fused).apply(params, frames)
  assert 0 < abs(outputs - exact).max() < 0.05
