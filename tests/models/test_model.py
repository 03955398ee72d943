import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_runs import first, init

from seqsum.models.cores import CORES, Core
from seqsum.models.encoder import ConvEncoder
from seqsum.models.model import SequenceModel
from seqsum.models.packed_model import PackedModel
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import SUM

SMALL = functools.partial(
  ConvEncoder, features=(2, 3), kernels=(4, 3), strides=(1, 2)
)
NORMALIZED = functools.partial(SMALL, features=(2, 4), group_size=2)


class MinimalCell(nn.RNNCellBase):
  """h' = f(W x + b + h): a cell that has no packed form."""

  features: int
  activation_fn: Callable = nn.tanh
  kernel_init: nn.initializers.Initializer = nn.initializers.ones
  recurrent_kernel_init: nn.initializers.Initializer = nn.initializers.ones
  dtype: Any = None

  @nn.compact
  def __call__(self, carry, inputs):
    x = nn.Dense(
      self.features, kernel_init=self.kernel_init, dtype=self.dtype, name="i"
    )(inputs)
    carry = self.activation_fn(x + carry)
    return carry, carry

  @nn.nowrap
  def initialize_carry(self, rng, input_shape):
    return jnp.zeros((*input_shape[:-1], self.features))

  @property
  def num_feature_axes(self):
    return 1


MINIMAL = Core("minimal", MinimalCell)
EVERY_CORE = CORES | {"minimal": MINIMAL}
each_core = pytest.mark.parametrize(
  "core", first(EVERY_CORE.values()), ids=EVERY_CORE
)
each_model = pytest.mark.parametrize(
  "model", first([PackedModel, SequenceModel])
)
both_models = pytest.mark.parametrize("model", [PackedModel, SequenceModel])


def make(model, encoder=SMALL, widths=(6, 5), **kwargs):
  return model(encoder=encoder, widths=widths, **kwargs)


@pytest.fixture
def frames():
  return jax.random.uniform(jax.random.key(1), (8, 4, 12, 12, 1))


def real(batch):
  return np.arange(batch.targets.shape[1]) < np.asarray(batch.lengths)[:, None]


def test_the_default_network_has_5_291_005_parameters():
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


@each_core
def test_both_models_have_the_same_parameters(frames, core):
  plain, packed = (
    init(make(model, core=core), frames)
    for model in (SequenceModel, PackedModel)
  )
  jax.tree.map(np.testing.assert_array_equal, plain, packed)


@pytest.mark.parametrize("packed", first([True, False]))
def test_both_models_have_equal_values_and_gradients(bundled, packed):
  """With the default sizes, on a batch of real digits."""
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
  plain, plain_grad = read(SequenceModel(), None)
  fast, fast_grad = read(PackedModel(), sampler.rows())
  np.testing.assert_allclose(fast, plain, rtol=1e-5)
  scale = max(abs(x).max() for x in jax.tree.leaves(plain_grad))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * scale),
    fast_grad,
    plain_grad,
  )


@pytest.mark.parametrize(
  "kwargs",
  first(
    [
      {"encoder": functools.partial(SMALL, pools=(2, 1))},
      {"encoder": NORMALIZED},
      *({"core": core} for core in EVERY_CORE.values()),
      {"cell_activation": nn.relu},
      {"widths": ()},
      {"input_max": 255.0},
    ]
  ),
  ids=lambda kwargs: "-".join(kwargs),
)
def test_every_option_has_equal_values_in_both_models(frames, kwargs):
  rows = (8, 6, 4, 2)
  plain, packed = (make(m, **kwargs) for m in (SequenceModel, PackedModel))
  params = init(plain, frames)
  weight = jax.random.normal(jax.random.key(3), (8, 4, 1))
  weight = weight * (np.arange(8)[:, None] < np.array(rows))[..., None]

  @functools.partial(jax.jit, static_argnums=1)
  def read(params, model):
    total = lambda p: (model.apply(p, frames, rows) * weight).sum()
    return jax.value_and_grad(total)(params)

  value, gradients = read(params, plain)
  scale = max(abs(x).max() for x in jax.tree.leaves(gradients))
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * scale),
    read(params, packed),
    (value, gradients),
  )


