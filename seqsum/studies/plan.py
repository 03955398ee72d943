"""A study: one question, and variants of one config that answer it.

A study's file is a config file, which `seqsum.main` can train, with one more
function:

    def get_study() -> Study:
      return Study(
        question="Which loss is best?",
        base=get_config(),
        variants={"mse": {}, "huber": {"loss": "huber"}},
        seeds=3,
      )
"""

import ast
import copy
import dataclasses
import difflib
import functools
import os
import re
import runpy
import shlex
import types
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

VARIANT = r"\w[\w.,=+-]*"  # also a folder's name


@dataclasses.dataclass(frozen=True)
class Study:
  """One question, and the runs that answer it.

  Attributes:
    question: One sentence.
    base: The config that all runs share, from the file's `get_config()`.
    variants: Name -> overrides of the base, such as {"model.hidden_sizes":
      (64,)}; {} is the base itself. Tables have the same order.
    seeds: Each variant is trained with the seeds 0, 1, ... seeds - 1.
    figures: Names in `question_charts.FIGURES`.
    measure: (session, best parameters) -> JSON, a measurement of a finished
      run; "measured" in results.jsonl.
    conclude: Lines of results.jsonl -> Markdown to append to the table.
    timed: Whether to measure the variants' training throughput side by side
      after all runs, and write it to rates.json.
    display_names: Variant -> its name in figures, if another.
  """

  question: str
  base: ConfigDict
  variants: Mapping[str, Mapping[str, Any]]
  seeds: int = 3
  figures: Sequence[str] = ("learning", "final")
  measure: Callable[[Session, optax.Params], Any] | None = None
  conclude: Callable[[Lines], str] | None = None
  timed: bool = False
  display_names: Mapping[str, str] = dataclasses.field(default_factory=dict)

  @property
  def measured_by(self) -> str | None:
    """Name and arguments of `measure`, such as "by_length(sequences=300)"."""
    if self.measure is None:
      return None
    call = functools.partial(self.measure)  # a partial, whatever it is
    arguments = [repr(x) for x in call.args]
    arguments += [f"{key}={x!r}" for key, x in sorted(call.keywords.items())]
    return f"{call.func.__name__}({', '.join(arguments)})"


class Run(NamedTuple):
  """One variant trained with one seed."""

  variant: str
  seed: int
  overrides: Mapping[str, Any]  # of the study's base config, without the seed
  config: ConfigDict  # the complete one
  sequences: int  # in training
  folder: epath.Path  # inside the study's

  @property
  def name(self) -> str:
    return f"{self.variant}/{self.seed}"


def load(path: str | os.PathLike) -> Study:
  """Reads a study's file.

  Raises:
    InputError: The file cannot be read, or defines no study.
  """
  is_python = str(path).endswith(".py")
  require(is_python, "--study", str(path), "must be a Python file")
  try:
    content = runpy.run_path(os.fspath(path))
  except (ImportError, OSError, SyntaxError) as error:
    raise InputError(f"--study={path}: cannot be read ({error})") from error
  for function in ("get_config", "get_study"):
    has = callable(content.get(function))
    require(has, "--study", str(path), f"must define {function}()")
  study = content["get_study"]()
  require(
    study.base.to_dict() == content["get_config"]().to_dict(),
    "--study",
    str(path),
    "get_study().base must equal get_config(), which seqsum.main trains",
  )
  return study


def fields(config: ConfigDict, *sections: str) -> dict[str, Any]:
  """Returns sections or fields of a config as overrides for another config."""
  return {
    field: tuple(value) if isinstance(value, list | tuple) else value
    for field, value in files.flatten(config.to_dict())
    if field in sections or field.partition(".")[0] in sections
  }


