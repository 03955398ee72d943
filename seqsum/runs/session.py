"""What a program needs to work on a run's folder: everything but the loop."""

import contextlib
import dataclasses
import functools
import os
from typing import Any, Self

import jax
from absl import logging
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from seqsum.data import recordings
from seqsum.data.digits import Digits, load
from seqsum.data.recordings import SequenceDataset
from seqsum.runs import folder, lock, run_files
from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.splits import make_feed, make_reader
from seqsum.runs.writer import History, ranking, warn_of_missing
from seqsum.runtime import files, processes
from seqsum.runtime.devices import (
  make_mesh,
  memory,
  processors,
  replicated,
  shard_rows,
)
from seqsum.runtime.errors import InputError, one_line, require
from seqsum.sequences.recorded import SequenceSpec
from seqsum.sequences.shapes import Feed
from seqsum.training.evaluate import Evaluator
from seqsum.training.experiment import build_experiment
from seqsum.training.metrics import Totals
from seqsum.training.parallel import compile_init
from seqsum.training.schedule import Schedule, build_schedule
from seqsum.training.state import Experiment, TrainState

# A study opens many sessions with the same data.
load_once = functools.lru_cache(maxsize=1)(load)


@dataclasses.dataclass(frozen=True)
class Session:
  """A run's folder, opened; until it is closed no other program can open it.

  Attributes:
    config: The resolved config.
    workdir: The folder.
    experiment, schedule: What the config asks for.
    mesh: All devices.
    data: Images, or sequences of one's own; None for a program that reads none
      of them.
    lock: Held while the session is open, see `lock.take`.
    run: Digest of the run, see `folder.digest`; its checkpoints have it.
  """

  config: ConfigDict
  workdir: epath.Path
  experiment: Experiment
  schedule: Schedule
  mesh: Mesh
  data: Digits | SequenceDataset | None
  lock: contextlib.ExitStack
  run: str

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def close(self) -> None:
    self.lock.close()

  def put(self, tree: Any) -> Any:
    """A copy of a tree of arrays on every device."""
    return jax.device_put(tree, replicated(self.mesh))

  @functools.cached_property
  def init(self):
    """`seed -> TrainState`, compiled."""
    shape = self.experiment.sampler.shape
    return compile_init(self.experiment, self.mesh, shape)

  def abstract_state(self) -> tuple[TrainState, Totals]:
    """The shapes of what a checkpoint holds, for every device."""
    state = jax.eval_shape(self.init, self.config.seed)
    everywhere = replicated(self.mesh)
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
      (state, Totals.zero()),
    )

  def check_memory(self) -> None:
    """Checks that training fits into a device, of batches nothing counted.

    Raises:
      InputError: Parameters, gradients and the optimizer's state do not.
    """
    state = self.abstract_state()[0]
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    needed = size + 4 * parameters
    there = memory(jax.local_devices()[0])
    if there is not None and needed > there:
      raise InputError(
        f"config.model has {parameters:,} parameters: with gradients and the "
        f"optimizer's state they take {needed / 1e9:,.0f} GB of memory, a "
        f"device has {there / 1e9:,.0f} GB; take fewer or smaller layers"
      )

  def feed(self, stream: int) -> Feed:
    """See `splits.make_feed`."""
    return make_feed(self.config, self.data, self.mesh, stream)

  def evaluator(self, stream: int) -> Evaluator:
    """Reads the fixed sequences of the validation or the test split."""
    return make_reader(
      self.config, self.experiment, self.data, self.mesh, stream
    )

  def checkpoints(self, best=lambda: None) -> Checkpoints:
    keep = self.config.checkpoint.keep
    return Checkpoints(self.workdir / "checkpoints", keep, best, self.run)

  def facts(self) -> dict[str, Any]:
    """What config.json says beside the config."""
    devices = self.mesh.devices.flat
    dataset = {"name": self.data.name, "sha256": self.data.sha256}
    if isinstance(self.data, SequenceDataset):
      dataset["recorded"] = self.data.facts.as_json()
    return {
      "dataset": dataset,
      "devices": {
        "kind": devices[0].device_kind,
        "platform": devices[0].platform,
        "count": self.mesh.size,
        "processes": jax.process_count(),
        **processors(),
      },
      "versions": folder.versions(),
    }

  def warn_of_changes(self) -> None:
    """Warns if config.json was written on another machine or with others.

    Such are cores, devices and versions of packages.
    """
    path = self.workdir / "config.json"
    before = run_files.read_json(path, run_files.CONFIG)
    changes = folder.differences(before, self.facts())
    if changes and processes.is_lead():
      logging.warning(
        "%s: numbers may differ in their last digits from those of a run that "
        "stayed on one machine: %s",
        self.workdir,
        "; ".join(changes),
      )