@both_models
def test_without_recurrent_layers_frames_are_independent(frames, model):
  model = make(model, widths=(), outputs=3)
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
  ("model", "widths"),
  first(
    [
      (model, widths)
      for widths in ((6, 5), ())
      for model in (
        functools.partial(PackedModel, remat=5),
        PackedModel,
        SequenceModel,
      )
    ]
  ),
)
def test_the_mean_square_of_the_features_is_an_intermediate(
  frames, model, widths
):
  rows = (8, 6, 4, 2)
  model = make(model, widths=widths)
  params = init(model, frames)
  assert set(params) == {"params"}
  apply = jax.jit(model.apply, static_argnums=2, static_argnames="mutable")
  outputs, variables = apply(params, frames, rows, mutable="intermediates")
  np.testing.assert_array_equal(outputs, apply(params, frames, rows))
  encoder = {"params": params["params"]["encoder"]}
  x = jax.jit(SMALL().apply)(encoder, frames.reshape(32, 12, 12, 1))
  is_real = np.arange(8)[:, None] < np.array(rows)
  np.testing.assert_allclose(
    np.asarray(variables["intermediates"]["mean_squares"][0])[is_real],
    np.square(x).mean(axis=1).reshape(8, 4)[is_real],
    rtol=1e-5,
  )


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 5, 20, 64])
def test_rematerialization_keeps_values_and_gradients(frames, chunk):
  rows = (8, 6, 4, 2)  # 20 frames
  kept, again = make(PackedModel), make(PackedModel, remat=chunk)
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
def test_the_plain_model_equals_a_loop_over_cells(frames, core):
  model = make(SequenceModel, core=core)
  params = init(model, frames)
  tree = params["params"]
  cells = [core.cell(width) for width in (6, 5)]

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


@each_model
def test_noise_in_the_padding_changes_no_real_output(images, model):
  sampler = Sampler(SUM, 8)
  batch = jax.jit(sampler)(jax.random.key(0), *images)
  noise = jax.random.randint(jax.random.key(1), batch.frames.shape, 0, 256)
  mask = real(batch)
  noisy = jnp.where(
    mask[..., None, None, None], batch.frames, noise.astype(jnp.uint8)
  )
  model = make(model)
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


@both_models
def test_an_output_depends_on_every_earlier_frame_and_no_later_one(
  frames, model
):
  model = make(model)
  params = init(model, frames)
  read = lambda frames: model.apply(params, frames)[0, :, 0]
  jacobian = jax.jit(jax.jacrev(read))(frames)[:, 0]
  depends = abs(jacobian).max(axis=(2, 3, 4)) > 0  # [output step, frame]
  np.testing.assert_array_equal(depends, np.tri(4, dtype=bool))


def test_a_normalized_frame_does_not_depend_on_others(frames):
  model = make(PackedModel, NORMALIZED, widths=())
  params = init(model, frames)
  together = model.apply(params, frames)
  alone = model.apply(params, frames[:1, :1])
  np.testing.assert_allclose(together[0, 0], alone[0, 0], atol=1e-6)


def test_channels_are_normalized_in_groups_of_each_frame():
  encoder = ConvEncoder((4,), (1,), (1,), (1,), (), 2, activation=lambda x: x)
  images = jax.random.uniform(jax.random.key(0), (3, 5, 6, 4))
  params = encoder.init(jax.random.key(1), images)
  kernel = jnp.asarray([[jnp.eye(4)]])
  params["params"]["conv_0"]["kernel"] = kernel
  x = np.asarray(images, np.float64).reshape(3, 5 * 6, 2, 2)
  variance = x.var((1, 3), keepdims=True) + 1e-6
  expected = (x - x.mean((1, 3), keepdims=True)) / np.sqrt(variance)
  np.testing.assert_allclose(
    encoder.apply(params, images), expected.reshape(3, -1), atol=2e-5
  )


def test_uint8_frames_are_scaled_to_0_1(images):
  frames = jnp.asarray(images[0][:8]).reshape(2, 4, 28, 28, 1) * 12
  model = make(PackedModel)
  params = init(model, frames)
  read = jax.jit(model.apply)
  np.testing.assert_allclose(
    read(params, frames),
    read(params, frames.astype(jnp.float32) / 255),
    atol=1e-6,
  )


@each_model
def test_input_max_scales_integer_and_floating_frames(images, model):
  frames = jnp.asarray(images[0][:8]).reshape(2, 4, 28, 28, 1) * 12
  raw, shares = make(model, input_max=255.0), make(model)
  params = init(raw, frames)
  read_raw, read_shares = jax.jit(raw.apply), jax.jit(shares.apply)
  expected = read_shares(params, frames.astype(jnp.float32))
  np.testing.assert_allclose(read_raw(params, frames), expected, atol=1e-5)
  np.testing.assert_allclose(
    read_raw(params, frames / jnp.float32(255)), expected, atol=1e-5
  )
  assert abs(expected - read_shares(params, frames)).max() > 0.01


@each_model
def test_bfloat16_stays_near_float32_with_float32_parameters(frames, model):
  exact_model, model = make(model), make(model, dtype=jnp.bfloat16)
  params = init(model, frames)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  outputs = jax.jit(model.apply)(params, frames)
  assert outputs.dtype == jnp.float32
  exact = jax.jit(exact_model.apply)(params, frames)
  assert 0 < abs(outputs - exact).max() < 0.05
