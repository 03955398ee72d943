"""seqsum as a peer, as `python -m seqsum.main --config=configs/sum.py` runs it.

Uses the same objects and calls as `train.py`. A step samples its sequences in
the compiled program, and that time counts; other peers have prepared batches.

- default: the config unchanged.
- flax: `recurrence='flax'`, `packed=False`, the usual way to write it in Flax.
"""

import dataclasses
import os

import flax
import jax
import jax.numpy as jnp
import numpy as np

import seqsum.main  # noqa: F401  # the set-up of the command at import
from benchmarks import network
from benchmarks.network import Batch
from configs import sum as experiment
from seqsum.runs.session import open_session
from seqsum.sequences.any_sampler import AnySampler
from seqsum.sequences.batch import SequenceBatch
from seqsum.training.metrics import Totals, final
from seqsum.training.parallel import compile_step
from seqsum.training.state import TRAIN, VALIDATION
from seqsum.training.step import train_steps

VERSIONS = {"jax": jax.__version__, "flax": flax.__version__}


class Peer:
  """See `worker.Peer`."""

  def __init__(self, batches: list[Batch], variant: str):
    # As main() does for --compilation_cache.
    cache = os.environ["BENCHMARK_COMPILATION_CACHE"]
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.3)

    config = experiment.get_config()
    config.batch_size = config.eval_batch_size = len(batches[0].lengths)
    config.data.name = os.environ["BENCHMARK_DATA"]
    config.data.data_dir = os.environ["BENCHMARK_DATA_DIR"]
    if variant == "flax":
      config.model.recurrence, config.sequence.packed = "flax", False
    self.session = open_session(config, os.environ["BENCHMARK_WORKDIR"])
    self.batches = batches
    self.advance = self._compile(self.session.experiment)
    self.data = self.session.feed(TRAIN)(0)
    self.state = self.session.init(config.seed)
    self.evaluator = self.session.evaluator(VALIDATION)
    self.train_ways = {"loop of train.py": self._train}
    self.predict_ways = {"evaluator": self._predict}

  @property
  def parameters(self) -> int:
    return sum(x.size for x in jax.tree.leaves(self.state.params))

  def _compile(self, experiment):
    return compile_step(
      train_steps, self.session.mesh, experiment=experiment, donate=True
    )

  def _train(self, steps: int) -> float:
    totals = self.session.put(Totals.zero())
    for _ in range(steps):
      before = totals
      self.state, totals = self.advance(
        self.state, totals, None, self.session.config.seed, *self.data
      )
      jax.block_until_ready(before)  # at most one step ahead
    jax.block_until_ready(self.state)
    return jax.device_get(totals).means()["loss"]

  def _predict(self, steps: int) -> None:
    sequences = steps * self.evaluator.batch_size
    dataclasses.replace(self.evaluator, sequences=sequences)(self.state.params)

  def read(self) -> list[float]:
    experiment, batch = self.session.experiment, self.batches[0]

    @jax.jit
    def outputs(params, frames, lengths):
      outputs = experiment.model.apply(
        params, frames, experiment.sampler.rows()
      )
      return final(experiment.objective.predict(outputs), lengths)

    lengths = jnp.asarray(batch.lengths, jnp.int32)
    return outputs(self.state.params, batch.frames, lengths).tolist()

  def follow(self, steps: int) -> float:
    """Trains on the peers' batches instead of sampled ones."""
    for n in range(steps):
      sampler = _FixedBatch(self.session.experiment.sampler, self.batches[n])
      experiment = dataclasses.replace(self.session.experiment, sampler=sampler)
      self.state, totals = self._compile(experiment)(
        self.state, Totals.zero(), None, 0, *self.data
      )
    return jax.device_get(totals).means()["loss"]

  def save(self, path: str) -> None:
    """Writes the parameters for other peers to load."""
    flat = flax.traverse_util.flatten_dict(self.state.params["params"], sep="/")
    np.savez(path, **{k.removeprefix("encoder/"): v for k, v in flat.items()})

  def load(self, path: str) -> None:
    """Loads saved parameters; both recurrences have the same tree."""
    given = np.load(path)
    flat = flax.traverse_util.flatten_dict(self.state.params["params"], sep="/")
    params = {k: given[k.removeprefix("encoder/")] for k in flat}
    params = flax.traverse_util.unflatten_dict(params, sep="/")
    params = self.session.put({"params": params})
    self.state = self.state.replace(params=params)

  def multiply(self, side: int) -> float:
    """Seconds of the fastest product of two square matrices."""
    x = jnp.ones((side, side))
    product = jax.jit(jnp.matmul)
    return network.best_seconds(lambda: product(x, x).block_until_ready())


class _FixedBatch:
  """A sampler that returns the same batch at every step.

  Args:
    sampler: Provides all other members of `AnySampler`.
    batch: The batch.
  """

  def __init__(self, sampler: AnySampler, batch: Batch):
    self.sampler, self.batch = sampler, batch

  def __getattr__(self, name: str):
    return getattr(self.sampler, name)

  def lengths(self, key, step, *data) -> jax.Array:
    return jnp.asarray(self.batch.lengths, jnp.int32)

  def __call__(self, key, *data, **share) -> SequenceBatch:
    batch = self.batch
    targets = np.repeat(batch.targets[:, None], network.TIME, axis=1)
    return SequenceBatch(
      frames=jnp.asarray(batch.frames),
      lengths=jnp.asarray(batch.lengths, jnp.int32),
      labels=jnp.zeros(targets.shape, jnp.int32),
      targets=jnp.asarray(targets),
    )
