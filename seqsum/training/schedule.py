"""When things happen in a run, in steps."""

import dataclasses
import functools
import math

import jax
import numpy as np
from ml_collections import ConfigDict

from seqsum.runtime.errors import require

MOST = np.iinfo(np.int32).max  # what a step's number can be on a device


@dataclasses.dataclass(frozen=True)
class Schedule:
  """When things happen, in steps.

  Attributes:
    epochs: How many there are.
    sequences_per_epoch: An epoch ends with the step that completes them.
    batch_size: Sequences a step.
    log_every: A training line is written after every so many steps.
    checkpoint_every: A checkpoint is saved after every so many steps.
    steps_per_call: At most so many are handed to the device at once.
  """

  epochs: int
  sequences_per_epoch: int
  batch_size: int
  log_every: int
  checkpoint_every: int
  steps_per_call: int

  def epoch_end(self, epoch: int) -> int:
    """The last step of an epoch; epochs count from 1."""
    return math.ceil(epoch * self.sequences_per_epoch / self.batch_size)

  @property
  def total(self) -> int:
    return self.epoch_end(self.epochs)

  def epoch(self, step: int) -> int:
    """The epoch that a step belongs to; steps count from 1."""
    seen = (step - 1) * self.batch_size
    return min(self.epochs, seen // self.sequences_per_epoch + 1)

  def is_epoch_end(self, step: int) -> bool:
    return step > 0 and step == self.epoch_end(self.epoch(step))

  def is_log(self, step: int) -> bool:
    return step % self.log_every == 0 or self.is_epoch_end(step)

  def is_checkpoint(self, step: int) -> bool:
    return step % self.checkpoint_every == 0 or self.is_epoch_end(step)

  def next_event(self, step: int) -> int:
    """The next step after `step` that is one of the three."""
    return min(
      self.epoch_end(self.epoch(step + 1)),
      (step // self.log_every + 1) * self.log_every,
      (step // self.checkpoint_every + 1) * self.checkpoint_every,
    )


def _positive(config: ConfigDict, *fields: str) -> None:
  for field in fields:
    value = functools.reduce(getattr, field.split("."), config)
    require(value >= 1, f"config.{field}", value, "must be at least 1")
    require(value < MOST, f"config.{field}", value, f"must be below {MOST:,}")


def build_schedule(config: ConfigDict) -> Schedule:
  _positive(
    config,
    "epochs",
    "sequences_per_epoch",
    "batch_size",
    "accumulate",
    "log_every",
    "checkpoint.every_steps",
    "checkpoint.keep",
    "eval_sequences",
    "eval_batch_size",
  )
  seed, calls = config.seed, config.steps_per_call
  require(abs(seed) < MOST, "config.seed", seed, f"must be below {MOST:,}")
  require(
    0 <= calls < MOST,
    "config.steps_per_call",
    calls,
    f"must be at least 0 and below {MOST:,}",
  )
  if calls == 0:
    calls = 1 if jax.default_backend() == "cpu" else config.log_every
  require(
    calls < MOST, "config.steps_per_call", calls, f"must be below {MOST:,}"
  )
  schedule = Schedule(
    epochs=config.epochs,
    sequences_per_epoch=config.sequences_per_epoch,
    batch_size=config.batch_size,
    log_every=config.log_every,
    checkpoint_every=config.checkpoint.every_steps,
    steps_per_call=calls,
  )
  require(
    schedule.total < MOST,
    "config.epochs",
    config.epochs,
    f"come to {schedule.total:,} steps, must be below {MOST:,}",
  )
  return schedule
