"""Build an `Experiment` and a `Schedule` from a `ConfigDict`.

Of this package, only this file and `checks.py` see a `ConfigDict`.
"""

import jax
from ml_collections import ConfigDict

from seqsum.models.build import build_known_fold, build_model
from seqsum.models.known_fold import FoldCore
from seqsum.sequences.augment import Augmentation
from seqsum.sequences.batch import AnySampler
from seqsum.sequences.recorded import RecordedSampler, SequenceSpec
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import build_task
from seqsum.sequences.videos import VideoSampler
from seqsum.training.checks import check_config, check_frames
from seqsum.training.fold_loss import FoldObjective
from seqsum.training.losses import build_objective
from seqsum.training.optimizers import build_optimizer
from seqsum.training.schedule import Schedule
from seqsum.training.state import Experiment


def build_schedule(config: ConfigDict) -> Schedule:
  """When things happen in a run of a checked config."""
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
  """Builds an `Experiment`.

  Args:
    config: The config, as configs/sum.py has it.
    spec: The sequences, if `config.data.kind` is 'files'.

  Raises:
    InputError: A value cannot be used.
  """
  check_config(config)
  sampler = _build_sampler(config, spec)
  check_frames(config, sampler)
  known_fold = build_known_fold(config, sampler.task)
  if isinstance(known_fold, FoldCore):
    objective = FoldObjective(known_fold)
    objective.support(sampler.max_len)
  else:
    objective = build_objective(
      config.loss,
      config.task.target,
      task=sampler.task,
      max_len=sampler.max_len,
      min_len=sampler.min_len,
      per_step=config.task.per_step,
    )
  optimizer = dict(config.optimizer)
  ema_decay = optimizer.pop("ema_decay")
  return Experiment(
    model=build_model(config, objective.outputs, known_fold),
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


def _build_sampler(config: ConfigDict, spec: SequenceSpec | None) -> AnySampler:
  sequence = config.sequence
  augmentation = Augmentation(
    sequence.shift, sequence.rotate, sequence.scale, sequence.elastic
  )
  if config.data.kind == "files":
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
    task=build_task(config.task.name, tuple(sequence.digits)),
    batch_size=config.batch_size,
    min_len=sequence.min_len,
    max_len=sequence.max_len,
    packed=sequence.packed,
    augmentation=augmentation,
    curriculum_steps=round(sequence.curriculum * build_schedule(config).total),
    num_sequences=sequence.num_sequences,
  )
