"""A study: one question, put as runs of one config that differ in little.

A study's file is a config file, so `seqsum.main` can train any of its runs, and
has one function more:

    def get_study() -> Study:
      return Study(
        question="Which loss adds up best?",
        base=get_config(),
        variants={"mse": {}, "huber": {"loss": "huber"}},
        seeds=3,
      )
"""

import copy
import dataclasses
import difflib
import importlib.util
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import optax
from etils import epath
from ml_collections import ConfigDict

from seqsum.runs import folder
from seqsum.runs.session import Session, check
from seqsum.runtime import files
from seqsum.runtime.errors import InputError, choose, require
from seqsum.studies.charts import Lines
from seqsum.studies.question_charts import FIGURES

VARIANT = r"\w[\w.,=+-]*"  # it names a folder


@dataclasses.dataclass(frozen=True)
class Study:
  """What a study's file says.

  Attributes:
    question: One sentence.
    base: What all runs share, as the file's `get_config()` gives it.
    variants: By name, in the order of tables: dotted fields of the config and
      their values, {"model.hidden_sizes": (64,)}; {} is the base itself.
    seeds: Each variant is trained with the seeds 0, 1, ... seeds - 1.
    figures: Which of `question_charts.FIGURES` are drawn.
    measure: (session, best parameters) -> what else to find out about a run
      that finished, as JSON has it; stands under "measured" in results.jsonl.
    conclude: Lines of results.jsonl -> Markdown that stands below the table.
    labels: Variant -> how figures call it, in a few words; by default its name.
    timed: Whether variants are set beside each other by how fast they train.
      Then `throughput.measure` says it when all runs have ended, in rates.json.
  """

  question: str
  base: ConfigDict
  variants: Mapping[str, Mapping[str, Any]]
  seeds: int = 3
  figures: Sequence[str] = ("learning", "final")
  measure: Callable[[Session, optax.Params], Any] | None = None
  conclude: Callable[[Lines], str] | None = None
  timed: bool = False
  labels: Mapping[str, str] = dataclasses.field(default_factory=dict)


class Run(NamedTuple):
  """One variant trained with one seed.

  Attributes:
    variant: Its name.
    seed: The config's.
    overrides: What the variant changes.
    config: The resolved config.
    sequences: How many it is trained on.
    folder: Its own, inside the study's.
  """

  variant: str
  seed: int
  overrides: Mapping[str, Any]
  config: ConfigDict
  sequences: int
  folder: epath.Path

  @property
  def name(self) -> str:
    return f"{self.variant}/{self.seed}"


def load(path: str | os.PathLike) -> Study:
  """Reads a study's file.

  Raises:
    InputError: It is not one.
  """
  spec = importlib.util.spec_from_file_location("study_file", path)
  require(spec is not None, "--study", str(path), "must be a Python file")
  module = importlib.util.module_from_spec(spec)
  try:
    spec.loader.exec_module(module)
  except (ImportError, OSError, SyntaxError) as error:
    raise InputError(f"--study={path}: cannot be read ({error})") from error
  for function in ("get_config", "get_study"):
    has = callable(getattr(module, function, None))
    require(has, "--study", str(path), f"must define {function}()")
  study = module.get_study()
  require(
    study.base.to_dict() == module.get_config().to_dict(),
    "--study",
    str(path),
    "base must be what get_config() gives, which seqsum.main reads",
  )
  return study


def fields(config: ConfigDict, *sections: str) -> dict[str, Any]:
  """Some sections or fields of a config, as overrides for another."""
  return {
    field: tuple(value) if isinstance(value, list | tuple) else value
    for field, value in files.flatten(config.to_dict())
    if field in sections or field.partition(".")[0] in sections
  }


def override(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
  """A copy of a config with some dotted fields changed.

  Raises:
    InputError: There is no such field, or its values are of another type.
  """
  config = copy.deepcopy(config)
  known = dict(files.flatten(config.to_dict()))
  for field, value in changes.items():
    if field not in known:
      near = difflib.get_close_matches(field, known, n=1)
      hint = f": did you mean {near[0]!r}?" if near else ""
      raise InputError(f"unknown config field {field!r}{hint}")
    *path, leaf = field.split(".")
    section = config
    for name in path:
      section = section[name]
    try:
      if isinstance(value, bool) and not isinstance(known[field], bool):
        raise TypeError("a truth value is no number")
      section[leaf] = value
    except TypeError as error:
      kind = type(known[field]).__name__
      raise InputError(
        f"config.{field}={value!r}: must be of type {kind}, as {known[field]!r}"
      ) from error
  return config


def lay_out(
  study: Study,
  workdir: epath.PathLike,
  seeds: int | None = None,
  sequences: int | None = None,
  manual_dir: str = "",
) -> list[Run]:
  """All runs of a study, checked, seed by seed.

  A study that is stopped has then something of every variant.

  Args:
    study: The study.
    workdir: Its folder.
    seeds: In place of the study's.
    sequences: That each run is trained on, in place of what the configs say.
    manual_dir: For every run's config.data.manual_dir, unless ''.

  Raises:
    InputError: A value cannot be used, or a run's folder belongs to a run of
      another config.
  """
  seeds = study.seeds if seeds is None else seeds
  require(seeds >= 1, "seeds", seeds, "must be at least 1")
  require(len(study.variants) > 0, "variants", {}, "name at least one")
  for figure in study.figures:
    choose("figures", figure, FIGURES)
  for variant in study.labels:
    choose("labels", variant, study.variants)
  runs = []
  for seed in range(seeds):
    for variant, changes in study.variants.items():
      try:
        config = override(study.base, changes)
        if manual_dir:
          config.data.manual_dir = manual_dir
        runs.append(_run(config, variant, changes, seed, sequences, workdir))
      except InputError as error:
        raise InputError(f"variant {variant!r}: {error}") from error
  return runs


def _run(config, variant, changes, seed, sequences, workdir) -> Run:
  require(
    re.fullmatch(VARIANT, variant) is not None,
    "its name",
    variant,
    "must be letters, digits and . , = + - _",
  )
  require("seed" not in changes, "seed", changes.get("seed"), "see --seeds")
  config.seed = seed
  if sequences is not None:
    require(
      sequences >= config.epochs,
      "--sequences",
      sequences,
      f"must be at least one an epoch, {config.epochs}",
    )
    config.sequences_per_epoch = sequences // config.epochs
  require(
    config.on_nonfinite == "stop",
    "config.on_nonfinite",
    config.on_nonfinite,
    "must be 'stop' in a study, which writes down when a run diverged",
  )
  _, schedule, _ = check(config)
  home = epath.Path(workdir) / "runs" / variant / str(seed)
  folder.check_config(home, {"config": config.to_dict()})
  return Run(
    variant=variant,
    seed=seed,
    overrides=dict(changes),
    config=config,
    sequences=schedule.total * schedule.batch_size,
    folder=home,
  )


def commands(runs: Sequence[Run], study_file: str) -> list[str]:
  """Command lines that make the same folders, shell-quoted, one a run."""
  base = dict(files.flatten(load(study_file).base.to_dict()))
  lines = []
  for run in runs:
    changed = [
      f"--config.{field}={value}"
      for field, value in files.flatten(run.config.to_dict())
      if value != base[field]
    ]
    words = ["python", "-m", "seqsum.main", f"--config={study_file}"]
    words += [f"--workdir={run.folder}", "--noreport", *changed]
    lines.append(shlex.join(words))
  return lines