def override(config: ConfigDict, changes: Mapping[str, Any]) -> ConfigDict:
  """Returns a copy of a config with some dotted fields changed.

  Raises:
    InputError: A field does not exist or has another type.
  """
  config = copy.deepcopy(config)
  known = dict(files.flatten(config.to_dict()))
  for field, value in changes.items():
    if field not in known:
      near = difflib.get_close_matches(field, known, n=1)
      hint = f": did you mean {near[0]!r}?" if near else ""
      raise InputError(f"unknown config field {field!r}{hint}")
    try:
      if isinstance(value, bool) and not isinstance(known[field], bool):
        raise TypeError("a bool is not a number")
      config.update_from_flattened_dict({field: value})
    except TypeError as error:
      kind = type(known[field]).__name__
      raise InputError(
        f"config.{field}={value!r}: must be of type {kind}, like "
        f"{known[field]!r}"
      ) from error
  return config


def parse_fields(base: ConfigDict, settings: Sequence[str]) -> dict[str, Any]:
  """Parses "field=value" as overrides of a config; see `override`."""
  known = dict(files.flatten(base.to_dict()))
  fields: dict[str, Any] = {}
  for setting in settings:
    field, equals, text = setting.partition("=")
    require(equals != "", "--set", setting, "must be FIELD=VALUE")
    require(field != "seed", "--set", setting, "use --seeds")
    require(field not in fields, "--set", setting, "is given twice")
    fields[field] = text
    if not isinstance(known.get(field, ""), str):
      try:
        fields[field] = ast.literal_eval(text)
      except (ValueError, SyntaxError, TypeError, MemoryError) as error:
        raise InputError(
          f"--set={setting}: must be a value like {known[field]!r}"
        ) from error
  return fields


def lay_out(
  study: Study,
  workdir: epath.PathLike,
  seeds: int | None = None,
  sequences: int | None = None,
  fields: Mapping[str, Any] = types.MappingProxyType({}),
) -> list[Run]:
  """Returns all runs of a study, after checking their configs.

  All variants of one seed come before the next seed, so that an interrupted
  study has results of every variant.

  Args:
    workdir: The study's folder.
    seeds: Seeds of each variant; None for those of the study.
    sequences: Training sequences of each run; None for those of its config.
    fields: Overrides of every run's config, which no variant changes.

  Raises:
    InputError: A config cannot be used, or a run's folder has another config.
  """
  seeds = study.seeds if seeds is None else seeds
  require(seeds >= 1, "seeds", seeds, "must be at least 1")
  require(len(study.variants) > 0, "variants", {}, "must have at least one")
  for figure in study.figures:
    choose("figures", figure, FIGURES)
  for variant in study.display_names:
    choose("display_names", variant, study.variants)
  runs = []
  for seed in range(seeds):
    for variant, changes in study.variants.items():
      try:
        for field in fields:
          free = field not in changes
          require(
            free, "--set", field, "is what the variants of a study change"
          )
        config = override(override(study.base, changes), fields)
        runs.append(_run(config, variant, changes, seed, sequences, workdir))
      except InputError as error:
        raise InputError(f"variant {variant!r}: {error}") from error
  return runs


def choose_runs(
  study: Study, runs: Sequence[Run], variants: Sequence[str]
) -> list[Run]:
  """Returns the runs of some variants, or all runs if there are no names.

  Raises:
    InputError: A name is not that of a variant.
  """
  for name in variants:
    choose("--variants", name, study.variants)
  return [run for run in runs if not variants or run.variant in variants]


def _run(
  config: ConfigDict,
  variant: str,
  changes: Mapping[str, Any],
  seed: int,
  sequences: int | None,
  workdir: epath.PathLike,
) -> Run:
  is_name = re.fullmatch(VARIANT, variant) is not None
  remedy = "must be letters, digits and . , = + - _"
  require(is_name, "its name", variant, remedy)
  require("seed" not in changes, "seed", changes.get("seed"), "use --seeds")
  config.seed = seed
  if sequences is not None:
    remedy = f"must be at least {config.epochs}, one for each epoch"
    require(sequences >= config.epochs, "--sequences", sequences, remedy)
    config.sequences_per_epoch = sequences // config.epochs
  require(
    config.on_nonfinite == "stop",
    "config.on_nonfinite",
    config.on_nonfinite,
    "must be 'stop' in a study, which records when a run diverges",
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
  """Returns a shell-quoted command for each run, which makes its folder."""
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
