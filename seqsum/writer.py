"""What a run writes down while it goes on: metrics.jsonl and tensorboard/."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from etils import epath
from PIL import Image

from seqsum import cluster
from seqsum.folder import plain, write_whole

History = Sequence[dict[str, Any]]  # lines of a metrics.jsonl


def read_lines(path: epath.Path) -> list[dict[str, Any]]:
  """The whole lines of a metrics.jsonl; a torn last line is not one."""
  if not path.exists():
    return []
  *lines, _ = path.read_text().split("\n")
  return [json.loads(line) for line in lines]


def best_step(history: History) -> int | None:
  """The step with the lowest validation mse, the first of equals."""
  scores = {
    line["step"]: line["mse"]
    for line in history
    if line["split"] == "validation" and line["mse"] is not None
  }
  return min(scores, key=scores.get) if scores else None


def is_validated(history: History, step: int) -> bool:
  """Whether the validation of a step has been written down."""
  return any(
    line["split"] == "validation" and line["step"] == step for line in history
  )


class MetricsWriter:
  """metrics.jsonl and tensorboard/ of a run.

  Of several processes only the lead writes; the others remember.

  Args:
    folder: The run's.
    step: The step from which the run goes on. Lines of later steps, and of a
      test, which will be made again, are dropped.
    tracker: Told what TensorBoard is told; see `trackers`.

  Attributes:
    history: All lines so far, inf and nan as None.
  """

  def __init__(self, folder: epath.Path, step: int = 0, tracker: Any = None):
    path = folder / "metrics.jsonl"
    self.history = [
      line
      for line in read_lines(path)
      if line["step"] <= step and line["split"] != "test"
    ]
    cluster.barrier("history")  # all have read it
    self._writes = cluster.is_lead()
    self._tracker = tracker
    if not self._writes:
      return
    from tensorboardX import SummaryWriter  # 0.2 s that only a run needs

    write_whole(path, "".join(map(_line, self.history)))
    self._file = open(os.fspath(path), "a")  # noqa: SIM115 open for the run
    self._board = SummaryWriter(
      os.fspath(folder / "tensorboard"), purge_step=step + 1
    )

  def write(self, metrics: dict[str, Any]) -> None:
    """Adds a line; it must have `step` and `split`."""
    metrics = plain(metrics)
    self.history.append(metrics)
    if not self._writes:
      return
    self._file.write(_line(metrics))
    self._file.flush()
    scalars = {
      f"{metrics['split']}/{name}": value
      for name, value in metrics.items()
      if isinstance(value, float)
    }
    for tag, value in scalars.items():
      self._board.add_scalar(tag, value, metrics["step"])
    if self._tracker:
      self._tracker.scalars(scalars, metrics["step"])

  def pictures(self, pngs: Mapping[str, bytes], step: int) -> None:
    """Adds pictures, PNG files by name."""
    for name, png in pngs.items():
      pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
      self._board.add_image(name, pixels, step, dataformats="HWC")
    if self._tracker:
      self._tracker.pictures(pngs, step)

  def model(self, checkpoint: epath.Path, summary: Mapping[str, Any]) -> None:
    """Gives the final model to the tracker."""
    if self._tracker:
      self._tracker.model(checkpoint, summary)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def close(self) -> None:
    if self._writes:
      self._file.close()
      self._board.close()
    if self._tracker:
      self._tracker.close()


def _line(metrics: dict[str, Any]) -> str:
  return json.dumps(metrics) + "\n"
