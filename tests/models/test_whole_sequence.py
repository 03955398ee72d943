"""Cores that see the whole sequence: values, gradients, padding, lengths."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_runs import first, init

from seqsum.models import packing
from seqsum.models.encoder import ConvEncoder
from seqsum.models.model import SequenceModel
from seqsum.models.packed_model import PackedModel
from seqsum.models.whole_sequence import (
  HEADS,
  WHOLE_CORES,
  Attention,
  positions,
)

ENCODER = functools.partial(
  ConvEncoder, features=(2, 3), kernels=(3, 2), strides=(1, 2)
)
ROWS = (6, 6, 5, 3)  # an upper bound of the lengths
LENGTHS = np.array([4, 4, 3, 2, 2, 1])
REAL = np.arange(4) < LENGTHS[:, None]
cases = pytest.mark.parametrize("name", first(list(WHOLE_CORES)))
many = pytest.mark.parametrize(
  ("model", "name"),
  first([(m, n) for m in (PackedModel, SequenceModel) for n in WHOLE_CORES]),
)


def make(model, name, widths=(4,), **kwargs):
  core = WHOLE_CORES[name]
  return model(encoder=ENCODER, core=core, widths=widths, **kwargs)


@pytest.fixture(scope="module")
def frames():
  return jax.random.uniform(jax.random.key(1), (6, 4, 6, 6, 1))


def noisy(params):
  """Adds noise, because a bias of zero cannot show that it is used."""
  leaves, tree = jax.tree.flatten(params)
  draw = np.random.default_rng(0).normal
  return tree.unflatten([x + 0.2 * draw(size=x.shape) for x in leaves])


def gradients(model, params, frames, rows=ROWS, lengths=LENGTHS):
  """Outputs, and the gradients of a function of the real ones."""
  real = np.arange(frames.shape[1]) < np.asarray(lengths)[:, None]

  def loss(params, frames, lengths):
    outputs = model.apply(params, frames, rows, lengths)
    weight = jnp.sin(jnp.arange(real.size)).reshape(real.shape)
    return jnp.where(real, outputs[..., 0] * weight, 0).sum(), outputs[..., 0]

  read = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
  (of_params, of_frames), outputs = read(params, frames, jnp.asarray(lengths))
  return np.where(real, outputs, 0), of_params, of_frames


def assert_close(a, b):
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-5), a, b
  )


@cases
def test_both_models_are_equal_on_ragged_batches(frames, name):
  plain, packed = (
    make(model, name, widths=(4, 6)) for model in (SequenceModel, PackedModel)
  )
  params = init(plain, frames)
  jax.tree.map(np.testing.assert_array_equal, params, init(packed, frames))
  params = noisy(params)
  outputs, of_params, of_frames = gradients(packed, params, frames)
  assert_close(
    (outputs, of_params, of_frames), gradients(plain, params, frames)
  )
  np.testing.assert_array_equal(of_frames[~REAL], 0)
  assert abs(of_frames[REAL]).max(axis=(1, 2, 3)).min() > 0


@many
def test_noise_in_the_padding_changes_nothing(frames, model, name):
  model = make(model, name)
  params = noisy(init(model, frames))
  noise = jnp.where(REAL[..., None, None, None], frames, 1 - 3 * frames)
  one, other = (gradients(model, params, x) for x in (frames, noise))
  jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.slow
@many
def test_a_batch_equals_each_sequence_alone(frames, model, name):
  model = make(model, name)
  params = noisy(init(model, frames))
  outputs, _, _ = gradients(model, params, frames)
  apply = jax.jit(model.apply)
  for row in (0, 2, 5):  # of lengths 4, 3 and 1
    alone = apply(params, frames[row, : LENGTHS[row]][None])[0, :, 0]
    np.testing.assert_allclose(
      outputs[row, : LENGTHS[row]], alone, rtol=1e-5, atol=1e-5
    )


@pytest.mark.slow
@many
def test_every_output_depends_on_every_real_frame(frames, model, name):
  model = make(model, name)
  params = noisy(init(model, frames))
  read = lambda x: model.apply(params, x, None, LENGTHS[2:3])[0, :, 0]
  jacobian = jax.jit(jax.jacrev(read))(frames[2:3])[:, 0]
  depends = abs(jacobian).max(axis=(2, 3, 4)) > 0
  np.testing.assert_array_equal(depends[:3], [[True] * 3 + [False]] * 3)


@pytest.mark.slow
@cases
def test_rows_may_be_permuted(frames, name):
  model = make(SequenceModel, name)
  params = noisy(init(model, frames))
  order = np.array([3, 0, 5, 1, 4, 2])
  apply = jax.jit(model.apply, static_argnums=2)
  np.testing.assert_allclose(
    apply(params, frames[order], None, LENGTHS[order])[REAL[order]],
    apply(params, frames, None, LENGTHS)[order][REAL[order]],
    atol=1e-6,
  )


@pytest.mark.slow
@cases
def test_packed_rows_are_the_lengths_if_none_are_given(frames, name):
  model = make(PackedModel, name)
  params = init(model, frames)
  apply = jax.jit(model.apply, static_argnums=2)
  rows = tuple(REAL.sum(axis=0).tolist())
  np.testing.assert_allclose(
    apply(params, frames, rows), apply(params, frames, rows, LENGTHS), atol=1e-6
  )


@pytest.mark.slow
@many
def test_bfloat16_stays_near_float32(frames, model, name):
  exact, rough = make(model, name), make(model, name, dtype=jnp.bfloat16)
  params = init(rough, frames)
  assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  outputs = jax.jit(rough.apply, static_argnums=2)(
    params, frames, ROWS, LENGTHS
  )
  assert outputs.dtype == jnp.float32
  expected = jax.jit(exact.apply, static_argnums=2)(
    params, frames, ROWS, LENGTHS
  )
  assert 0 < abs(outputs - expected)[REAL].max() < 0.1


@pytest.mark.slow
@cases
def test_long_sequences_are_loops(name):
  frames = jax.random.uniform(jax.random.key(2), (3, 40, 6, 6, 1))
  rows, lengths = (3,) * 30 + (2,) * 10, np.array([40, 33, 17])
  plain, packed = make(SequenceModel, name), make(PackedModel, name, remat=7)
  params = noisy(init(plain, frames))
  assert_close(
    gradients(packed, params, frames, rows, lengths),
    gradients(plain, params, frames, rows, lengths),
  )


def test_reversal_by_hand():
  rows = (3, 3, 2)
  packed = jnp.array([0, 10, 20, 1, 11, 21, 2, 12])
  order = packing.reversal(rows, jnp.array([3, 2, 1]))
  np.testing.assert_array_equal(packed[order], [2, 11, 20, 1, 10, 21, 0, 12])
  np.testing.assert_array_equal(packing.lengths(rows), [3, 3, 2])


def test_attention_by_hand():
  """The block, by NumPy, from the formulas of its docstring."""
  x = np.random.default_rng(1).normal(size=(2, 3, 8)).astype(np.float32)
  block = Attention(8)
  params = noisy(block.init(jax.random.key(0), x))
  p = jax.tree.map(np.asarray, params["params"])
  norm = lambda x, q: (
    ((x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6))
    * q["scale"]
    + q["bias"]
  )
  h = x + np.asarray(positions(jnp.arange(3), 8))
  y = norm(h, p["attention_norm"])
  q, k, v = (
    np.einsum("btf,fhd->bthd", y, p["attention"][n]["kernel"])
    + p["attention"][n]["bias"]
    for n in ("query", "key", "value")
  )
  scores = np.exp(np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(8 / HEADS))
  scores[0, :, :, 2] = 0  # the first sequence has two frames
  scores /= scores.sum(axis=-1, keepdims=True)
  mixed = np.einsum("bhqk,bkhd->bqhd", scores, v)
  out = p["attention"]["out"]
  h += np.einsum("bqhd,hdf->bqf", mixed, out["kernel"]) + out["bias"]
  hidden = norm(h, p["dense_norm"]) @ p["dense_0"]["kernel"]
  hidden = np.tanh(hidden + p["dense_0"]["bias"])
  h += hidden @ p["dense_1"]["kernel"] + p["dense_1"]["bias"]
  got = block.apply(params, x, np.array([2, 3]))
  np.testing.assert_allclose(got, h, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@cases
def test_the_cell_activation_changes_the_result(frames, name):
  tanh = make(SequenceModel, name)
  other = make(SequenceModel, name, cell_activation=nn.gelu)
  params = init(tanh, frames)
  assert not np.allclose(
    *(jax.jit(m.apply)(params, frames) for m in (tanh, other))
  )
