"""The recipes of CONTRIBUTING.md: each new object trains for a few steps.

A test adds the object to the dictionary that the recipe edits.
"""

import functools

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import own
from configs import sum_tiny as base
from seqsum import train
from seqsum.data import recordings
from seqsum.models import cores
from seqsum.runtime.signals import StopRequest
from seqsum.sequences import tasks
from seqsum.training import checks, losses, optimizers


@pytest.fixture
def train_with(tmp_path):
  """Trains the tiny config with some fields changed; returns the summary."""

  def train_with(config=None, **fields):
    config = config or base.get_config()
    config.epochs = 1
    config.sequences_per_epoch = 32
    config.batch_size = config.eval_batch_size = config.eval_sequences = 8
    config.log_every = 2
    config.model.conv.features = (4, 4)
    config.model.hidden_sizes = (8,)
    config.update_from_flattened_dict(fields)
    summary = train.train_and_evaluate(
      config, tmp_path / "run", StopRequest(), report=False
    )
    assert summary["best_step"] == 4
    assert np.isfinite(summary["test"]["loss"])
    return summary

  return train_with


@pytest.mark.slow
def test_a_new_task(monkeypatch, train_with):
  task = tasks.Task("odd", 0.0, lambda count, digit: count + digit % 2)
  monkeypatch.setitem(tasks.TASKS, "odd", task)
  summary = train_with(**{"task.name": "odd"})
  assert set(summary["test"]["by_target"]) <= {"0", "1", "2", "3", "4"}


class LeakyCell(nn.RNNCellBase):
  """h' = h + a (tanh(W x + U h) - h), with a learned scalar a."""

  features: int
  activation_fn: object = nn.tanh
  kernel_init: object = nn.initializers.lecun_normal()
  recurrent_kernel_init: object = nn.initializers.orthogonal()
  dtype: object = None

  @nn.compact
  def __call__(self, carry, inputs):
    dense = functools.partial(nn.Dense, self.features, dtype=self.dtype)
    x = dense(kernel_init=self.kernel_init, name="i")(inputs)
    h = dense(kernel_init=self.recurrent_kernel_init, name="h")(carry)
    rate = self.param("rate", nn.initializers.constant(0.5), ())
    carry = carry + rate * (self.activation_fn(x + h) - carry)
    return carry, carry

  @nn.nowrap
  def initialize_carry(self, rng, input_shape):
    return jnp.zeros((*input_shape[:-1], self.features))

  @property
  def num_feature_axes(self):
    return 1


@pytest.mark.slow
@pytest.mark.parametrize(
  "recurrence", ["fused", pytest.param("flax", marks=pytest.mark.slow)]
)
def test_a_new_core(monkeypatch, train_with, recurrence):
  monkeypatch.setitem(cores.CORES, "leaky", cores.Core("leaky", LeakyCell))
  # The check has a copy of the names, made when it was imported.
  names = [*checks.CHOICES["model.core"], "leaky"]
  monkeypatch.setitem(checks.CHOICES, "model.core", names)
  train_with(**{"model.core": "leaky", "model.recurrence": recurrence})


@pytest.mark.slow
def test_a_new_loss(monkeypatch, train_with):
  quartic = functools.partial(losses.regression, lambda p, y: (p - y) ** 4)
  monkeypatch.setitem(losses.LOSSES, "quartic", quartic)
  train_with(loss="quartic")


@pytest.mark.slow
def test_a_new_optimizer(monkeypatch, train_with):
  lion = lambda rate, **_: optax.lion(rate)
  monkeypatch.setitem(optimizers.OPTIMIZERS, "lion", lion)
  train_with(**{"optimizer.name": "lion"})


class TextSource:
  """A text file with one sequence per line: the brightness of each frame.

  The target is the sum so far.
  """

  pictures, sizes, splits = None, (), None
  shape, floats = (8, 8, 1), False

  def __init__(self, path):
    self.fingerprint = path.read_bytes()
    lines = self.fingerprint.decode().splitlines()
    self._rows = [np.array(line.split(), np.uint8) for line in lines]
    self.lengths = np.array([len(row) for row in self._rows], np.int32)
    sums = [row.cumsum(dtype=np.float32) for row in self._rows]
    longest = max(self.lengths)
    self.targets = np.stack(
      [np.pad(x, (0, longest - len(x)), mode="edge") for x in sums]
    )

  def read(self, n):
    row = self._rows[n][:, None, None, None]
    return np.broadcast_to(row, (len(row), *self.shape))


@pytest.mark.slow
def test_a_new_data_format(monkeypatch, train_with, tmp_path):
  monkeypatch.setitem(recordings.READERS, "txt", TextSource)
  lines = (f"{n} {2 * n} {n % 7}"[: 3 + n % 5] for n in range(40))
  (tmp_path / "mine.txt").write_text("\n".join(lines))
  config = own.get_config()
  config.model.conv.kernels = config.model.conv.strides = (3, 1)
  config.model.conv.pool = (1, 1)
  summary = train_with(config, **{"data.name": f"txt:{tmp_path / 'mine.txt'}"})
  assert summary["dataset"].startswith("txt:")
