"""Session: the folder of a run, opened, with its data and experiment."""

import contextlib
import dataclasses
import functools
import math
import os
from typing import Any, Self

import jax
from absl import logging
from etils import epath
from jax.sharding import Mesh
from ml_collections import ConfigDict

from seqsum.runs import folder, run_files
from seqsum.runs.checkpoints import Checkpoints
from seqsum.runs.dataset import Dataset, load_data
from seqsum.runtime import devices as meshes
from seqsum.runtime import files, lock, processes
from seqsum.runtime.errors import InputError, require
from seqsum.sequences.recorded import SequenceSpec
from seqsum.sequences.shapes import Feed
from seqsum.training.checks import check_config
from seqsum.training.evaluate import Evaluator, make_evaluator
from seqsum.training.experiment import (
  Schedule,
  build_experiment,
  build_schedule,
)
from seqsum.training.metrics import Totals
from seqsum.training.parallel import compile_init
from seqsum.training.state import (
  TEST,
  TRAIN,
  VALIDATION,
  Experiment,
  TrainState,
)

SPLITS = {VALIDATION: "validation", TEST: "test"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """The folder of a run, and what is built from its config.

  Attributes:
    config: The resolved config.
    workdir: The folder.
    experiment, schedule: Built from the config.
    mesh: The devices.
    digest: See `folder.digest`; saved in the run's checkpoints.
  """

  config: ConfigDict
  workdir: epath.Path
  experiment: Experiment
  schedule: Schedule
  mesh: Mesh
  digest: str

  def put(self, tree: Any) -> Any:
    """Copies a tree of arrays to every device."""
    return jax.device_put(tree, meshes.replicated(self.mesh))

  @functools.cached_property
  def init(self):
    """The compiled function `seed -> TrainState`."""
    shape = self.experiment.sampler.shape
    return compile_init(self.experiment, self.mesh, shape)

  def abstract_state(self) -> tuple[TrainState, Totals]:
    """Abstract (state, totals) with shardings, to restore a checkpoint."""
    state = jax.eval_shape(self.init, self.config.seed)
    sharding = meshes.replicated(self.mesh)
    return jax.tree.map(
      lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding),
      (state, Totals.zero()),
    )

  def checkpoints(self) -> Checkpoints:
    """Opens the folder `checkpoints/`; a context that closes it."""
    keep = self.config.checkpoint.keep
    return Checkpoints(self.workdir / "checkpoints", keep, self.digest)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Session(Run):
  """A run to train or test: a context that locks its folder.

  Attributes:
    data: Digits or your own sequences.
    lock: Context that holds the lock, see `lock.take`.
  """

  data: Dataset
  lock: contextlib.ExitStack

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self.lock.close()

  def check_memory(self) -> None:
    """Checks that parameters, gradients and optimizer state fit into a device.

    Activations are not counted.

    Raises:
      InputError: They do not fit.
    """
    state = self.abstract_state()[0]
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state))
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    needed = size + 4 * parameters
    available = meshes.memory(jax.local_devices()[0])
    if available is not None and needed > available:
      raise InputError(
        f"config.model has {parameters:,} parameters: with gradients and the "
        f"optimizer's state they take {needed / 1e9:,.0f} GB of memory, a "
        f"device has {available / 1e9:,.0f} GB; use fewer or smaller layers"
      )

  def feed(self, stream: int) -> Feed:
    """Batch number -> arguments of the sampler, on the devices.

    Args:
      stream: `state.TRAIN`, `VALIDATION` or `TEST`.
    """
    config, sharding = self.config, meshes.replicated(self.mesh)
    if stream == TRAIN:
      return self.data.feed(
        "train", sharding, config.batch_size, seed=config.seed
      )
    sequences, batch_size = self._held_out(stream)
    batches = math.ceil(sequences / batch_size)
    return self.data.feed(SPLITS[stream], sharding, batch_size, batches=batches)

  def evaluator(self, stream: int) -> Evaluator:
    """The evaluator of the fixed validation or test sequences."""
    sequences, batch_size = self._held_out(stream)
    return make_evaluator(
      self.experiment,
      self.mesh,
      stream,
      self.feed(stream),
      sequences=sequences,
      batch_size=batch_size,
      in_one_call=self.schedule.steps_per_call > 1,
    )

  def _held_out(self, stream: int) -> tuple[int, int]:
    """The number of held-out sequences, and the batch size."""
    config = self.config
    return self.data.held_out(
      SPLITS[stream],
      config.eval_sequences,
      config.eval_batch_size,
      self.mesh.size,
    )

  def facts(self) -> dict[str, Any]:
    """Content of config.json beside the config: data, devices, versions."""
    devices = self.mesh.devices.flat
    dataset: dict[str, Any] = {
      "name": self.data.name,
      "sha256": self.data.sha256,
    }
    if self.data.facts is not None:
      dataset["recorded"] = self.data.facts.as_json()
    return {
      "dataset": dataset,
      "devices": {
        "kind": devices[0].device_kind,
        "platform": devices[0].platform,
        "count": self.mesh.size,
        "processes": jax.process_count(),
        **meshes.processors(),
        **meshes.numerics(devices[0]),
      },
      "versions": folder.versions(),
    }

  def warn_of_changes(self) -> None:
    """Warns if devices, cores or package versions changed since the start."""
    before = folder.read_config(self.workdir)
    changes = folder.differences(before, self.facts())
    if changes and processes.is_lead():
      logging.warning(
        "%s: numbers may differ in their last digits from those of a run on "
        "one machine: %s",
        self.workdir,
        "; ".join(changes),
      )


