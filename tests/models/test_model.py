import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_runs import first, init

from seqsum.models.cores import CORES
from seqsum.models.encoder import ConvEncoder
from seqsum.models.model import SequenceModel
from seqsum.runtime.errors import InputError
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import SUM

SMALL = functools.partial(
  ConvEncoder, features=(2, 3), kernels=(4, 3), strides=(1, 2)
)


each_core = pytest.mark.parametrize("core", first(CORES.values()), ids=CORES)


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


@pytest.mark.parametrize("core", first(CORES.values()), ids=CORES)
def test_both_recurrences_have_the_same_parameters(frames, core):
  plain, fused = (init(make(f, core=core), frames) for f in (False, True))
  jax.tree.map(np.testing.assert_array_equal, plain, fused)


@pytest.mark.parametrize("packed", first([True, False]))
def test_fused_equals_plain_in_values_and_gradients(bundled, packed):
  """The whole network of the post, on a batch of real digits."""
  sampler = Sampler(SUM, 16, packed=packed)
  images, labels = bundled.train
  batch = sampler(jax.random.key(2), images, labels)
  params = init(SequenceModel(), batch.frames)
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


@pytest.mark.parametrize(
  "kwargs",
  first(
    [
      {"encoder": functools.partial(SMALL, pools=(2, 1))},
      *({"core": core} for core in CORES.values()),
      {"cell_activation": nn.relu},
      {"widths": ()},
      {"input_max": 255.0},
    ]
  ),
  ids=lambda kwargs: "-".join(kwargs),
)
def test_every_model_is_the_same_in_both_recurrences(frames, kwargs):
  rows = (8, 6, 4, 2)
  plain, fused = (make(f, **kwargs) for f in (False, True))
  params = init(plain, frames)
  weight = jax.random.normal(jax.random.key(3), (8, 4, 1))
  weight = weight * (np.arange(8)[:, None] < np.array(rows))[..., None]

  @functools.partial(jax.jit, static_argnums=1)
  def read(params, model):
    total = lambda p: (model.read(p, frames, rows, False)[0] * weight).sum()
    return jax.value_and_grad(total)(params)

  value, gradients = read(params, plain)
  scale = max(abs(x).max() for x in jax.tree.leaves(gradients))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * scale),
    read(params, fused),
    (value, gradients),
  )


@pytest.mark.parametrize("fused", [True, False])
def test_without_recurrence_each_frame_is_read_by_itself(frames, fused):
  model = make(fused, widths=(), outputs=3)
  params = init(model, frames)
  tree = params["params"]
  assert set(tree) == {"encoder", "head"}
  encode = jax.jit(SMALL().apply)
  x = encode({"params": tree["encoder"]}, frames.reshape(32, 12, 12, 1))
  expected = x @ tree["head"]["kernel"] + tree["head"]["bias"][None]
  np.testing.assert_allclose(
    jax.jit(model.apply)(params, frames), expected.reshape(8, 4, 3), atol=1e-5
  )


@pytest.mark.parametrize(
  ("fused", "remat", "widths"),
  first(
    [
      (fused, remat, widths)
      for widths in ((6, 5), ())
      for fused, remat in ((True, 5), (True, 0), (False, 0))
    ]
  ),
)
def test_the_size_of_what_enters_the_recurrence(frames, fused, remat, widths):
  rows = (8, 6, 4, 2)
  model = make(fused, remat=remat, widths=widths)
  params = init(model, frames)
  assert set(params) == {"params"}
  read = jax.jit(model.read, static_argnums=(2, 3))
  outputs, aside = read(params, frames, rows, True)
  np.testing.assert_array_equal(outputs, read(params, frames, rows, False)[0])
  encoder = {"params": params["params"]["encoder"]}
  x = jax.jit(SMALL().apply)(encoder, frames.reshape(32, 12, 12, 1))
  alive = np.arange(8)[:, None] < np.array(rows)
  np.testing.assert_allclose(
    np.asarray(aside["squares"])[alive],
    np.square(x).mean(axis=1).reshape(8, 4)[alive],
    rtol=1e-5,
  )


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 5, 20, 64])
def test_rematerialisation_changes_nothing(frames, chunk):
  rows = (8, 6, 4, 2)  # 20 frames
  kept, again = make(True), make(True, remat=chunk)
  params = init(kept, frames)
  jax.tree.map(np.testing.assert_array_equal, params, init(again, frames))
  grad = jax.value_and_grad(
    lambda params, model: (model.apply(params, frames, rows) ** 2).sum()
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    grad(params, kept),
    grad(params, again),
  )


