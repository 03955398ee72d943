import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from short_runs import first

from seqsum.models.encoder import ConvEncoder
from seqsum.models.packed_model import PackedModel
from seqsum.runtime.devices import make_mesh
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import SUM
from seqsum.training.evaluate import eval_step
from seqsum.training.experiment import build_objective
from seqsum.training.metrics import NEVER, Totals
from seqsum.training.optimizers import build_optimizer
from seqsum.training.parallel import compile_init, compile_step
from seqsum.training.state import Experiment, batch_key, init_state
from seqsum.training.step import train_step, train_steps
from seqsum.training.updates import is_finite

SHAPE = (28, 28, 1)


@functools.cache
def make(
  batch_size=16,
  loss="mse",
  rate=1e-3,
  per_step=False,
  log_norms=False,
  accumulate=1,
  **sampler,
):
  encoder = functools.partial(
    ConvEncoder, features=(4, 4), kernels=(5, 3), strides=(2, 2)
  )
  return Experiment(
    model=PackedModel(encoder=encoder, widths=(16,)),
    objective=build_objective(loss),
    optimizer=build_optimizer("rmsprop", rate),
    sampler=Sampler(SUM, batch_size, **sampler),
    per_step=per_step,
    accumulate=accumulate,
    log_norms=log_norms,
  )


@functools.cache
def compiled(function, experiment, devices=1):
  """`init_state`, `train_steps` or `eval_step`, compiled as in training."""
  mesh = make_mesh(jax.devices()[:devices])
  if function is init_state:
    return compile_init(experiment, mesh, SHAPE)
  donate = function is train_steps
  return compile_step(function, mesh, experiment=experiment, donate=donate)


def begin(experiment, devices=1, seed=0):
  """The initial state, on several devices."""
  return compiled(init_state, experiment, devices)(seed)


def train(experiment, data, devices, steps, seed=0, count=None):
  state = begin(experiment, devices, seed)
  step = compiled(train_steps, experiment, devices)
  losses = []
  for _ in range(steps):
    state, totals = step(state, Totals.zero(), count, seed, *data)
    losses.append(totals.means()["loss"])
  return state, losses


@pytest.fixture(scope="module")
def data(bundled):
  return bundled.train


def test_a_step_follows_the_gradient_of_the_mean_loss(data):
  experiment = dataclasses.replace(make(), optimizer=optax.sgd(0.1))
  state = begin(experiment, seed=5)
  after, totals = jax.jit(functools.partial(train_step, experiment=experiment))(
    state, 5, *data
  )
  batch = experiment.sampler(batch_key(5, 1, 0), *data)

  def loss(params):
    outputs = experiment.model.apply(params, batch.frames)
    last = outputs[jnp.arange(16), batch.lengths - 1, 0]
    final = batch.targets[jnp.arange(16), batch.lengths - 1]
    return jnp.mean((last - final) ** 2)

  value, grads = jax.jit(jax.value_and_grad(loss))(state.params)
  np.testing.assert_allclose(totals.means()["loss"], value, rtol=1e-5)
  np.testing.assert_allclose(totals.squared, totals.loss, rtol=1e-6)
  jax.tree.map(
    lambda old, g, new: np.testing.assert_allclose(
      new, old - 0.1 * g, atol=1e-5
    ),
    state.params,
    grads,
    after.params,
  )
  assert after.step == 1


def test_a_per_step_loss_covers_every_real_step(data):
  experiment = make(per_step=True)
  state = begin(experiment)
  _, totals = jax.jit(functools.partial(train_step, experiment=experiment))(
    state, 0, *data
  )
  batch = experiment.sampler(batch_key(0, 1, 0), *data)
  outputs = experiment.model.apply(state.params, batch.frames)[..., 0]
  real = np.arange(4) < np.asarray(batch.lengths)[:, None]
  expected = np.square(outputs - batch.targets)[real]
  assert totals.loss_count == real.sum() == 40
  np.testing.assert_allclose(totals.loss, expected.sum(), rtol=1e-5)
  assert totals.means()["mse"] != totals.means()["loss"]


