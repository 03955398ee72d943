"""Runs of configs/addition.py on the bundled digits, in this process."""

import numpy as np
import pytest
from short_runs import summary

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
