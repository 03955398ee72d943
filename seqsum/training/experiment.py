"""A config becomes plain values; nothing above this file looks inside one.

Everything a user may have mistyped is found here, before anything compiles.
"""

from ml_collections import ConfigDict

from seqsum.models.build import build_known_fold, build_model
from seqsum.models.known_fold import FoldCore, KnownFold
from seqsum.runtime.errors import choose, require
from seqsum.sequences.augment import Augmentation
from seqsum.sequences.batch import AnySampler
from seqsum.sequences.recorded import RecordedSampler, SequenceSpec
from seqsum.sequences.sampler import Sampler
from seqsum.sequences.tasks import build_task
from seqsum.sequences.videos import VideoSampler
from seqsum.training.losses import (
  FoldObjective,
  Objective,
  build_fold_objective,
  build_objective,
)
from seqsum.training.optimizers import build_optimizer
from seqsum.training.schedule import build_schedule
from seqsum.training.state import Experiment


def _build_sampler(
  config: ConfigDict, recorded: SequenceSpec | None
) -> AnySampler:
  sequence = config.sequence
  augmentation = Augmentation(
    sequence.shift, sequence.rotate, sequence.scale, sequence.elastic
  )
  grow = sequence.curriculum
  require(
    0 <= grow <= 1,
    "config.sequence.curriculum",
    grow,
    "must be a share of training, in 0..1",
  )
  if recorded is not None:
    for field, value in {
      "curriculum": grow,
      "num_sequences": sequence.num_sequences,
    }.items():
      require(
        not value,
        f"config.sequence.{field}",
        value,
        f"is for digits; set it to 0 for {config.data.name!r}",
      )
    return RecordedSampler(recorded, config.batch_size, augmentation)
  if "video" in config:
    still = {
      "curriculum": grow,
      "num_sequences": sequence.num_sequences,
      **vars(augmentation),
    }
    for field, value in still.items():
      require(
        not value,
        f"config.sequence.{field}",
        value,
        "is for sequences of digits; set it to 0 for videos",
      )
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
    curriculum_steps=round(grow * build_schedule(config).total),
    num_sequences=sequence.num_sequences,
  )


def _build_objective(
  config: ConfigDict,
  sampler: AnySampler,
  known_fold: KnownFold | None,
) -> Objective | FoldObjective:
  shared = {
    "max_len": sampler.max_len,
    "per_step": config.task.per_step,
  }
  if isinstance(known_fold, FoldCore):
    return build_fold_objective(
      known_fold, config.loss, config.task.target, **shared
    )
  require(
    known_fold is None or config.loss != "cross_entropy",
    "config.loss",
    config.loss,
    f"config.model.core={config.model.core!r} says one number, take 'mse' or "
    "another regression",
  )
  return build_objective(
    config.loss,
    config.task.target,
    task=sampler.task,
    min_len=sampler.min_len,
    **shared,
  )


def build_experiment(
  config: ConfigDict, recorded: SequenceSpec | None = None
) -> Experiment:
  """What is trained, from a whole config.

  Args:
    config: A whole one.
    recorded: What is known of the sequences if they are one's own; then
      `config.sequence` has a say in how frames move alone, and `config.task` in
      what the loss asks for.

  Raises:
    InputError: A value cannot be used; the message names it.
  """
  choose(
    "config.on_nonfinite",
    config.on_nonfinite,
    dict.fromkeys(("stop", "skip", "continue")),
  )
  choose(
    "config.checkpoint.best",
    config.checkpoint.best,
    dict.fromkeys(("mse", "loss", "last")),
  )
  average = config.optimizer.ema_decay
  require(
    0 <= average < 1,
    "config.optimizer.ema_decay",
    average,
    "must be at least 0 and below 1, such as 0.999",
  )
  sampler = _build_sampler(config, recorded)
  known_fold = build_known_fold(config, sampler.task)
  objective = _build_objective(config, sampler, known_fold)
  _check_center_targets(config, known_fold)
  return Experiment(
    model=build_model(config, objective.outputs, known_fold),
    objective=objective,
    optimizer=build_optimizer(
      config.optimizer.name,
      config.optimizer.learning_rate,
      config.optimizer.decay,
      config.optimizer.schedule,
      build_schedule(config).total,
      config.optimizer.clip_norm,
      config.optimizer.warmup,
    ),
    sampler=sampler,
    per_step=config.task.per_step,
    accumulate=config.accumulate,
    log_norms=config.log_norms,
    skip_nonfinite=config.on_nonfinite == "skip",
    ema_decay=config.optimizer.ema_decay,
    center_targets=config.task.center_targets,
  )


def _check_center_targets(
  config: ConfigDict, known_fold: KnownFold | None
) -> None:
  share = config.task.center_targets
  require(
    0 <= share <= 1,
    "config.task.center_targets",
    share,
    "must be a share, in 0..1",
  )
  if not share:
    return
  for field, good, remedy in (
    ("model.core", known_fold is not None, "take 'fold' or 'additive'"),
    ("task.name", config.task.name == "sum", "take 'sum'"),
    ("task.per_step", not config.task.per_step, "set it to False"),
    ("accumulate", config.accumulate == 1, "set it to 1"),
  ):
    require(
      good,
      "config.task.center_targets",
      share,
      f"does not go together with config.{field}; {remedy}",
    )
