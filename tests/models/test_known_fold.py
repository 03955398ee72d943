"""Models with a known fold."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_runs import first, init

from seqsum.models.distribution import build_support
from seqsum.models.encoder import ConvEncoder
from seqsum.models.known_fold import LONG, AdditiveCore, FoldCore
from seqsum.models.model import SequenceModel
from seqsum.models.packed_model import PackedModel
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import PRODUCT, SUM
from seqsum.training.experiment import build_objective
from seqsum.training.fold_loss import FoldObjective

ENCODER = functools.partial(
  ConvEncoder, features=(3,), kernels=(4,), strides=(4,), pools=(1,)
)
NINE = dataclasses.replace(PRODUCT, digits=tuple(range(1, 10)))
CORES = {
  "sum": FoldCore(SUM),
  "product": FoldCore(PRODUCT),
  "nine": FoldCore(NINE),
  "prior": FoldCore(SUM, spread=1.4),
  "additive": AdditiveCore(),
}
LONG_CORES = ("prior", "additive")  # long products have too many values
ROWS = (8, 6, 4, 2)
each_core = pytest.mark.parametrize(
  "core", first(CORES.values(), fast=2), ids=CORES
)


def make(core, model=PackedModel):
  return model(
    encoder=ENCODER, widths=(), outputs=core.outputs, known_fold=core
  )


@functools.partial(jax.jit, static_argnums=(0, 3))
def apply(model, params, frames, rows):
  outputs, variables = model.apply(
    params, frames, rows, mutable=["intermediates"]
  )
  return outputs, variables["intermediates"]


@pytest.fixture
def frames():
  return jax.random.uniform(jax.random.key(1), (8, 4, 12, 12, 1))


@each_core
def test_both_models_have_equal_values_and_gradients(core, frames):
  plain, packed = make(core, SequenceModel), make(core)
  params = init(plain, frames)
  jax.tree.map(np.testing.assert_array_equal, params, init(packed, frames))
  is_real = np.arange(8)[:, None] < np.array(ROWS)

  @functools.partial(jax.jit, static_argnums=1)
  def read(params, model):
    def total(params):
      outputs, intermediates = apply(model, params, frames, ROWS)
      outputs = jnp.exp(outputs) if core.outputs > 1 else outputs
      wave = jnp.cos(jnp.arange(outputs.size, dtype=jnp.float32))
      seen = outputs * wave.reshape(outputs.shape)
      total = jnp.where(is_real[..., None], seen, 0).sum()
      return total, intermediates["fold_inputs"][0]

    return jax.value_and_grad(total, has_aux=True)(params)

  (value, inputs), gradient = read(params, plain)
  (other, packed_inputs), other_gradient = read(params, packed)
  np.testing.assert_allclose(value, other, rtol=1e-5)
  np.testing.assert_allclose(inputs[is_real], packed_inputs[is_real], atol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5),
    gradient,
    other_gradient,
  )


@each_core
def test_the_plain_model_equals_a_loop_over_steps(core, frames):
  model = make(core, SequenceModel)
  params = init(model, frames)
  assert set(params["params"]) == {"encoder", "head"}
  outputs, intermediates = apply(model, params, frames, ROWS)
  carry = core.start(8, 4)
  step = jax.jit(functools.partial(core.step, 4))
  for t in range(4):
    carry, _ = step(carry, intermediates["fold_inputs"][0][:, t])
    np.testing.assert_allclose(outputs[:, t], carry, atol=1e-5)


def test_the_additive_core_adds_its_inputs(frames):
  model = make(AdditiveCore())
  params = init(model, frames)
  outputs, intermediates = apply(model, params, frames, (8,) * 4)
  expected = np.cumsum(intermediates["fold_inputs"][0], axis=1)
  np.testing.assert_allclose(outputs, expected, rtol=1e-5)
  numbers = jnp.array([[-3.0], [0.4], [6.6], [12.0], [jnp.nan]])
  np.testing.assert_array_equal(AdditiveCore().digits(numbers), [0, 0, 7, 9, 0])


def test_digits_are_the_most_likely():
  inputs = jnp.eye(9)[jnp.array([0, 4, 8])]
  np.testing.assert_array_equal(FoldCore(NINE).digits(inputs), [1, 5, 9])


def objective(core, time):
  if isinstance(core, AdditiveCore):
    return build_objective("mse")
  return FoldObjective(core)


@pytest.mark.parametrize(
  ("name", "time", "model"),
  first(
    [
      (name, time, model)
      for model in (PackedModel, SequenceModel)
      for name, time in (
        *((name, 3) for name in CORES),
        *((name, LONG + 4) for name in LONG_CORES),
      )
    ]
  ),
)
def test_noise_in_the_padding_changes_no_loss(name, time, model, images):
  core = CORES[name]
  task = core.task if core.outputs > 1 else SUM
  sampler = Sampler(task, 8, max_len=time)
  batch = jax.jit(sampler)(jax.random.key(0), images[0][1:10], images[1][1:10])
  real = np.arange(time) < np.asarray(batch.lengths)[:, None]
  noise = jax.random.randint(jax.random.key(1), batch.frames.shape, 0, 256)
  noisy = jnp.where(
    real[..., None, None, None], batch.frames, noise.astype(jnp.uint8)
  )
  model, goal = make(core, model), objective(core, time)
  params = init(model, batch.frames)
  last = np.arange(time) == np.asarray(batch.lengths)[:, None] - 1

  def loss(params, frames):
    outputs = model.apply(params, frames, sampler.rows())
    output = goal(outputs, batch.targets, batch.lengths)
    return jnp.where(last, output.losses, 0).sum(), output.predictions[last]

  grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
  (one, predictions), gradient = grad(params, batch.frames)
  (two, noisy_predictions), other = grad(params, noisy)
  assert np.isfinite(one)
  assert one == two
  np.testing.assert_array_equal(predictions, noisy_predictions)
  jax.tree.map(np.testing.assert_array_equal, gradient, other)


def test_the_prior_is_gaussian_over_the_digits():
  core = FoldCore(SUM, spread=1.5)
  digits = np.arange(10)
  assert core.outputs == 11
  for centre in (4.5, 3.0, 6.25):
    outputs = np.zeros(11, np.float32)
    outputs[-1] = (centre - 4.5) / 1.5**2
    prior = np.exp(-((digits - centre) ** 2) / (2 * 1.5**2))
    np.testing.assert_allclose(
      np.exp(core.inputs(outputs)), prior / prior.sum(), rtol=1e-5
    )
  # The logits of the head are added.
  outputs[3] = 2.0
  prior[3] *= np.exp(2.0)
  np.testing.assert_allclose(
    np.exp(core.inputs(outputs)), prior / prior.sum(), rtol=1e-5
  )


def test_the_prior_covers_only_the_digits_of_the_task():
  prior = FoldCore(NINE, spread=2.0).inputs(np.zeros(10, np.float32))
  assert prior.shape == (9,)
  assert prior.argmax() == 4  # the digit 5
  np.testing.assert_allclose(prior, prior[::-1], rtol=1e-6)


def test_the_loss_is_the_negative_log_likelihood_of_the_label():
  core = FoldCore(SUM)
  goal = objective(core, 2)
  support = build_support(SUM, 2)
  outputs = jnp.log(jnp.full((1, 2, 19), 0.5 / 18).at[0, :, 7].set(0.5))
  losses, predictions, means = goal(
    outputs, jnp.array([[7.0, 3.0]]), jnp.array([2])
  )
  np.testing.assert_allclose(losses, -np.log([[0.5, 0.5 / 18]]), rtol=1e-5)
  np.testing.assert_array_equal(predictions, [[7, 7]])
  others = (support.values.sum() - 7) * 0.5 / 18
  np.testing.assert_allclose(means, [[3.5 + others] * 2], rtol=1e-5)


@pytest.mark.slow
def test_long_sums_have_only_a_final_prediction():
  time = LONG + 1
  core = FoldCore(SUM)
  goal = objective(core, time)
  sure = jax.nn.log_softmax(30.0 * jnp.eye(10)[jnp.arange(time) % 10])[None]
  target = jnp.cumsum(jnp.arange(time) % 10).astype(jnp.float32)[None]
  losses, *predictions = jax.jit(goal)(sure, target, jnp.array([time]))
  for values in predictions:
    assert np.isnan(values[0, :-1]).all()
    np.testing.assert_allclose(values[0, -1], target[0, -1], rtol=1e-5)
  np.testing.assert_allclose(losses[0, -1], 0, atol=1e-4)
