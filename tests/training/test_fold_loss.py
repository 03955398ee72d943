"""Likelihoods of observed folds, and what digits they can identify."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_runs import first

from configs.beyond import folds
from seqsum.models import carry
from seqsum.models.known_fold import FoldCore
from seqsum.sequences.scenes import distinct_sum
from seqsum.sequences.tasks import TASKS
from seqsum.training import fold_loss
from seqsum.training.fold_loss import FoldObjective, VideoObjective

each_task = pytest.mark.parametrize(  # the sets compile longer than all others
  "task",
  [
    pytest.param(
      task, id=name, marks=[pytest.mark.slow] if name == "distinct" else []
    )
    for name, task in TASKS.items()
  ],
)
# The others have the code of these two.
slow_but_two = pytest.mark.parametrize(
  "task",
  [
    pytest.param(
      task, id=name, marks=[] if name in ("sum", "sorted") else pytest.mark.slow
    )
    for name, task in TASKS.items()
  ],
)


def random_classes(*shape):
  logits = jax.random.normal(jax.random.key(0), (*shape, 10))
  return jax.nn.log_softmax(2 * logits)


@slow_but_two
def test_the_likelihood_of_a_target_is_that_of_all_sequences(task):
  """A network that knows only distributions of three digits."""
  digits = random_classes(3)
  sequences = jnp.array(list(itertools.product(range(10), repeat=3)))
  lengths = jnp.full(len(sequences), 3)
  targets = task.running(sequences, lengths)
  weights = np.exp(digits[jnp.arange(3), sequences].sum(axis=1))
  core = FoldCore(task)

  @jax.jit
  def compute(digits):
    outputs = core.running(digits[None])
    many = jnp.broadcast_to(outputs, (len(targets), *outputs.shape[1:]))
    return FoldObjective(core)(many, targets, lengths)

  output = compute(digits)
  for t in range(3):
    values, index = np.unique(targets[:, t], return_inverse=True)
    expected = np.bincount(index, weights)
    found = np.exp(-output.losses[:, t])
    np.testing.assert_allclose(found, expected[index], rtol=1e-4)
    likeliest = values[expected.argmax()]
    np.testing.assert_array_equal(output.predictions[:, t], likeliest)


@each_task
def test_probabilities_are_those_of_the_targets(task):
  objective = FoldObjective(FoldCore(task))
  outputs = jax.jit(FoldCore(task).running)(random_classes(2, 3))
  predictions, probabilities = objective.decode(outputs)
  support = objective.support(3)
  np.testing.assert_array_equal(support, task.reachable(3, min_len=0))
  assert probabilities.shape == (2, 3, len(support))
  np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
  np.testing.assert_array_equal(predictions, support[probabilities.argmax(-1)])
  bad, _ = objective.decode(outputs.at[0].set(jnp.nan))
  assert np.isnan(bad[0]).all()
  assert not np.isnan(bad[1]).any()


@functools.partial(jax.jit, static_argnums=(0, 3))
def expected_loss(task, classes, relabellings, lengths):
  """[R], the loss of a classifier whose classes are permuted, on all sequences.

  `classes` are log-probabilities of the classes given the digit, [10, 10];
  `relabellings` are [R, 10] permutations; `lengths` of the sequences.
  """
  objective = FoldObjective(FoldCore(task))

  def loss(relabelling):
    total = 0.0
    for time in lengths:
      digits = jnp.array(list(itertools.product(range(10), repeat=time)))
      many = jnp.full(len(digits), time)
      outputs = FoldCore(task).running(classes[:, relabelling][digits])
      output = objective(outputs, task.running(digits, many), many)
      total += output.losses[:, -1].mean()
    return total

  return jax.lax.map(loss, relabellings)


def keeps(task, relabellings, lengths):
  """[R] bool, which relabellings keep the expected loss."""
  relabellings = jnp.array([range(10), *relabellings])
  losses = expected_loss(task, random_classes(10), relabellings, lengths)
  return np.abs(losses[1:] - losses[0]) < 1e-5


def swap(a, b):
  order = list(range(10))
  order[a], order[b] = b, a
  return order


@each_task
def test_which_digits_the_labels_tell_apart(task):
  """Those that cannot be swapped, as in the groups of the study.

  Parity tells the odd from the even digits, one bit; the count of threes a 3
  from the others. All other folds of one and two digits tell all ten.
  """
  pairs = list(itertools.combinations(range(10), 2))
  lengths = (2,) if task.name == "sorted" else (1, 2)
  kept = keeps(task, [swap(*pair) for pair in pairs], lengths)
  group = folds.GROUPS.get(task.name, range(10))
  np.testing.assert_array_equal(kept, [group[a] == group[b] for a, b in pairs])


def test_shifts_that_sums_modulo_10_do_not_tell():
  """Of two digits: that by 5. The lengths 1 or 3 tell it."""
  shifts = [[(k + c) % 10 for k in range(10)] for c in range(1, 10)]
  mod10 = TASKS["mod10"]
  np.testing.assert_array_equal(
    np.flatnonzero(keeps(mod10, shifts, (2,))) + 1, [5]
  )
  assert not keeps(mod10, shifts, (1, 2)).any()
  assert not keeps(mod10, shifts, (3,)).any()


def test_reversed_digits_are_not_sorted():
  assert not keeps(TASKS["sorted"], [range(9, -1, -1)], (2,)).any()


def test_shifts_that_differences_do_not_tell_without_the_leading_digit():
  """All ten; with it, which is 1 if x >= y, none but that by 0."""
  digits = jnp.array(list(itertools.product(range(10), repeat=2)))
  lengths = jnp.full(100, 2)
  last = (digits[:, 0] - digits[:, 1]) % 10
  x_is_larger = digits[:, 0] >= digits[:, 1]

  def likelihoods(shift):
    """Mean log-likelihood of the last digit, and of both."""
    outputs = jnp.roll(random_classes(10), shift, axis=1)[digits]
    both = jnp.stack(
      [
        carry.log_likelihood(
          outputs, jnp.stack([last, leading], axis=1), lengths, subtracts=True
        )
        for leading in (0 * last, 0 * last + 1)
      ]
    )
    seen = both[x_is_larger.astype(int), jnp.arange(100)]
    return jax.nn.logsumexp(both, axis=0).mean(), seen.mean()

  found = np.array(jax.lax.map(jax.jit(likelihoods), jnp.arange(10))).T
  np.testing.assert_allclose(found[:, 0], found[0, 0], atol=1e-5)
  assert (np.abs(found[1:, 1] - found[0, 1]) > 1e-3).all()


def test_importance_of_frames_is_that_of_their_likeliest_digits():
  """It is no part of the loss, which is that of the distinct sum."""
  fold = FoldCore(TASKS["distinct"], in_loss=True)
  outputs = random_classes(2, 9)
  digits = np.asarray(outputs.argmax(-1))
  sums = distinct_sum(digits)
  pairs = VideoObjective(fold, False, with_importance=True)
  alone = VideoObjective(fold, False, with_importance=False)

  @jax.jit
  def compute(outputs):
    lengths = jnp.full(2, 9)
    targets = jnp.stack([sums, jnp.full_like(sums, 7.0)], axis=-1)
    one = pairs(outputs, targets, lengths), pairs.decode(outputs)
    return *one, alone(outputs, sums, lengths)

  found, (decoded, probabilities), only = compute(outputs)
  np.testing.assert_array_equal(found.losses, only.losses)
  np.testing.assert_array_equal(found.predictions[..., 0], only.predictions)
  expected = [
    [d / (row == d).sum() if d else 0.0 for d in row] for row in digits
  ]
  np.testing.assert_allclose(found.predictions[..., 1], expected, rtol=1e-6)
  np.testing.assert_array_equal(decoded, found.predictions)
  assert probabilities.shape == (2, 9, 46)
  np.testing.assert_array_equal(pairs.support(9), np.arange(46))
  likelihoods = jnp.take_along_axis(
    probabilities, sums.astype(int)[..., None], axis=-1
  )
  np.testing.assert_allclose(
    found.losses, -np.log(likelihoods[..., 0]), atol=1e-5
  )


@pytest.mark.parametrize(
  "task", first([TASKS[name] for name in ("sorted", *TASKS)])
)
def test_conditional_losses_add_up_to_the_loss_of_all_targets(task):
  """Of all thousand sequences of three digits, with their probabilities."""
  digits = random_classes(3)
  sequences = jnp.array(list(itertools.product(range(10), repeat=3)))
  lengths = jnp.full(len(sequences), 3)
  targets = np.asarray(task.running(sequences, lengths))
  weights = np.exp(digits[jnp.arange(3), sequences].sum(axis=1))
  _, first, index = np.unique(
    targets, axis=0, return_index=True, return_inverse=True
  )
  expected = -np.log(np.bincount(index.ravel(), weights))
  many = jnp.broadcast_to(digits, (len(first), 3, 10))
  losses = jax.jit(fold_loss.conditional_losses, static_argnums=0)(
    task, many, targets[first]
  )
  np.testing.assert_allclose(losses.sum(axis=1), expected, rtol=1e-4)
  np.testing.assert_allclose(
    losses[:, 0],
    -np.log([weights[targets[:, 0] == x].sum() for x in targets[first, 0]]),
    rtol=1e-4,
    atol=1e-5,
  )
