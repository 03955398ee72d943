"""Runs of configs/addition.py on the bundled digits, in this process."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from short_runs import lines, summary

from configs import addition
from seqsum import train
from seqsum.runs.restore import restore_best
from seqsum.runs.session import open_session
from seqsum.runtime.signals import StopRequest
from seqsum.studies import probes


def config(**changes):
  config = addition.get_config()
  config.addition.digits = 2
  config.update_from_flattened_dict(
    {
      "epochs": 1,
      "sequences_per_epoch": 8_000,
      "eval_sequences": 64,
      "eval_batch_size": 32,
      "data.name": "digits",
      "sequence.num_sequences": 0,
    }
    | changes
  )
  return config


@pytest.fixture(scope="module")
def run(tmp_path_factory):
  workdir = tmp_path_factory.mktemp("addition") / "run"
  assert train.train_and_evaluate(config(), workdir, StopRequest())
  return workdir


@pytest.mark.slow
def test_digits_are_learned_from_the_digits_of_sums(run):
  test = summary(run)["test"]
  assert test["digit_accuracy"] > 0.9
  assert test["exact_accuracy"] > 0.7


@pytest.mark.slow
def test_reshuffled_is_the_accuracy_of_dealt_digits(run):
  with open_session(config(), run, is_new=False) as session:
    with session.checkpoints() as checkpoints:
      _, state = restore_best(session, checkpoints)
    found = probes.reshuffled(session, state.evaluated, times=3)
    images, labels = session.data.feed("test", None, 1)(0)
  images, labels = np.asarray(images), np.asarray(labels)
  outputs = session.experiment.model.apply(state.evaluated, images[:, None])
  core = session.experiment.objective.fold
  read = np.asarray(core.digits(outputs))[:, 0]
  assert found["digit_accuracy"] == pytest.approx((read == labels).mean())
  rng, shares = np.random.default_rng(0), []
  for _ in range(3):
    deal = rng.permutation(len(labels))[: len(labels) // 4 * 4].reshape(-1, 4)
    right = []
    for frames in deal:  # ones of both numbers, then tens
      a, b = labels[frames] @ [1, 0, 10, 0], labels[frames] @ [0, 1, 0, 10]
      c, d = read[frames] @ [1, 0, 10, 0], read[frames] @ [0, 1, 0, 10]
      right.append(a + b == c + d)
    shares.append(np.mean(right))
  assert found["first_deal"] == pytest.approx(shares[0])
  assert found["exact_accuracy"] == pytest.approx(np.mean(shares))
  assert found["deviation"] == pytest.approx(np.std(shares))
  # Probabilities are averaged over each image and its augmented copies.
  augment, key = session.experiment.sampler.augmentation, jax.random.key(0)
  total = core.probabilities(outputs)[:, 0]
  for i in range(probes.COPIES):
    moves = augment.draw(jax.random.fold_in(key, i), (len(images),))
    moved = augment(jnp.asarray(images), moves)
    copies = session.experiment.model.apply(state.evaluated, moved[:, None])
    total += core.probabilities(copies)[:, 0]
  averaged = (np.asarray(total).argmax(axis=-1) == labels).mean()
  assert found["averaged"]["digit_accuracy"] == pytest.approx(averaged)
  assert averaged != (read == labels).mean()


def learned(core="gru", **changes):
  """The config of a small learned recurrence; one digit comes first."""
  return config(
    **{
      "addition.digits": 3,
      "sequence.curriculum": 0.5,
      "sequence.elastic": 0.0,
      "sequences_per_epoch": 160,
      "checkpoint.every_steps": 5,
      "log_every": 5,
      "loss": "cross_entropy",
      "model.core": core,
      "model.conv.features": (4,),
      "model.conv.kernels": (5,),
      "model.conv.strides": (3,),
      "model.conv.pool": (1,),
      "model.dense": (),
      "model.hidden_sizes": (8,),
    }
    | changes
  )


@pytest.mark.slow
@pytest.mark.parametrize(
  ("core", "loss"),
  [("gru", "cross_entropy"), ("lstm", "huber"), ("simple", "mse")],
)
def test_a_learned_recurrence_trains(core, loss, tmp_path):
  """Numbers of 2 and 3 digits; `by_step` has no half column."""
  changes = {"sequence.min_len": 4, "loss": loss}
  run = tmp_path / "run"
  assert train.train_and_evaluate(
    learned(core, **changes), run, StopRequest(), report=False
  )
  test = summary(run)["test"]
  assert {n: x["count"] for n, x in test["by_length"].items()} == {
    "4": 32,
    "6": 32,
  }
  assert set(test["by_step"]) == (
    {"2", "4", "6"} if loss == "cross_entropy" else set("123456")
  )
  assert test["by_step"]["6"]["count"] == 32
  assert np.isfinite([x["mse"] for x in test["by_step"].values()]).all()
  assert all(np.isfinite(x["loss"]) for x in lines(run))


@pytest.mark.slow
def test_accuracy_by_column_of_a_constant_prediction(tmp_path):
  """33 and a leading 1, for numbers of any number of digits."""
  with open_session(learned(), tmp_path / "run") as session:
    params = session.init(0).params
    params["params"]["head"] = {
      "kernel": jnp.zeros((8, 12)),
      "bias": jax.nn.one_hot(3, 12) + jax.nn.one_hot(11, 12),
    }
    found = probes.by_columns(session, params, (1, 3), 2_000)
  assert [x["columns"] for x in found] == [1, 3]
  assert [x["trained"] for x in found] == [False, True]
  for x in found:
    assert len(x["digits"]) == x["columns"] + 1
    np.testing.assert_allclose(x["digits"][:-1], 0.1, atol=0.03)
    np.testing.assert_allclose(x["digits"][-1], 0.5, atol=0.08)
    assert x["exact_accuracy"] < 0.07
