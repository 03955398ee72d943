"""Build an `Experiment` and a `Schedule` from a `ConfigDict`.

Of this package, only this file and `checks.py` see a `ConfigDict`.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
from ml_collections import ConfigDict

from seqsum.models.cores import CORES, GRU
from seqsum.models.encoder import ACTIVATIONS, ConvEncoder
from seqsum.models.known_fold import KNOWN_FOLDS, FoldCore, KnownFold
from seqsum.models.model import SequenceModel
from seqsum.models.whole_sequence import WHOLE_CORES
from seqsum.sequences.addition import COLUMN_TASKS, Addition
from seqsum.sequences.any_sampler import AnySampler
from seqsum.sequences.augment import Augmentation
from seqsum.sequences.recorded import RecordedSampler, SequenceSpec
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import SUM, TASKS, Task
from seqsum.sequences.videos import VideoSampler
from seqsum.training.addition_loss import CarryObjective, ColumnObjective
from seqsum.training.checks import (
  DTYPES,
  RECURRENCES,
  check_config,
  check_frames,
)
from seqsum.training.fold_loss import FoldObjective, VideoObjective
from seqsum.training.losses import (
  LOSSES,
  Objective,
  StepObjective,
  classification,
)
from seqsum.training.optimizers import build_optimizer
from seqsum.training.state import Experiment
from seqsum.training.targets import TRANSFORMS


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

  def is_event(self, step: int) -> bool:
    return self.is_log(step) or self.is_checkpoint(step)

  def next_event(self, step: int) -> int:
    """The first step after `step` that ends an epoch, logs or saves."""
    return min(
      self.epoch_end(self.epoch(step + 1)),
      (step // self.log_every + 1) * self.log_every,
      (step // self.checkpoint_every + 1) * self.checkpoint_every,
    )


def build_schedule(config: ConfigDict) -> Schedule:
  """Builds the `Schedule` of a checked config."""
  steps_per_call = config.steps_per_call
  if config.data.kind == "files":  # A step takes its batch from the host.
    steps_per_call = 1
  elif not steps_per_call:
    is_cpu = jax.default_backend() == "cpu"
    steps_per_call = 1 if is_cpu else config.log_every
  return Schedule(
    epochs=config.epochs,
    sequences_per_epoch=config.sequences_per_epoch,
    batch_size=config.batch_size,
    log_every=config.log_every,
    checkpoint_every=config.checkpoint.every_steps,
    steps_per_call=steps_per_call,
  )


def build_experiment(
  config: ConfigDict, spec: SequenceSpec | None = None
) -> Experiment:
  """Builds the model, objective, optimizer and sampler of a config.

  Args:
    config: The config, as configs/sum.py has it.
    spec: Facts about the sequences, if `config.data.kind` is 'files'.

  Raises:
    InputError: A value cannot be used.
  """
  check_config(config)
  sampler = _build_sampler(config, spec)
  check_frames(config, sampler)
  known_fold, objective = _build_objective(config, sampler)
  optimizer = dict(config.optimizer)
  ema_decay = optimizer.pop("ema_decay")
  return Experiment(
    model=_build_model(config.model, objective.outputs, known_fold),
    objective=objective,
    optimizer=build_optimizer(steps=build_schedule(config).total, **optimizer),
    sampler=sampler,
    per_step=config.task.per_step,
    accumulate=config.accumulate,
    log_norms=config.log_norms,
    skip_nonfinite=config.on_nonfinite == "skip",
    ema_decay=ema_decay,
    center_targets=config.task.center_targets,
  )


def _build_objective(
  config: ConfigDict, sampler: AnySampler
) -> tuple[Any, Objective]:
  """Builds the known fold, None for a learned recurrence, and the objective."""
  core, task = config.model.core, sampler.task
  known_fold: Any = None
  if core == "fold" and sampler.kind == "videos":
    known_fold = FoldCore(task.fold, in_loss=True)
    return known_fold, VideoObjective(
      known_fold, config.task.per_step, config.video.importance
    )
  if core in KNOWN_FOLDS:
    known_fold = KNOWN_FOLDS[core](task, config.model.digit_prior_std)
  if core == "carry":
    return known_fold, CarryObjective(known_fold)
  if core == "fold":
    objective = FoldObjective(known_fold)
    if not known_fold.is_folded_by_loss(sampler.max_len):
      objective.support(sampler.max_len)  # Raises if it has too many values.
    return known_fold, objective
  if config.task.name in COLUMN_TASKS and config.loss == "cross_entropy":
    return known_fold, ColumnObjective(task.columns, task.subtracts)
  return known_fold, build_objective(
    config.loss,
    config.task.target,
    task=task,
    max_len=sampler.max_len,
    min_len=sampler.min_len,
    per_step=config.task.per_step,
  )


def build_objective(
  loss: str,
  target: str = "raw",
  *,
  task: Task = SUM,
  max_len: int = 4,
  min_len: int = 1,
  per_step: bool = False,
) -> StepObjective:
  """Builds the objective of a learned recurrence.

  `loss` is a key of `LOSSES`, `target` of `targets.TRANSFORMS` (cross entropy
  needs 'raw'); the other arguments determine the values of the targets.
  """
  if loss == "cross_entropy":
    # With the values of short sequences, which a curriculum begins with, and of
    # early steps, which `by_step` in metrics.jsonl reports.
    return classification(task.reachable(max_len))
  transform = TRANSFORMS[target](
    task, max_len=max_len, min_len=min_len, per_step=per_step
  )
  return LOSSES[loss](transform, task.size)


def _build_sampler(config: ConfigDict, spec: SequenceSpec | None) -> AnySampler:
  sequence = config.sequence
  augmentation = Augmentation(
    sequence.shift, sequence.rotate, sequence.scale, sequence.elastic
  )
  if config.data.kind == "files":
    assert spec is not None
    return RecordedSampler(spec, config.batch_size, augmentation)
  if config.data.kind == "videos":
    return VideoSampler(
      batch_size=config.batch_size,
      time=sequence.max_len,
      windows=config.video.windows,
      side=config.video.side,
      with_importance=config.video.importance,
    )
  return Sampler(
    task=_build_task(config),
    batch_size=config.batch_size,
    min_len=sequence.min_len,
    max_len=sequence.max_len,
    packed=sequence.packed,
    augmentation=augmentation,
    curriculum_steps=round(sequence.curriculum * build_schedule(config).total),
    num_sequences=sequence.num_sequences,
  )


def _build_task(config: ConfigDict) -> Task | Addition:
  digits = tuple(config.sequence.digits)
  if config.task.name in COLUMN_TASKS:
    column_task = COLUMN_TASKS[config.task.name]
    return column_task(config.sequence.max_len // 2, digits)
  return dataclasses.replace(TASKS[config.task.name], digits=digits)


def _build_model(
  config: ConfigDict, outputs: int, known_fold: KnownFold | None
) -> SequenceModel:
  model = RECURRENCES[config.recurrence]
  return model(
    encoder=functools.partial(
      ConvEncoder,
      features=tuple(config.conv.features),
      kernels=tuple(config.conv.kernels),
      strides=tuple(config.conv.strides),
      pools=tuple(config.conv.pool),
      dense=tuple(config.dense),
      group_size=config.conv.group_size,
      activation=ACTIVATIONS[config.activation],
    ),
    core=(CORES | WHOLE_CORES).get(config.core, GRU),
    cell_activation=ACTIVATIONS[config.cell_activation],
    widths=() if known_fold else tuple(config.hidden_sizes),
    outputs=outputs,
    known_fold=known_fold,
    input_max=config.input_max,
    dtype=DTYPES[config.dtype],
    **({"remat": config.remat} if config.remat else {}),
  )