def check(config: ConfigDict) -> tuple[Experiment, Schedule, Mesh]:
  """Builds the experiment, schedule and mesh of a config; loads no images.

  Raises:
    InputError: A value in the config cannot be used.
  """
  facts = None
  check_config(config)
  meshes.set_numerics(config.deterministic, config.matmul_precision)
  if config.data.kind == "files":
    facts = load_data(config).facts
  experiment = build_experiment(config, facts)
  schedule = build_schedule(config)
  mesh = meshes.make_mesh()
  rows = meshes.shard_rows(mesh, config.batch_size, "config.batch_size")
  require(
    rows % config.accumulate == 0,
    "config.accumulate",
    config.accumulate,
    f"must divide the per-device batch size ({rows})",
  )
  meshes.shard_rows(mesh, config.eval_batch_size, "config.eval_batch_size")
  return experiment, schedule, mesh


def open_session(
  config: ConfigDict, workdir: epath.PathLike, *, is_new: bool = True
) -> Session:
  """Checks a config, loads its data, and locks the folder.

  The folder is made, and config.json written, only after the config, the data
  and an existing config.json have been checked, so that a refused run leaves
  no files.

  Args:
    config: A complete config.
    workdir: The run's folder.
    is_new: Whether the folder may be new; else it must hold a run.

  Raises:
    InputError: A value in the config cannot be used, the data cannot be loaded,
      or the folder cannot be written, is in use or belongs to another run.
  """
  try:
    os.fspath(workdir).encode()
  except UnicodeEncodeError as error:  # TensorStore's paths are UTF-8
    raise InputError(
      f"--workdir={workdir}: the name is not UTF-8; use another folder"
    ) from error
  if not is_new:
    folder.read_config(workdir)
  experiment, schedule, mesh = check(config)
  with processes.lead_first("data"):
    data = load_data(config)
  session = Session(
    config=config,
    workdir=files.parse_path(workdir),
    experiment=experiment,
    schedule=schedule,
    mesh=mesh,
    digest="",  # of the data's facts too, see below
    data=data,
    lock=contextlib.ExitStack(),
  )
  session.check_memory()
  workdir = folder.make_folder(workdir)
  facts = session.facts()
  identity = {"config": config.to_dict(), "dataset": facts["dataset"]}
  folder.check_config(workdir, identity)  # before a lock file is left in it
  with lock.take(workdir) as held:
    with processes.lead_first("config"):
      folder.write_or_check_config(workdir, config.to_dict(), facts)
    return dataclasses.replace(
      session,
      workdir=workdir,
      lock=held.pop_all(),
      digest=folder.digest(identity),
    )


def open_trained(workdir: epath.PathLike) -> Run:
  """Opens a run to use its model: on one device, without data or lock.

  Raises:
    InputError: The folder has no run, or config.json is damaged.
  """
  written = folder.read_config(workdir)
  workdir = files.parse_path(workdir)
  try:
    problem = run_files.find_problem(
      written["config"], run_files.SECTIONS, "config"
    )
    if problem:
      raise InputError(problem)
    config = ConfigDict(written["config"])
    recorded = written["dataset"].get("recorded")
    recorded = recorded and SequenceSpec.of_json(recorded)
    meshes.set_numerics(config.deterministic, config.matmul_precision)
    experiment = build_experiment(config, recorded)
    schedule = build_schedule(config)
  except Exception as error:  # a damaged config may raise any exception
    reason = "a field is missing or has a value of another type"
    if isinstance(error, InputError):
      reason = str(error)
    raise InputError(
      f"{workdir / 'config.json'}: not a config of this version of seqsum: "
      f"{reason}; {run_files.REMEDIES['config.json']}"
    ) from error
  return Run(
    config=config,
    workdir=workdir,
    experiment=experiment,
    schedule=schedule,
    mesh=meshes.make_mesh(jax.devices()[:1]),
    digest=folder.digest({key: written[key] for key in run_files.CONFIG}),
  )
