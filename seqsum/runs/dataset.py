"""The data of a run: the `Dataset` protocol, and its loading."""

import functools
from typing import Any, Protocol

import numpy as np
from jax.sharding import Sharding
from ml_collections import ConfigDict

from seqsum.data import digits
from seqsum.sequences.recorded import SequenceSpec
from seqsum.sequences.shapes import Feed

load_digits = functools.lru_cache(maxsize=1)(digits.load)  # Shared by a study.


class Dataset(Protocol):
  """Protocol of a run's data; `Digits` and `SequenceDataset` implement it.

  Attributes:
    name: `config.data.name`, or that of the fallback.
    sha256: Digest of the content.
    facts: Shapes and targets of sequences from files; None for digits.
  """

  @property
  def name(self) -> str: ...

  @property
  def sha256(self) -> str: ...

  @property
  def facts(self) -> SequenceSpec | None: ...

  def feed(
    self,
    split: str,
    sharding: Sharding,
    batch_size: int,
    *,
    seed: int | None = None,
    batches: int | None = None,
  ) -> Feed:
    """Batch number -> arguments of the sampler, on the devices.

    Args:
      split: 'train', 'validation' or 'test'.
      sharding: Sharding of all arrays.
      batch_size: Sequences in a batch, over all devices.
      seed: Seed of the order of training sequences; None: the files' order.
      batches: The number of batches; None: unlimited.
    """

  def held_out(
    self, split: str, sequences: int, batch_size: int, devices: int
  ) -> tuple[int, int]:
    """The number of sequences to evaluate, and the batch size.

    Args:
      split: 'validation' or 'test'.
      sequences: `config.eval_sequences`.
      batch_size: `config.eval_batch_size`.
      devices: Must divide the batch size.
    """

  def mean_target(self, sampler: Any, per_step: bool) -> np.ndarray | float:
    """[] or [D], the mean of the training targets in the loss.

    Args:
      sampler: A sampler of this kind of data.
      per_step: Whether the loss covers every real step.
    """

  def describe(self) -> str:
    """Size of each split, kind of frames and origin, in one line."""


def load_data(config: ConfigDict) -> Dataset:
  """Loads the data that `config.data` names.

  Raises:
    InputError: It cannot be loaded.
  """
  fields: dict[str, Any] = dict(config.data)
  size, kind = tuple(fields.pop("size")), fields.pop("kind")
  if kind != "files":
    return load_digits(**fields).only(tuple(config.sequence.digits))
  from seqsum.data import recordings  # Grain and readers of files: a second.

  benchmark = recordings.Benchmark(**config.get("benchmark", {}))
  return recordings.load(
    config.data.name, config.data.data_dir, size, benchmark
  )