@pytest.mark.slow
def test_eight_devices_have_the_losses_of_one_for_50_steps(data):
  _, one = train(make(32), data, 1, 50)
  _, eight = train(make(32), data, 8, 50)
  assert np.mean(one[-10:]) < 0.8 * np.mean(one[:10])
  np.testing.assert_allclose(one, eight, rtol=1e-5)


@pytest.mark.parametrize(
  ("devices", "parts", "per_step"),
  first([(1, 2, True), (1, 4, False), (4, 2, True)]),
)
def test_accumulated_gradients_are_those_of_the_whole_batch(
  data, devices, parts, per_step
):
  kwargs = {"per_step": per_step, "log_norms": True, "rate": 1e-4}
  whole, losses = train(make(32, **kwargs), data, 1, 6)
  cut, others = train(make(32, accumulate=parts, **kwargs), data, devices, 6)
  np.testing.assert_allclose(losses, others, rtol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5),
    whole.params,
    cut.params,
  )


@pytest.mark.devices(8)
def test_pmap_has_the_losses_of_jit(data):
  experiment = make(32)
  _, one = train(experiment, data, 1, 5)
  step = jax.pmap(
    functools.partial(train_step, experiment=experiment, axis_name="i"),
    axis_name="i",
    in_axes=(0, None, None, None),
  )
  state = jax.device_get(begin(experiment))
  state = jax.tree.map(lambda x: np.stack([x] * 8), state)
  losses = []
  for _ in range(5):
    state, totals = step(state, 0, *data)
    losses.append(jax.tree.map(lambda x: x[3], totals).means()["loss"])
  np.testing.assert_allclose(one, losses, rtol=1e-5)


@pytest.mark.slow
def test_several_steps_in_one_call_equal_single_steps(data):
  one, _ = train(make(), data, 1, 6)
  three, _ = train(make(), data, 1, 2, count=3)
  assert one.step == three.step == 6
  # Relative as well: the mean squares of RMSProp are as large as 20.
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
    one,
    three,
  )


@pytest.mark.slow
def test_num_steps_and_seed_do_not_recompile(data):
  experiment = make()
  mesh = make_mesh(jax.devices()[:1])
  step = compile_step(train_steps, mesh, experiment=experiment, donate=False)
  state = begin(experiment)
  totals = Totals.zero()
  for seed, count in ((0, 1), (1, 2), (2, 5)):
    state, totals = step(state, totals, count, seed, *data)
  assert step._cache_size() <= 2  # Totals of NumPy first, then of JAX


def test_the_seed_determines_parameters_and_sequences(data):
  _, first = train(make(), data, 1, 2, seed=0)
  _, again = train(make(), data, 1, 2, seed=0)
  _, other = train(make(), data, 1, 2, seed=1)
  assert first == again
  assert first[0] != other[0]


@pytest.mark.slow
def test_ten_images_can_be_memorized(data):
  """With one image per digit, sums of one and two digits become exact."""
  experiment = make(32, rate=3e-3, max_len=2)
  first = [np.flatnonzero(data.labels == d)[0] for d in range(10)]
  few = data.images[first], data.labels[first]
  _, losses = train(experiment, few, 1, 400)
  assert losses[0] > 20
  assert np.mean(losses[-20:]) < 0.3


def test_the_first_loss_has_its_recorded_value(data):
  """It changes only if sampling, the model or the loss changes."""
  _, losses = train(make(), data, 1, 1)
  np.testing.assert_allclose(losses, [FIRST_LOSS], rtol=1e-4)


FIRST_LOSS = 156.8789


@pytest.mark.slow
def test_totals_have_the_first_nonfinite_step(data):
  experiment = make(rate=1e30)
  _, totals = jax.jit(functools.partial(train_step, experiment=experiment))(
    begin(experiment), 0, *data
  )
  assert totals.nonfinite == NEVER
  mesh = make_mesh(jax.devices()[:1])
  step = compile_step(train_steps, mesh, experiment=experiment, donate=False)
  state, totals = step(begin(experiment), Totals.zero(), 4, 0, *data)
  assert 2 <= totals.nonfinite <= 4
  assert not is_finite(state.params)


