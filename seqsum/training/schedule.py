"""When a run logs, validates and saves, in steps."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Schedule:
  """When a run logs, validates and saves.

  Attributes:
    epochs: Number of epochs; a validation follows each.
    sequences_per_epoch: An epoch ends with the step that completes them.
    batch_size: Sequences per step.
    log_every: Steps between training lines.
    checkpoint_every: Steps between checkpoints.
    steps_per_call: Most steps in one call of the compiled function.
  """

  epochs: int
  sequences_per_epoch: int
  batch_size: int
  log_every: int
  checkpoint_every: int
  steps_per_call: int

  def epoch_end(self, epoch: int) -> int:
    """The last step of an epoch. Epochs count from 1."""
    return math.ceil(epoch * self.sequences_per_epoch / self.batch_size)

  @property
  def total(self) -> int:
    return self.epoch_end(self.epochs)

  def epoch(self, step: int) -> int:
    """The epoch of a step. Steps count from 1."""
    seen = (step - 1) * self.batch_size
    return min(self.epochs, seen // self.sequences_per_epoch + 1)

  def is_epoch_end(self, step: int) -> bool:
    return step > 0 and step == self.epoch_end(self.epoch(step))

  def is_log(self, step: int) -> bool:
    return step % self.log_every == 0 or self.is_epoch_end(step)

  def is_checkpoint(self, step: int) -> bool:
    return step % self.checkpoint_every == 0 or self.is_epoch_end(step)

  def next_event(self, step: int) -> int:
    """The first step after `step` that ends an epoch, logs or saves."""
    return min(
      self.epoch_end(self.epoch(step + 1)),
      (step // self.log_every + 1) * self.log_every,
      (step // self.checkpoint_every + 1) * self.checkpoint_every,
    )
