"""Measurements of trained models beyond the test metrics.

Each is a function (session, best parameters) -> JSON, see `plan.Study.measure`.
"""

import copy
import dataclasses
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from seqsum.runs.results import first_filters
from seqsum.runs.session import Session
from seqsum.runtime.devices import replicated
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.shapes import Feed
from seqsum.training import scores
from seqsum.training.evaluate import make_evaluator
from seqsum.training.experiment import build_experiment
from seqsum.training.metrics import is_exact
from seqsum.training.state import TEST, TRAIN

LENGTHS = (*range(1, 21), 50, 100)
COLUMNS = (1, 2, 4, 8, 15, 30)
IMAGES = 1_000  # images that are read at a time
COPIES = 16  # augmented copies of each image, for test-time averaging


def by_length(
  session: Session,
  params: optax.Params,
  lengths: tuple[int, ...] = LENGTHS,
  sequences: int = 1000,
  frames: int = 200_000,
  deformed: Collection[int] = (),
) -> list[dict[str, Any]]:
  """Test metrics of sequences of one length, for each of several lengths.

  Args:
    lengths: Lengths in frames; may exceed those in training.
    sequences: Number of sequences of each length.
    frames: Limit on their frames, sequences x length.
    deformed: Of these lengths, "deformed" has the metrics of training images,
      moved as in training. Infinite MNIST (Loosli et al. 2007), with which
      other work tests, has deformed training images too.

  Returns:
    For each length, "length" and the metrics of `training.scores.measure`.
  """

  def measure(length: int, sampler: Any, feed: Feed) -> dict[str, Any]:
    read = make_evaluator(
      dataclasses.replace(session.experiment, sampler=sampler),
      session.mesh,
      TEST,
      feed,
      sequences=min(sequences, max(1, frames // length)),
      batch_size=session.mesh.size * max(1, min(100, 1000 // length)),
    )
    return scores.measure(read(params), session.experiment.per_step)

  found = []
  for length in lengths:
    sampler: Any = dataclasses.replace(
      session.experiment.sampler, min_len=length, max_len=length
    )
    line = {"length": length, **measure(length, sampler, session.feed(TEST))}
    if length in deformed:
      moved = MovedSampler(**vars(sampler))
      line["deformed"] = measure(length, moved, session.feed(TRAIN))
    found.append(line)
  return found


class MovedSampler(Sampler):
  """Its held-out sequences are augmented as in training."""

  def held_out(self, batch_size: int) -> Sampler:
    return dataclasses.replace(self, batch_size=batch_size, num_sequences=0)


def by_columns(
  session: Session,
  params: optax.Params,
  columns: tuple[int, ...] = COLUMNS,
  sequences: int = 1000,
  frames: int = 20_000,
) -> list[dict[str, Any]]:
  """Test accuracy of additions, for several lengths of the numbers.

  Args:
    columns: Digits of each number; may exceed those in training.
    sequences: Number of additions of each.
    frames: Limit on their frames.

  Returns:
    For each of `columns`, "columns"; "trained", whether training has as many;
    "exact_accuracy"; and "digits", the accuracy of each digit of the sum, least
    significant first. The last one is the leading digit, 0 or 1.
  """
  found = []
  for number in columns:
    config = copy.deepcopy(session.config)
    config.sequence.min_len = config.sequence.max_len = 2 * number
    config.sequence.num_sequences = 0
    read = make_evaluator(
      build_experiment(config),
      session.mesh,
      TEST,
      session.feed(TEST),
      sequences=min(sequences, max(1, frames // (2 * number))),
      batch_size=session.mesh.size * max(1, 500 // number),
    )
    reading = read(params)
    error = reading.final(reading.predictions) - reading.final(reading.targets)
    right = np.abs(error) < reading.tolerance
    found.append(
      {
        "columns": number,
        "trained": 2 * number == session.config.sequence.max_len,
        "exact_accuracy": float(right.all(axis=-1).mean()),
        "digits": right.mean(axis=0).tolist(),
      }
    )
  return found


def by_target(
  session: Session, params: optax.Params, sequences: int = 100_000
) -> dict[str, dict[str, Any]]:
  """Test metrics and `count` for every target, over many sequences."""
  read = dataclasses.replace(session.evaluator(TEST), sequences=sequences)
  return scores.break_down(read(params))["by_target"]


def by_pair(session: Session, params: optax.Params) -> dict[str, Any]:
  """For test sequences of two digits: [10][10] counts `seen` and `right`."""
  reading = session.evaluator(TEST)(params)
  right = is_exact(
    reading.final(reading.predictions), reading.final(reading.targets)
  )
  digits = np.asarray(reading.labels)[:, :2].T
  seen, hits = np.zeros((2, 10, 10), int)
  np.add.at(seen, tuple(digits), 1)
  np.add.at(hits, tuple(digits), right)
  return {"seen": seen.tolist(), "right": hits.tolist()}


def reshuffled(
  session: Session, params: optax.Params, times: int = 200
) -> dict[str, Any]:
  """Exact additions when each test image is in one, over random deals.

  The protocol of multi-digit addition is one deal, which has few additions: 10
  of two numbers of 500 digits. The mean over `times` deals has little noise.
  The core must be 'carry', whose digits do not depend on other frames.

  Returns:
    "exact_accuracy", the mean over deals; "deviation", that of one deal;
    "first_deal", its exact accuracy; and "digit_accuracy", all in 0..1.
    "averaged" has the same of digits read by test-time averaging, see
    `_read_digits`.
  """
  plain, averaged = (
    _deal(session, *_read_digits(session, params, "test", copies), times)
    for copies in (0, COPIES)
  )
  return plain | {"averaged": averaged}


def _deal(
  session: Session, digits: np.ndarray, truth: np.ndarray, times: int
) -> dict[str, float]:
  """Deals images `times` times, as for `reshuffled`; digits and truth [M]."""
  task = session.experiment.sampler.task
  time = session.experiment.sampler.max_len
  count = len(truth) // time
  lengths = jnp.full(count, time)
  add = jax.jit(lambda digits: task.running(digits, lengths)[:, -1])
  rng, shares = np.random.default_rng(0), []
  for _ in range(times):
    deal = rng.permutation(len(truth))[: count * time].reshape(count, time)
    right = np.equal(add(digits[deal]), add(truth[deal])).all(axis=-1)
    shares.append(right.mean())
  return {
    "exact_accuracy": float(np.mean(shares)),
    "deviation": float(np.std(shares)),
    "first_deal": float(shares[0]),
    "digit_accuracy": float((digits == truth).mean()),
  }


def confusion(session: Session, params: optax.Params) -> list[list[int]]:
  """[10][10], how often each digit of the test images is read as each class.

  The core must have the reduction built in.
  """
  digits, truth = _read_digits(session, params, "test")
  counts = np.zeros((10, 10), int)
  np.add.at(counts, (truth, digits), 1)
  return counts.tolist()


def misread(
  session: Session, params: optax.Params
) -> dict[str, dict[str, int]]:
  """How many of the validation and the test images are misread.

  The core must be 'fold' or 'carry'.

  Returns:
    {"validation": {"misread": ..., "averaged": ..., "of": ...}, "test": ...};
    "averaged" is with test-time averaging, see `_read_digits`.
  """
  counts = {}
  for split in ("validation", "test"):
    (digits, truth), (averaged, _) = (
      _read_digits(session, params, split, copies) for copies in (0, COPIES)
    )
    counts[split] = {
      "misread": int((digits != truth).sum()),
      "averaged": int((averaged != truth).sum()),
      "of": len(truth),
    }
  return counts


def _read_digits(
  session: Session, params: optax.Params, split: str, copies: int = 0
) -> tuple[np.ndarray, np.ndarray]:
  """Predicted digits of all images of a split, and their labels, [M] each.

  With `copies`, probabilities are averaged over each image and this many copies
  of it, augmented as in training.
  """
  images, labels = session.data.feed(split, replicated(session.mesh), 1)(0)
  apply: Any = session.experiment.model.apply
  core: Any = session.experiment.model.known_fold
  sampler: Any = session.experiment.sampler
  augment = sampler.augmentation  # that of training

  @jax.jit
  def read(images):  # [n, 1, D], log-probabilities
    frames, rows = images[:, None], (len(images),)
    _, variables = apply(params, frames, rows, mutable=["intermediates"])
    return variables["intermediates"]["fold_inputs"][0]

  @jax.jit
  def read_copy(images, key):
    return read(augment(images, augment.draw(key, images.shape[:1])))

  parts, key = [], jax.random.key(0)
  for n in range(0, len(labels), IMAGES):
    part, total = images[n : n + IMAGES], read(images[n : n + IMAGES])
    for i in range(copies):
      moved = read_copy(part, jax.random.fold_in(key, copies * n + i))
      total = jnp.logaddexp(total, moved)
    parts.append(np.asarray(core.digits(total)).ravel())
  return np.concatenate(parts), np.asarray(labels)


def filters(session: Session, params: optax.Params) -> dict[str, list]:
  """The first convolution "before" and "after" training, [kh][kw][C][F]."""
  initial = session.init(session.config.seed).params
  return {
    "before": first_filters(initial).tolist(),
    "after": first_filters(params).tolist(),
  }