def totals_of_a_step(experiment, data, devices=1):
  step = compiled(train_steps, experiment, devices)
  state = begin(experiment, devices)
  return begin(experiment), step(state, Totals.zero(), None, 0, *data)[
    1
  ].means()


@pytest.mark.parametrize("devices", first([1, 4]))
def test_norms_are_those_of_real_frames_and_of_the_whole_gradient(
  data, devices
):
  experiment = make(log_norms=True)
  state, means = totals_of_a_step(experiment, data, devices)
  batch = experiment.sampler(batch_key(0, 1, 0), *data)
  real = np.arange(4) < np.asarray(batch.lengths)[:, None]
  model, params = experiment.model, state.params
  frames = np.asarray(batch.frames)[real] / np.float32(255)
  encoder = {"params": params["params"]["encoder"]}
  features = model.encoder().apply(encoder, frames)

  def loss(params):
    outputs = model.apply(params, batch.frames)[..., 0]
    last = batch.lengths - 1
    error = (outputs - batch.targets)[jnp.arange(16), last]
    return jnp.mean(error**2)

  leaves = jax.tree.leaves(jax.jit(jax.grad(loss))(params))
  gradient = np.sqrt(sum(np.square(leaf).sum() for leaf in leaves))
  expected = {
    "encoded_rms": np.sqrt(np.square(features).mean()),
    "gradient_norm": gradient,
  }
  for name, value in expected.items():
    np.testing.assert_allclose(means[name], value, rtol=1e-5)
    np.testing.assert_allclose(means[f"{name}_max"], value, rtol=1e-5)


@pytest.mark.slow
def test_log_norms_adds_four_metrics_and_changes_no_other(data):
  _, off = totals_of_a_step(make(), data)
  _, on = totals_of_a_step(make(log_norms=True), data)
  assert set(on) - set(off) == {
    "encoded_rms",
    "encoded_rms_max",
    "gradient_norm",
    "gradient_norm_max",
  }
  for name, value in off.items():
    np.testing.assert_allclose(value, on[name], rtol=1e-5)


@pytest.mark.slow
def test_the_curriculum_applies_to_training_only(data):
  experiment = make(curriculum_steps=3)  # 1, 2, 3 frames, then up to 4
  mesh = make_mesh(jax.devices()[:1])
  step = compile_step(train_steps, mesh, experiment=experiment, donate=False)
  state = begin(experiment)
  for longest in (1, 2, 3, 4, 4):
    batch = experiment.sampler(
      batch_key(0, 1, state.step), *data, step=state.step
    )
    assert batch.lengths.max() == longest
    outputs = experiment.model.apply(state.params, batch.frames)[..., 0]
    error = (outputs - batch.targets)[jnp.arange(16), batch.lengths - 1]
    state, totals = step(state, Totals.zero(), None, 0, *data)
    np.testing.assert_allclose(totals.squared, (error**2).sum(), rtol=1e-4)
  key = jax.random.key_data(jax.random.key(7))
  read = functools.partial(eval_step, state.params, key, *data)
  assert read(experiment=experiment).lengths.max() == 4
  np.testing.assert_array_equal(
    read(experiment=experiment).targets, read(experiment=make()).targets
  )


@pytest.mark.parametrize("devices", first([4, 1]))
def test_predictions_are_the_same_on_any_number_of_devices(data, devices):
  experiment = make()
  params = begin(experiment).params
  key = jax.random.key_data(jax.random.key(7))
  read = jax.jit(functools.partial(eval_step, experiment=experiment))
  expected = read(params, key, *data)
  step = compiled(eval_step, experiment, devices)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
    step(begin(experiment, devices).params, key, *data),
    expected,
  )
