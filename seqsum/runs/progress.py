"""What a person sees while a run goes on."""

import sys
from typing import Any, Self

from tqdm import tqdm

from seqsum.training.metrics import number


class Progress:
  """A bar with the time left on a terminal; lines everywhere.

  Args:
    total: Steps in all.
    epochs: How many there are.
  """

  def __init__(self, total: int, epochs: int):
    self._total, self._epochs = total, epochs
    self._bar = tqdm(disable=True)

  def start(self, step: int) -> None:
    """Shows the bar; `step` steps are already taken."""
    self._bar = tqdm(
      total=self._total,
      initial=step,
      unit=" steps",
      dynamic_ncols=True,
      smoothing=0.05,
      disable=not sys.stderr.isatty(),
    )

  def advance(self, steps: int) -> None:
    self._bar.update(steps)

  def training(self, line: dict[str, Any]) -> None:
    """Shows a training line at the bar's end."""
    self._bar.set_description(self._epoch(line), refresh=False)
    self._bar.set_postfix_str(_numbers(line))
    if skipped := line.get("skipped"):
      self.say(
        f"step {line['step']:,}: {skipped} of the last updates were inf or nan "
        "and dropped"
      )

  def validation(self, line: dict[str, Any]) -> None:
    """Prints a validation line, to stay."""
    self.say(
      f"{self._epoch(line)}, step {line['step']:,}, "
      f"{line['seconds']:,.0f} s: validation {_numbers(line)}"
    )

  def say(self, text: str) -> None:
    """Prints a line above the bar."""
    with tqdm.external_write_mode(file=sys.stdout):
      print(text, flush=True)

  def __enter__(self) -> Self:
    return self

  def __exit__(self, *exception) -> None:
    self.close()

  def close(self) -> None:
    self._bar.close()

  def _epoch(self, line: dict[str, Any]) -> str:
    return f"epoch {line['epoch']}/{self._epochs}"


def _numbers(line: dict[str, Any]) -> str:
  return (
    f"mse {number(line['mse'], 4)}, {line['exact_accuracy']:.1%} exact, "
    f"{line['sequences_per_second']:,.0f} sequences/s"
  )
