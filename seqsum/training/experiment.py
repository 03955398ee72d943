"""A config becomes plain values; nothing above this file looks inside one.

Everything a user may have mistyped is found here, before anything compiles.
"""

from ml_collections import ConfigDict

from seqsum.models.build import build_given, build_model
from seqsum.models.known_fold import FoldCore, Given
from seqsum.runtime.errors import choose, require
from seqsum.sequences.augment import Moves
from seqsum.sequences.batch import AnySampler
from seqsum.sequences.recorded import Recorded, RecordedSampler
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
from seqsum.training.state import Recipe


def _build_sampler(config: ConfigDict, recorded: Recorded | None) -> AnySampler:
  sequence = config.sequence
  moves = Moves(sequence.shift, sequence.turn, sequence.scale, sequence.elastic)
  grow = sequence.grow
  require(
    0 <= grow <= 1,
    "config.sequence.grow",
    grow,
    "must be a share of training, in 0..1",
  )
  if recorded is not None:
    for field, value in {"grow": grow, "fixed": sequence.fixed}.items():
      require(
        not value,
        f"config.sequence.{field}",
        value,
        f"is for digits; set it to 0 for {config.data.name!r}",
      )
    return RecordedSampler(recorded, config.batch_size, moves)
  if "video" in config:
    still = {"grow": grow, "fixed": sequence.fixed, **vars(moves)}
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
    moves=moves,
    growth=round(grow * build_schedule(config).total),
    fixed=sequence.fixed,
  )


def _build_objective(
  config: ConfigDict,
  sampler: AnySampler,
  given: Given | None,
) -> Objective | FoldObjective:
  shared = {
    "max_len": sampler.max_len,
    "per_step": config.task.per_step,
  }
  if isinstance(given, FoldCore):
    return build_fold_objective(
      given, config.loss, config.task.target, **shared
    )
  require(
    given is None or config.loss != "cross_entropy",
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


def build_recipe(
  config: ConfigDict, recorded: Recorded | None = None
) -> Recipe:
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
  average = config.optimizer.average
  require(
    0 <= average < 1,
    "config.optimizer.average",
    average,
    "must be at least 0 and below 1, such as 0.999",
  )
  sampler = _build_sampler(config, recorded)
  given = build_given(config, sampler.task)
  objective = _build_objective(config, sampler, given)
  _check_recentre(config, given)
  return Recipe(
    model=build_model(config, objective.outputs, given),
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
    norms=config.norms,
    skip_nonfinite=config.on_nonfinite == "skip",
    average=config.optimizer.average,
    recentre=config.task.recentre,
  )


def _check_recentre(config: ConfigDict, given: Given | None) -> None:
  share = config.task.recentre
  require(
    0 <= share <= 1, "config.task.recentre", share, "must be a share, in 0..1"
  )
  if not share:
    return
  for field, good, remedy in (
    ("model.core", given is not None, "take 'fold' or 'additive'"),
    ("task.name", config.task.name == "sum", "take 'sum'"),
    ("task.per_step", not config.task.per_step, "set it to False"),
    ("accumulate", config.accumulate == 1, "set it to 1"),
  ):
    require(
      good,
      "config.task.recentre",
      share,
      f"does not go together with config.{field}; {remedy}",
    )
