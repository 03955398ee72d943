"""The checks of a config: tables of fields, predicates and remedies.

No other file checks a field. What is built from a config trusts its values.
"""

import functools
import math
from collections import ChainMap
from collections.abc import Callable, Collection
from typing import Any

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from seqsum.models.cores import CORES
from seqsum.models.encoder import ACTIVATIONS
from seqsum.models.known_fold import KNOWN_FOLDS, LONG
from seqsum.models.model import SequenceModel
from seqsum.models.packed_model import PackedModel
from seqsum.models.whole_sequence import WHOLE_CORES
from seqsum.runtime.errors import InputError, choose, require
from seqsum.sequences.addition import COLUMN_TASKS, Addition
from seqsum.sequences.any_sampler import AnySampler
from seqsum.sequences.digit import SHAPE
from seqsum.sequences.sampler import LONGEST
from seqsum.sequences.scenes import SHORTEST
from seqsum.sequences.tasks import DIGITS, TASKS
from seqsum.training.losses import LOSSES, REGRESSIONS
from seqsum.training.optimizers import OPTIMIZERS, SCHEDULES
from seqsum.training.targets import TRANSFORMS

MOST = np.iinfo(np.int32).max  # The largest step number on a device.
MAX_DIGITS = 1 << 28  # Of the sums after every frame of an evaluation.
MAX_LAYERS = 64  # Of a kind, since each makes compilation longer.
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
RECURRENCES = {"flax": SequenceModel, "fused": PackedModel}

# Field -> the names that it can have.
CHOICES: dict[str, Collection[str]] = {
  "loss": LOSSES,
  "matmul_precision": ("default", "high", "highest"),
  "on_nonfinite": ("stop", "skip", "continue"),
  "data.kind": ("digits", "videos", "files"),
  "task.name": ChainMap[str, Any](COLUMN_TASKS, TASKS),  # sees new tasks
  "task.target": TRANSFORMS,
  "model.core": CORES | WHOLE_CORES | KNOWN_FOLDS,
  "model.cell_activation": ACTIVATIONS,
  "model.recurrence": RECURRENCES,
  "model.activation": ACTIVATIONS,
  "model.dtype": DTYPES,
  "optimizer.name": OPTIMIZERS,
  "optimizer.schedule": SCHEDULES,
  "checkpoint.best": ("mse", "loss", "last"),
}

# (predicate, remedy): rules that several fields share.
COUNT = lambda v, c: v >= 1, "must be at least 1"
INT32 = lambda v, c: abs(v) < MOST, f"must be below {MOST:,}"
AT_LEAST_0 = lambda v, c: 0 <= v < math.inf, "must be a number of at least 0"
POSITIVE = lambda v, c: 0 < v < math.inf, "must be a positive number"
FRACTION = lambda v, c: 0 <= v <= 1, "must be a fraction between 0 and 1"
WHOLE = "must be positive whole numbers, one a layer"
AT_MOST_LONGEST = lambda v, c: v <= LONGEST, f"must be at most {LONGEST:,}"
BELOW_1 = lambda v, c: 0 <= v < 1, "must be at least 0 and below 1"

COUNTS = (
  "epochs sequences_per_epoch batch_size accumulate log_every eval_sequences "
  "eval_batch_size checkpoint.every_steps checkpoint.keep"
)
LAYERS = (
  "model.conv.features model.conv.kernels model.conv.strides model.conv.pool "
  "model.hidden_sizes model.dense"
)
Check = tuple[str, Callable[[Any, ConfigDict], bool], str]