def check(config: ConfigDict) -> tuple[Experiment, Schedule, Mesh]:
  """Builds what a config asks for, its data excepted.

  Raises:
    InputError: A value in the config cannot be used.
  """
  recorded = None
  if recordings.is_recorded(config.data.name):
    recorded = load_data(config).facts
  experiment = build_experiment(config, recorded)
  experiment.model.encoder().check(experiment.sampler.shape)
  schedule = build_schedule(config)
  if recorded:  # a batch has to come from outside for every step
    schedule = dataclasses.replace(schedule, steps_per_call=1)
  mesh = make_mesh()
  rows = shard_rows(mesh, config.batch_size, "config.batch_size")
  require(
    rows % config.accumulate == 0,
    "config.accumulate",
    config.accumulate,
    f"must divide the {rows} rows that each device has of a batch",
  )
  shard_rows(mesh, config.eval_batch_size, "config.eval_batch_size")
  return experiment, schedule, mesh


def load_data(config: ConfigDict) -> Digits | SequenceDataset:
  """What `config.data` names.

  Raises:
    InputError: It cannot be had.
  """
  named = dict(config.data) | {"size": tuple(config.data.size)}
  if recordings.is_recorded(config.data.name):
    return recordings.load(**named)
  return load_once(**named).only(tuple(config.sequence.digits))


def open_session(
  config: ConfigDict, workdir: epath.PathLike, *, is_new: bool = True
) -> Session:
  """Checks a config, loads its data and takes the folder.

  Whatever is refused because of the config, its data or an older run in the
  folder is refused before the folder is made, so nothing is left behind.

  Args:
    config: A whole one.
    workdir: The run's folder.
    is_new: Whether the run may be new; else the folder must hold one.

  Raises:
    InputError: A value in the config cannot be used, the data cannot be had,
      or the folder cannot be written, is in use or belongs to another run.
  """
  try:
    os.fspath(workdir).encode()
  except UnicodeEncodeError as error:  # TensorStore's paths are UTF-8
    raise InputError(
      f"--workdir={workdir}: the name is not UTF-8; take another folder"
    ) from error
  if not is_new:
    read_config(workdir)
  experiment, schedule, mesh = check(config)
  with processes.lead_first("data"):
    data = load_data(config)
  unlocked = contextlib.ExitStack()
  path = files.parse_path(workdir)
  session = Session(
    config, path, experiment, schedule, mesh, data, unlocked, ""
  )
  session.check_memory()
  workdir = folder.make_folder(workdir)
  facts = session.facts()
  written = {"config": config.to_dict(), "dataset": facts["dataset"]}
  folder.is_claimed(workdir, written)  # before a lock is left in it
  with lock.take(workdir) as held:
    with processes.lead_first("claim"):
      folder.claim(workdir, config.to_dict(), facts)
    return dataclasses.replace(
      session,
      workdir=workdir,
      lock=held.pop_all(),
      run=folder.digest(written),
    )


def read_config(workdir: epath.PathLike) -> dict[str, Any]:
  """The config.json of a run.

  Raises:
    InputError: There is no run, or its file cannot be read.
  """
  path = files.parse_path(workdir) / "config.json"
  said = run_files.read_json(path, run_files.CONFIG)
  if said is None:
    raise InputError(
      f"--workdir={workdir}: no run is there (it has no config.json); name the "
      "folder that `python -m seqsum.main` was given"
    )
  return said


def open_trained(workdir: epath.PathLike) -> Session:
  """Opens a run's folder to use what it learned, on one device, without data.

  Raises:
    InputError: There is no run, or one that this seqsum does not understand.
  """
  workdir = files.parse_path(workdir)
  path, said = workdir / "config.json", read_config(workdir)
  try:
    config = ConfigDict(said["config"])
    recorded = said["dataset"].get("recorded")
    recorded = recorded and SequenceSpec.of_json(recorded)
    experiment = build_experiment(config, recorded)
    schedule = build_schedule(config)
  except Exception as error:  # whatever a damaged config does to what reads it
    reason = str(error) if isinstance(error, InputError) else one_line(error)
    raise InputError(
      f"{path}: not as this version of seqsum writes it: {reason}; "
      f"{run_files.REMEDIES['config.json']}"
    ) from error
  one = make_mesh(jax.devices()[:1])
  unlocked = contextlib.ExitStack()  # a run may go on while it is read
  run = folder.digest({key: said[key] for key in run_files.CONFIG})
  return Session(
    config, workdir, experiment, schedule, one, None, unlocked, run
  )


def restore_best(
  session: Session, checkpoints: Checkpoints, history: History | None = None
) -> tuple[int, TrainState]:
  """The checkpoint with the best validation, or else the newest.

  One that cannot be used is warned of, and the next best takes its place.

  Args:
    session: The run's.
    checkpoints: Of its folder.
    history: Lines of its metrics.jsonl; None to read them, and to warn of those
      that are missing.

  Raises:
    InputError: There is none, or metrics.jsonl is damaged.
  """
  there = checkpoints.steps
  if history is None:
    path = session.workdir / "metrics.jsonl"
    history = run_files.read_lines(path)
    warn_of_missing(path, history, session.schedule, max(there, default=0))
  ranked = ranking(history, session.config.checkpoint.best)
  best = ranked[:1]  # asked for even if it is gone
  others = [step for step in ranked[1:] if step in there]
  steps = dict.fromkeys([*best, *others, *there])
  found = checkpoints.restore_first(steps, session.abstract_state())
  if found is None:
    raise InputError(
      f"--workdir={session.workdir} has no checkpoint yet: train first"
    )
  step, (state, _) = found
  return step, state