@each_core
def test_the_plain_recurrence_is_a_loop_over_cells(frames, core):
  """nn.RNN, and all frames at once, against cells and encoders by hand."""
  model = make(False, core=core)
  params = init(model, frames)
  tree = params["params"]
  cells = [core.plain(width) for width in (6, 5)]

  @jax.jit
  def by_hand(tree, frames):
    states = [c.initialize_carry(jax.random.key(0), (8, 1)) for c in cells]
    outputs = []
    for t in range(4):
      x = SMALL().apply({"params": tree["encoder"]}, frames[:, t])
      for i, cell in enumerate(cells):
        weights = {"params": tree[f"{core.name}_{i}"]}
        states[i], x = cell.apply(weights, states[i], x)
      outputs.append(nn.Dense(1).apply({"params": tree["head"]}, x))
    return jnp.stack(outputs, axis=1)

  np.testing.assert_allclose(
    jax.jit(model.apply)(params, frames), by_hand(tree, frames), atol=1e-6
  )


@pytest.mark.parametrize("fused", first([True, False]))
def test_noise_in_the_padding_changes_nothing(images, fused):
  sampler = Sampler(SUM, 8)
  batch = jax.jit(sampler)(jax.random.key(0), *images)
  noise = jax.random.randint(jax.random.key(1), batch.frames.shape, 0, 256)
  mask = real(batch)
  noisy = jnp.where(
    mask[..., None, None, None], batch.frames, noise.astype(jnp.uint8)
  )
  model = make(fused)
  params = init(model, batch.frames)

  def loss(params, frames):
    outputs = model.apply(params, frames, sampler.rows())[..., 0]
    return jnp.where(mask, outputs**2, 0).sum(), outputs

  grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
  (blank_loss, blank), blank_grad = grad(params, batch.frames)
  (noisy_loss, noisy), noisy_grad = grad(params, noisy)
  assert blank_loss == noisy_loss
  np.testing.assert_array_equal(blank[mask], noisy[mask])
  jax.tree.map(np.testing.assert_array_equal, blank_grad, noisy_grad)


@pytest.mark.parametrize("fused", [True, False])
def test_every_real_frame_and_no_later_one_matters(frames, fused):
  model = make(fused)
  params = init(model, frames)
  read = lambda frames: model.apply(params, frames)[0, :, 0]
  jacobian = jax.jit(jax.jacrev(read))(frames)[:, 0]
  augmentation = abs(jacobian).max(axis=(2, 3, 4)) > 0  # [output step, frame]
  np.testing.assert_array_equal(augmentation, np.tri(4, dtype=bool))


def test_uint8_frames_are_scaled_to_0_1(images):
  frames = jnp.asarray(images[0][:8]).reshape(2, 4, 28, 28, 1) * 12
  model = make(True)
  params = init(model, frames)
  read = jax.jit(model.apply)
  np.testing.assert_allclose(
    read(params, frames),
    read(params, frames.astype(jnp.float32) / 255),
    atol=1e-6,
  )


@pytest.mark.parametrize("fused", first([True, False]))
def test_raw_pixels_are_what_their_scale_says(images, fused):
  """Frames that are floating already are taken as shares of full ink."""
  frames = jnp.asarray(images[0][:8]).reshape(2, 4, 28, 28, 1) * 12
  raw, shares = make(fused, input_max=255.0), make(fused)
  params = init(raw, frames)
  read_raw, read_shares = jax.jit(raw.apply), jax.jit(shares.apply)
  expected = read_shares(params, frames.astype(jnp.float32))
  np.testing.assert_allclose(read_raw(params, frames), expected, atol=1e-5)
  np.testing.assert_allclose(
    read_raw(params, frames / jnp.float32(255)), expected, atol=1e-5
  )
  assert abs(expected - read_shares(params, frames)).max() > 0.01


@pytest.mark.parametrize(
  ("kwargs", "words"),
  [
    ({}, None),
    ({"kernels": (13, 3)}, r"conv.kernels=\(13, 3\): too large"),
    ({"kernels": (4, 5), "pools": (2, 1)}, r"conv.kernels=\(4, 5\)"),
    ({"pools": (2, 1)}, None),  # 12, 9, 4, 1
    ({"pools": (2, 2)}, r"conv.pool=\(2, 2\): too large for frames of \(12"),
    ({"pools": (10, 1)}, r"conv.pool=\(10, 1\)"),
  ],
)
def test_an_encoder_that_leaves_nothing_is_refused(kwargs, words):
  encoder = SMALL(**kwargs)
  if words:
    with pytest.raises(InputError, match=words):
      encoder.check((12, 12, 1))
  else:
    encoder.check((12, 12, 1))
    x, _ = jax.jit(encoder.init_with_output)(
      jax.random.key(0), jnp.zeros((1, 12, 12, 1))
    )
    assert x.size > 0


@pytest.mark.parametrize("fused", first([True, False]))
def test_bfloat16_stays_near_float32_with_float32_parameters(frames, fused):
  model = make(fused, dtype=jnp.bfloat16)
  params = init(model, frames)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  outputs = jax.jit(model.apply)(params, frames)
  assert outputs.dtype == jnp.float32
  exact = jax.jit(make(fused).apply)(params, frames)
  assert 0 < abs(outputs - exact).max() < 0.05