# (fields, predicate of value and config, remedy). `{c.seed}` in a remedy is a
# field of the config. The first predicate that fails raises `InputError`.
CHECKS: tuple[Check, ...] = (
  (COUNTS, *COUNT),
  (f"{COUNTS} steps_per_call seed", *INT32),
  ("steps_per_call", *AT_LEAST_0),
  (
    "epochs",
    lambda v, c: v * c.sequences_per_epoch / c.batch_size < MOST - 1,
    f"gives more than {MOST:,} steps; lower it",
  ),
  ("task.center_targets sequence.curriculum", *FRACTION),
  (
    LAYERS,
    lambda v, c: len(v) <= MAX_LAYERS,
    f"has too many layers to compile; must be at most {MAX_LAYERS}",
  ),
  (LAYERS, lambda v, c: _are_counts(v), WHOLE),
  ("model.conv.features", lambda v, c: len(v) > 0, WHOLE),
  (
    "model.conv.kernels model.conv.strides model.conv.pool",
    lambda v, c: len(v) == len(c.model.conv.features),
    "must be as many numbers as "
    "config.model.conv.features={c.model.conv.features}",
  ),
  (
    "model.conv.group_size",
    lambda v, c: v >= 0 and math.gcd(*c.model.conv.features) % (v or 1) == 0,
    "must be 0, or divide config.model.conv.features={c.model.conv.features}",
  ),
  ("model.input_max optimizer.learning_rate", *POSITIVE),
  ("model.remat model.digit_prior_std optimizer.clip_norm", *AT_LEAST_0),
  ("optimizer.decay optimizer.b1 optimizer.momentum", *BELOW_1),
  ("optimizer.warmup optimizer.ema_decay sequence.scale", *BELOW_1),
  ("sequence.shift sequence.rotate sequence.elastic", *AT_LEAST_0),
)
GENERATED: tuple[Check, ...] = (  # Of digits and videos.
  (
    "data.name",
    lambda v, c: ":" not in v,
    "is the format and path of files; set config.data.kind='files'",
  ),
  (
    "sequence.digits",
    lambda v, c: bool(v) and [*v] == sorted({*v} & {*DIGITS}),
    "must be some of 0..9, ascending, such as (1, 2, 3)",
  ),
  ("sequence.max_len", *COUNT),
  ("sequence.max_len", *AT_MOST_LONGEST),
)
CHECKS_OF_KIND: dict[str, tuple[Check, ...]] = {
  "digits": (
    *GENERATED,
    ("sequence.min_len", *COUNT),
    (
      "sequence.min_len",
      lambda v, c: v <= c.sequence.max_len,
      "must be at most config.sequence.max_len={c.sequence.max_len}",
    ),
    (
      "sequence.min_len sequence.max_len",
      lambda v, c: c.task.name not in COLUMN_TASKS or v % Addition.unit == 0,
      "must be even: {c.task.name} needs two digits in every column",
    ),
    (
      "eval_sequences",
      lambda v, c: (
        c.task.name not in COLUMN_TASKS
        or v * c.sequence.max_len * (c.sequence.max_len // 2 + 1) <= MAX_DIGITS
      ),
      "must be lower for config.sequence.max_len={c.sequence.max_len}: the "
      "sums after every frame would need more than 1 GiB",
    ),
    (
      "sequence.num_sequences",
      lambda v, c: v == 0 or v >= c.batch_size,
      "must be 0, or at least config.batch_size={c.batch_size}",
    ),
    (
      "sequence.num_sequences",
      lambda v, c: v * c.sequence.max_len < 2**31,
      "must have fewer than 2**31 frames in all",
    ),
    (
      "task.per_step",
      lambda v, c: (
        not v
        or (c.model.core, c.task.name) != ("fold", "sum")
        or c.sequence.max_len <= LONG
      ),
      f"config.model.core='fold' predicts no running sums of more than {LONG} "
      "frames (config.sequence.max_len={c.sequence.max_len}); set it to False",
    ),
  ),
  "videos": (
    (
      "data.kind",
      lambda v, c: "video" in c,
      "needs the section config.video of configs/importance.py",
    ),
    *GENERATED,
    ("video.windows", *COUNT),
    (
      "sequence.max_len",
      lambda v, c: v % c.video.windows == 0 and v >= SHORTEST * c.video.windows,
      "must be config.video.windows={c.video.windows} parts of equal length, "
      f"at least {SHORTEST} frames",
    ),
    (
      "loss",
      lambda v, c: v in REGRESSIONS or c.model.core == "fold",
      "needs config.model.core='fold' on videos",
    ),
    (
      "video.side",
      lambda v, c: SHAPE[0] <= v <= 1024,
      f"must be in {SHAPE[0]}..1024 pixels",
    ),
  ),
  "files": (
    (
      "data.name",
      lambda v, c: ":" in v,
      "must be the format and path of files, such as npz:mine.npz",
    ),
    (
      "data.size",
      lambda v, c: len(v) in (0, 2) and _are_counts(v),
      "must be height and width in pixels, such as (64, 64), or ()",
    ),
  ),
}

BENCHMARK: tuple[Check, ...] = (  # The section of configs/summarize.py.
  ("benchmark.split", *AT_LEAST_0),
  (
    "benchmark.split",
    lambda v, c: v == 0 or c.benchmark.splits != "",
    "needs config.benchmark.splits, the file that has this split",
  ),
  ("benchmark.validation", *BELOW_1),
  (
    "benchmark.validation",
    lambda v, c: v > 0 or c.checkpoint.best == "last",
    "holds out no video to choose by: also set config.checkpoint.best='last'",
  ),
)

# (field, values, other field, values of that field that the first one needs).
# None stands for every value but 0, False and ().
NEEDS: tuple[tuple[str, Collection[str] | None, str, Collection[Any]], ...] = (
  ("model.core", ("fold",), "data.kind", ("digits", "videos")),
  ("model.core", ("fold", "carry"), "loss", ("cross_entropy",)),
  ("model.core", ("additive",), "loss", REGRESSIONS),
  ("model.core", ("fold", "additive"), "task.name", TASKS),
  ("model.core", ("carry",), "task.name", COLUMN_TASKS),
  ("model.core", ("carry",), "accumulate", (1,)),
  ("task.name", COLUMN_TASKS, "data.kind", ("digits",)),
  ("task.name", COLUMN_TASKS, "task.per_step", (False,)),
  ("model.digit_prior_std", None, "model.core", ("fold",)),
  ("model.remat", None, "model.recurrence", ("fused",)),
  ("loss", ("cross_entropy",), "task.target", ("raw",)),
  ("model.digit_prior_std", None, "data.kind", ("digits",)),
  ("data.size", None, "data.kind", ("files",)),
  ("task.center_targets", None, "model.core", ("fold", "additive")),
  ("task.center_targets", None, "task.name", ("sum",)),
  ("task.center_targets", None, "task.per_step", (False,)),
  ("task.center_targets", None, "accumulate", (1,)),
  ("sequence.curriculum", None, "data.kind", ("digits",)),
  ("sequence.num_sequences", None, "data.kind", ("digits",)),
  ("sequence.num_sequences", None, "sequence.curriculum", (0.0,)),
  ("sequence.shift", None, "data.kind", ("digits", "files")),
  ("sequence.rotate", None, "data.kind", ("digits", "files")),
  ("sequence.scale", None, "data.kind", ("digits", "files")),
  ("sequence.elastic", None, "data.kind", ("digits", "files")),
)


def check_config(config: ConfigDict) -> None:
  """Checks every field.

  Raises:
    InputError: A value cannot be used; one line with the field, its value and
      how to change it.
  """
  for field, names in CHOICES.items():
    choose(f"config.{field}", _get(config, field), dict.fromkeys(names))
  checks = CHECKS + CHECKS_OF_KIND[config.data.kind]
  checks += BENCHMARK if "benchmark" in config else ()
  for fields, is_valid, remedy in checks:
    for field in fields.split():
      value = _get(config, field)
      if not is_valid(value, config):
        shown = repr(value)
        shown = shown if len(shown) <= 80 else f"{shown[:80]} ..."
        raise InputError(f"config.{field}={shown}: {remedy.format(c=config)}")
  for field, values, other, needed in NEEDS:
    found = _get(config, field)
    applies = bool(found) if values is None else found in values
    require(
      not applies or _get(config, other) in needed,
      f"config.{field}",
      found,
      f"needs config.{other}={' or '.join(map(repr, needed))}",
    )


def check_frames(config: ConfigDict, sampler: AnySampler) -> None:
  """Checks what depends on the frames and targets of the data."""
  task, shape = sampler.task, sampler.shape
  side, conv = min(shape[:2]), config.model.conv
  require(
    config.sequence.shift < side,
    "config.sequence.shift",
    config.sequence.shift,
    f"must be below the frame's {side} pixels",
  )
  layers = zip(conv.kernels, conv.strides, conv.pool, strict=True)
  for kernel, stride, pool in layers:
    for field in ("kernels", "pool"):
      side = (
        (side - kernel) // stride + 1 if field == "kernels" else side // pool
      )
      require(
        side > 0,
        f"config.model.conv.{field}",
        tuple(conv[field]),
        f"too large for frames of {shape}; make them smaller",
      )
  require(
    config.task.target != "log" or task.least >= 0,
    "config.task.target",
    "log",
    f"needs targets of at least 0, not {task.least:g}; use 'standard'",
  )


def _are_counts(values: tuple[Any, ...]) -> bool:
  return all(type(n) is int and n > 0 for n in values)


def _get(config: ConfigDict, field: str) -> Any:
  return functools.reduce(lambda x, name: x[name], field.split("."), config)
